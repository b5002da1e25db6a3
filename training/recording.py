"""Recording: the walk-forward record of a run, put together from what each fold said of its rows, and then the test.

Folds were answered when the members were made. The test slice is answered by the set's own files, opened and asked as
they will be when it serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market.candles import Floats, Ints
from models import labels
from models.baselines import Baselines, direction_scores
from models.ensemble import DECIMALS, ask
from models.inputs import FinerRows, closing_with
from models.logits import logit
from models.manifest import REGIMES, Manifest
from models.members import open_members
from models.walkforward import FITTED, TEST, WalkForward
from training.folds import Folds
from training.fusion import Folded
from training.problem import Problem
from training.regime import RegimeAnswers
from training.units import Answers


@dataclass(frozen=True)
class Rivals:
    """What the baselines said, filled part by part: scores (N, H) by name, HAR + calendar's probabilities (N, 3)."""

    scores: dict[str, Floats]
    har: Floats

    def fill(self, problem: Problem, rows: Ints, fitted: Baselines) -> None:
        """The answers for `rows` of the baselines fitted for them."""
        found = direction_scores(fitted, problem.bars.candles, problem.matrix)
        for column, key in enumerate(problem.heads):
            for name, table in self.scores.items():
                table[rows, column] = found[key][name][rows]
        self.har[rows] = fitted.regime["har_and_calendar"].probabilities(problem.clock[rows])


def walk_forward(
    problem: Problem,
    folds: Folds,
    members: list[Answers],
    folded: Folded,
    regime: RegimeAnswers,
    fitted: list[Baselines],
    manifest: Manifest,
    contents: Mapping[str, bytes],
) -> WalkForward:
    """The record of every fold and of the test slice.

    Parameters
    ----------
    fitted : list of Baselines
        Of each fold, in order; those of the test slice are the manifest's.
    contents : mapping
        The set's model files, which answer the test slice.
    """
    assert manifest.baselines is not None, "the record is made after the baselines"
    test = problem.rows_in(problem.slices.test)
    parts = [(n, judged, folds.edges[n], fitted[n]) for n, (_, _, judged) in enumerate(folds.parts)]
    parts.append((TEST, test, problem.edges, manifest.baselines))
    nothing = np.full(problem.targets.shape, np.nan)
    rivals = Rivals(
        {name: nothing.copy() for name in (*FITTED, "minus_24h_return")}, np.full((len(nothing), len(REGIMES)), np.nan)
    )
    part, edges = np.zeros(len(nothing), dtype=np.int8), np.full((len(nothing), 2), np.nan)
    for number, rows, of_part, baselines in parts:
        part[rows], edges[rows] = number, of_part if of_part.ndim == 1 else of_part[rows]
        rivals.fill(problem, rows, baselines)
    logits = {"stack": folded.logits.copy(), "average": nothing, **{m.family: m.unseen.copy() for m in members}}
    regimes, sides = regime.unseen.copy(), folded.sides.copy()
    opened = open_members(manifest, contents, Path(manifest.identity.name), "cpu")
    served = ask(manifest, opened, problem.matrix, test, finer_rows(problem))
    for column, key in enumerate(problem.heads):
        logits["stack"][test, column] = logit(served.heads[key])
        for m in members:
            name = m.names[column]
            logits[m.family][test, column] = logit(served.members[f"{name}/{manifest.member(name).head_for(key)}"])
    logits["average"] = np.mean([logits[m.family] for m in members], axis=0)
    regimes[test], sides[test] = served.regime, np.column_stack([served.p_long, served.p_short])
    candles = problem.bars.candles
    rows = np.concatenate([rows for _, rows, _, _ in parts])
    return WalkForward(
        open_time=candles.open_time[rows],
        part=part[rows],
        close=candles.close[rows],
        returns={h: labels.forward_return(candles, h)[rows] for h in manifest.horizons},
        volatility=problem.volatility[rows],
        edges=edges[rows],
        logits={name: _by_head(problem, table[rows]) for name, table in logits.items()},
        scores={name: _by_head(problem, rivals.scores[name][rows]) for name in FITTED},
        minus_24h_return=rivals.scores["minus_24h_return"][rows, 0],
        regime=regimes[rows],
        har=rivals.har[rows],
        p_long=np.round(sides[rows, 0], DECIMALS),
        p_short=np.round(sides[rows, 1], DECIMALS),
    )


def finer_rows(problem: Problem) -> FinerRows | None:
    """The shorter candles' rows as inference reads them, if a member does."""
    finer = problem.finer
    if finer is None:
        return None
    at = closing_with(problem.bars.candles, finer.candles)
    return FinerRows(finer.matrix, np.where((at >= 0) & finer.ready[at], at, -1))


def _by_head(problem: Problem, table: Floats) -> dict[str, Floats]:
    return {key: table[:, column] for column, key in enumerate(problem.heads)}
