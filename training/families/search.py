"""The search for LightGBM's settings, as a unit: it is kept like a fit, and counted once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from training import boosting, tuning
from training.folds import FINISHED
from training.member_spec import LightGBMSpec
from training.spec import TrainingSpec
from training.units import Context, Fit, Fits, Unit


@dataclass(frozen=True)
class Search:
    """One search, over all folds."""

    name: str = "search"

    def seeds(self, spec: TrainingSpec) -> int:
        """As `Family`."""
        return 1

    def settings(self, context: Context) -> JsonValue:
        """As `Family`."""
        told = context.spec.lightgbm
        assert told.search is not None, "asked to search without being told how"
        folds: list[JsonValue] = [
            [int(rows[0]), int(rows[-1]), len(rows)] for part in context.folds.parts for rows in part
        ]
        return {"seed": context.spec.seed, "trials": told.search.trials, "folds": folds, **boosting.settings_of(told)}

    def fit(self, context: Context, unit: Unit) -> Fit:
        """As `Family`; the facts are the best settings, and how many were tried."""
        return Fit(np.empty((0, 0)), tuning.search(context))

    def found(self, context: Context, fits: Fits) -> tuple[LightGBMSpec, int]:
        """The spec's settings with the best ones, and how many were tried."""
        facts = fits[Unit(self.name, FINISHED)].facts
        best = facts["settings"]
        assert isinstance(best, dict)
        return context.spec.lightgbm.model_copy(update=best), int(str(facts["trials"]))
