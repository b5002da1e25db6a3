"""Binance USDT-M futures."""
