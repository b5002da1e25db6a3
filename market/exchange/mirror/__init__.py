"""The mirror: a live exchange's market, in real time, under an account of our own. Paper trading.

`upstream` keeps the streams and asks for history, `wire` reads what they say, `tracks` sees that no kline is missed,
`inbox` holds what waits, bounded; `mirror` is the market that a venue serves from. Nothing is sent but questions.
"""
