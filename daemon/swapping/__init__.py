"""Swapping: the way of a set into service, between two candles, and out of it again if it does not hold."""
