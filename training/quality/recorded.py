"""Recorded: what the walk-forward record says of every member, fold by fold, beside the test slice.

`models.evaluation` compares the stack out of fold with the stack on the test slice; this does the same for each member
and baseline, and looks at the record by quarters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats
from models import labels
from models.evaluation.outcomes import SECTIONS, UP, of_returns
from models.logits import sigmoid
from models.manifest import Manifest
from models.metrics import Interval
from models.resampling import Drawn, Resamples
from models.walkforward import TEST, WalkForward

OTHER_SEED = 7919
"""Folds and test slice have nothing to do with each other, and are not resampled alike."""
LEAST_WEEKS = 4
"""A quarter with fewer has no figure."""
REVERSAL = "minus_24h_return"
FINER_FAMILY = "lstm15m"


@dataclass(frozen=True)
class Pair:
    """AUC out of fold (pairs within a fold), on the test slice, and the one less the other."""

    out_of_fold: Interval
    test: Interval
    gap: Interval


@dataclass(frozen=True)
class Quarter:
    """AUC of the stack and of a baseline in one quarter; `test` tells the test slice's bars from the folds'."""

    name: str
    test: bool
    rows: int
    stack: Interval
    rival: Interval


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: blocks of so many rows, so many draws, from a seed."""

    block: int
    draws: int
    seed: int

    def of(self, rows: int, shift: int = 0) -> Resamples:
        """Samples of so many rows."""
        return Resamples(rows, self.block, self.draws, self.seed + shift)


class Record:
    """A set's walk-forward record with the outcomes of its questions.

    Parameters
    ----------
    record : WalkForward
    manifest : Manifest
        Of the same set.
    block, draws, seed : int
        Of the bootstrap: rows of a week, samples.
    """

    def __init__(self, record: WalkForward, manifest: Manifest, block: int, draws: int, seed: int) -> None:
        self.record, self.bootstrap = record, Bootstrap(block, draws, seed)
        self.horizons, self.cost = manifest.horizons, manifest.data.labels.cost
        self.came = {
            key: outcome
            for h in manifest.horizons
            for key, outcome in of_returns(record.returns[h], h, manifest.data.labels.cost).items()
        }
        self.names = (*record.logits, *record.scores, REVERSAL)
        told = np.isfinite(np.column_stack([*record.returns.values(), record.volatility, record.minus_24h_return]))
        # The very rows that `evaluate` judges: what came of them is known, and every baseline has a value.
        self.judged = (record.part == TEST) & told.all(axis=1)
        for heads in record.scores.values():
            self.judged &= np.isfinite(np.column_stack(list(heads.values()))).all(axis=1)

    def score(self, name: str, horizon: int, kind: str) -> Floats | None:
        """What a member or baseline said (n,) of one question; None if it was not asked."""
        if name == REVERSAL:
            return self.record.minus_24h_return * (-1 if kind == "short" else 1)
        heads = self.record.logits.get(name) or self.record.scores.get(name) or {}
        if kind != UP:
            return heads.get(f"{horizon}/{kind}")
        if name not in self.record.logits:
            return None  # a baseline of direction is fitted to direction, and the record holds those of the sides
        return heads[f"{horizon}/long"] - heads[f"{horizon}/short"]

    def pairs(self) -> dict[str, dict[int, dict[str, Pair]]]:
        """Section -> horizon -> name -> its AUC out of fold and on the test slice."""
        here = self.bootstrap.of(int(self.judged.sum()))
        found: dict[str, dict[int, dict[str, Pair]]] = {section: {} for section in SECTIONS}
        for section, kind in SECTIONS.items():
            for h in self.horizons:
                found[section][h] = {}
                for name in self.names:
                    score, outcome = self.score(name, h, kind), self.came[f"{h}/{kind}"]
                    if score is None:
                        continue
                    folded = self._within(score, outcome, (self.record.part != TEST) & np.isfinite(score))
                    test = here.auc(outcome[self.judged], score[self.judged])
                    if folded is not None:
                        gap = folded.minus(test)
                        found[section][h][name] = Pair(folded.interval(), test.interval(), gap.interval())
        return found

    def quarters(self, section: str, horizon: int, rival: str) -> list[Quarter]:
        """The stack and a baseline by calendar quarter, in time order; quarters of a few weeks are left out."""
        kind = SECTIONS[section]
        ours, theirs = self.score("stack", horizon, kind), self.score(rival, horizon, kind)
        if ours is None or theirs is None:
            return []
        outcome, record = self.came[f"{horizon}/{kind}"], self.record
        days = record.open_time.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        found = []
        for quarter in np.unique(days // 3).tolist():
            for test in (False, True):
                rows = (days // 3 == quarter) & ((record.part == TEST) == test)
                rows &= np.isfinite(outcome) & np.isfinite(theirs)
                if rows.sum() < LEAST_WEEKS * self.bootstrap.block:
                    continue
                stack, other = self._within(ours, outcome, rows), self._within(theirs, outcome, rows)
                if stack is not None and other is not None:
                    name = f"{1970 + quarter // 4} Q{quarter % 4 + 1}"
                    found.append(Quarter(name, test, int(rows.sum()), stack.interval(), other.interval()))
        return found

    def confusion(self) -> dict[str, list[list[int]]]:
        """``set``, ``har_and_calendar`` -> bars of the test slice, counted: the regime that came, by the one said."""
        came, found = self.record.regimes(), {}
        for name, said in (("set", self.record.regime), ("har_and_calendar", self.record.har)):
            rows = self.judged & np.isfinite(came) & np.isfinite(said).all(axis=1)
            counts = np.zeros((3, 3), dtype=np.int64)
            np.add.at(counts, (came[rows].astype(np.int64), said[rows].argmax(axis=1)), 1)
            found[name] = counts.tolist()
        return found

    def outputs(self, horizon: int) -> dict[str, tuple[float, float]]:
        """``stack/5/long`` -> the 1 and 99 % quantiles of its probabilities on the test slice."""
        return {
            f"{name}/{key}": _reach(sigmoid(column[self.judged]))
            for name, heads in self.record.logits.items()
            for key, column in heads.items()
            if key.startswith(f"{horizon}/")
        } | {name: _reach(getattr(self.record, name)[self.judged]) for name in ("p_long", "p_short")}

    def finer(self, candles: Candles, decision_ms: int, bars_ahead: int) -> dict[str, Interval]:
        """AUC on the test slice of the finer LSTM on its own label: did the side pay within `bars_ahead` finer bars?

        Parameters
        ----------
        candles : Candles
            Of the finer timeframe.
        decision_ms : int
            Length of a decision candle; the finer bar that closes with it is where the label begins.
        """
        heads = self.record.logits.get(FINER_FAMILY)
        if heads is None:
            return {}
        begins = self.record.open_time + decision_ms - candles.timeframe.ms
        at = np.searchsorted(candles.open_time, begins)
        there = at < len(candles)
        there[there] &= candles.open_time[at[there]] == begins[there]
        moved = np.full(len(begins), np.nan)
        moved[there] = labels.forward_return(candles, bars_ahead)[at[there]]
        rows = self.judged & np.isfinite(moved)
        if not rows.any():
            return {}
        outcomes, found = of_returns(moved[rows], bars_ahead, self.cost), {}
        resamples = self.bootstrap.of(int(rows.sum()))
        for side in ("long", "short"):
            score = heads[f"{self.horizons[0]}/{side}"][rows]
            found[f"{bars_ahead}/{side}"] = resamples.auc(outcomes[f"{bars_ahead}/{side}"], score).interval()
        return found

    def _within(self, score: Floats, outcome: Floats, rows: NDArray[np.bool_]) -> Drawn | None:
        """AUC over pairs within a fold, each fold resampled by itself (`models.evaluation.gap` does so too)."""
        parts: list[tuple[float, Drawn]] = []
        for fold in np.unique(self.record.part[rows]).tolist():
            mine = rows & (self.record.part == fold) & np.isfinite(outcome)
            pairs = float(np.sum(outcome[mine] != 0) * np.sum(outcome[mine] == 0))
            if pairs:
                resamples = self.bootstrap.of(int(mine.sum()), OTHER_SEED + fold)
                parts.append((pairs, resamples.auc(outcome[mine], score[mine])))
        if not parts:
            return None
        weights = np.array([pairs for pairs, _ in parts]) / sum(pairs for pairs, _ in parts)
        value = float(sum(w * drawn.value for w, (_, drawn) in zip(weights, parts, strict=True)))
        return Drawn(value, np.sum([w * drawn.draws for w, (_, drawn) in zip(weights, parts, strict=True)], axis=0))


def _reach(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.01, 0.99))
    return float(low), float(high)
