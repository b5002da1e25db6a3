"""Quality: what a set is worth, written up with intervals and plots, and what became of each task that was asked for.

`python -m training quality` makes docs/results/model-quality.md, its plots, and the table of docs/tasks.md. Figures are
those of `models.evaluation.evaluate`, of the set's manifest and of its walk-forward record; the same set, history and
ablation give the same bytes.
"""
