"""The rows on which recipes are compared, under the same draws of weeks: every difference here is a paired one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from backtest.gate.evidence import Evidence
from backtest.gate.recipe import SIDES, Recipe
from market.candles import Floats, Ints
from models.metrics import Interval
from models.resampling import Drawn, Resamples

BASELINES = ("minus_24h_return", "volatility_and_clock", "logistic")


@dataclass(frozen=True)
class Sample:
    """Recorded rows on which everything that is compared is known.

    Attributes
    ----------
    challenger, champion : Recipe
        The same n rows of both; no champion: None.
    resamples : Resamples
        Of those rows.
    confidence : float
        Of intervals.
    measured : dict
        What was measured already.
    """

    challenger: Recipe
    champion: Recipe | None
    resamples: Resamples
    confidence: float
    measured: dict[tuple[int, str, int, str], Drawn] = field(default_factory=dict, repr=False)

    @cached_property
    def weights(self) -> dict[int, float]:
        """Horizon -> weight: the challenger's, of the horizons both have; what has no weight decides nothing."""
        theirs = self.challenger.horizons if self.champion is None else self.champion.horizons
        shared = {h: w for h, w in self.challenger.weights.items() if h in theirs and w > 0}
        total = sum(shared.values())
        return {h: w / total for h, w in shared.items()}

    def ranked(self, outcome: Floats, score: Floats) -> Drawn:
        """AUC within each fold, the mean by its rows.

        Scores of two folds are on two scales: what a fold was fitted on had another share of ones, and a fold with more
        of them follows one with fewer. Ranked together, the shifts alone would pull an honest AUC below a half.

        References
        ----------
        Parker, Günter and Bedo (2007), Stratification bias in low signal microarray studies.
        """
        folds = {}
        for part, rows in self.folds.items():
            drawn = self.resamples.at(rows).auc(outcome[rows], score[rows])
            if np.isfinite(drawn.value):
                folds[part] = drawn
        if not folds:
            return Drawn(float("nan"), np.full(self.resamples.draws, np.nan))
        sizes = {part: float(len(self.folds[part])) for part in folds}
        return weighed(folds, {part: size / sum(sizes.values()) for part, size in sizes.items()})

    @cached_property
    def folds(self) -> dict[int, Ints]:
        """The rows of each part of the challenger's record that is a part of the champion's too."""
        parts = self.challenger.part * 1000 + (0 if self.champion is None else self.champion.part)
        return {int(part): np.flatnonzero(parts == part) for part in np.unique(parts)}

    def auc(self, recipe: Recipe, column: str, horizon: int, side: str) -> Drawn:
        """AUC of a recorded column for whether the side paid over the horizon; measured once."""
        key = (0 if recipe is self.challenger else 1, column, horizon, side)
        if key not in self.measured:
            self.measured[key] = self.ranked(recipe.paid(horizon, side), recipe.columns[column])
        return self.measured[key]

    def stack(self, recipe: Recipe, horizon: int, side: str) -> Drawn:
        """AUC of the ensemble."""
        return self.auc(recipe, f"logit/stack/{horizon}/{side}", horizon, side)

    def direction(self, recipe: Recipe, horizon: int) -> Drawn:
        """AUC of the lead of long over short for whether the price rises."""
        lead = recipe.stack(f"{horizon}/long") - recipe.stack(f"{horizon}/short")
        return self.ranked(_rises(recipe, horizon), lead)

    def reversal(self, horizon: int) -> Drawn:
        """AUC of minus the 24 h return for the same."""
        recipe = self.challenger
        return self.ranked(_rises(recipe, horizon), recipe.columns["score/minus_24h_return"])

    def baseline(self, name: str, horizon: int, side: str) -> Drawn:
        """AUC of a fitted baseline for whether the side paid."""
        return self.auc(self.challenger, f"score/{name}/{horizon}/{side}", horizon, side)

    def interval(self, drawn: Drawn) -> Interval:
        """At the gate's confidence."""
        return drawn.interval(self.confidence)


def of(evidence: Evidence) -> Sample | None:
    """The sample of a judgement; None without records, or without a row they share."""
    recipes = [s.recipe for s in evidence.sides]
    if any(r is None or not len(r) for r in recipes):
        return None
    challenger, champion = recipes[0], recipes[1] if len(recipes) > 1 else None
    assert challenger is not None
    known = np.ones(len(challenger), dtype=bool)
    for recipe in (challenger, champion):
        if recipe is not None:
            known &= np.isfinite(np.column_stack(_compared(recipe))).all(axis=1)
    if not known.any():
        return None
    settings = evidence.terms.config.bootstrap
    return Sample(
        challenger.at(known),
        None if champion is None else champion.at(known),
        Resamples(int(known.sum()), evidence.block, settings.draws, settings.seed),
        settings.confidence,
    )


def weighed(drawn: dict[int, Drawn], weights: dict[int, float]) -> Drawn:
    """The mean over horizons by weight, draw by draw."""
    value = sum(weights[h] * d.value for h, d in drawn.items())
    draws = np.sum([weights[h] * d.draws for h, d in drawn.items()], axis=0)
    return Drawn(float(value), np.asarray(draws, dtype=np.float64))


def _rises(recipe: Recipe, horizon: int) -> Floats:
    return (recipe.gain(horizon) > 0).astype(np.float64)


def _compared(recipe: Recipe) -> list[Floats]:
    """Columns that must be known in a row for it to be compared at all."""
    names = ["score/minus_24h_return"]
    for horizon in recipe.horizons:
        names.append(f"return_{horizon}")
        for side in SIDES:
            head = f"{horizon}/{side}"
            names += [f"logit/stack/{head}", f"logit/average/{head}"]
            names += [f"score/{name}/{head}" for name in BASELINES[1:]]
    return [recipe.columns[name] for name in names]
