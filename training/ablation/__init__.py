"""Ablation: what each loss, each kind of augmentation and each optional group of features is worth, out of fold."""
