"""Networks: one file each, defined once for training and export. Imported under training alone: they need torch."""
