"""A local exchange: Binance USDT-M futures over HTTP and WebSocket, replaying history or a synthetic market.

From the bottom up: `ledger` counts the money, `engine` moves prices against positions and orders, `desk` accepts or
refuses what a trader asks, `feed` and `replay` bring the market, `binance` speaks the wire's language, `server` serves.
"""
