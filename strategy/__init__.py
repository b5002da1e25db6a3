"""What to do about a prediction: the rules of `configs/live_config.yaml` and the pure functions that apply them.

Knows the market, and no model. The daemon and the backtest call the same functions here.
"""
