"""Evaluation: what a set is worth on a history, beside baselines on the same rows, with intervals."""
