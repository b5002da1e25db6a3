"""How a model set is judged: the daemon's decisions and the local exchange's fill rules, over arrays.

`python -m backtest --model-set latest` prints what a set would have earned, trade by trade if asked.
"""
