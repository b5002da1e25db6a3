"""What a market is: candles, instruments, kline history, a synthetic market and a local exchange.

The lowest floor of the house beside `configs`: it knows nothing of models, rules or the daemon.
"""
