"""Drift: whether the market, or what a set says of it, has left what the set was made on; and what is done about it."""
