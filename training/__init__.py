"""Training: how a model set is made. `python -m training run --spec configs/training/small.yaml`."""
