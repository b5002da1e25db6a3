"""The exchange's language: Binance USDT-M futures' parameters, payloads and frames, to and from integers."""
