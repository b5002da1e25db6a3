"""What a model is: features, labels, metrics, calibration, stacking, model sets on disk, and inference from them.

The trading host imports this package; torch is imported in `models.networks` alone, which it never loads.
"""
