"""The sample: the bars that are judged, what came of them, and what everyone said. One set of rows for all figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.candles import Floats, Ints
from market.timeframes import Timeframe, utc_text
from models.ensemble import Answers
from models.evaluation.data import DataError, History
from models.evaluation.outcomes import UP, outcomes, regimes
from models.evaluation.overlap import Judged
from models.evaluation.rivals import Rivals
from models.inference import Predictor
from models.logits import logit
from models.manifest import Manifest, family
from models.prediction import Progress

STACK, AVERAGE = "stack", "average"
LEAST_BLOCKS, FEW_BLOCKS = 2, 12
BLOCK_HOURS = 168


@dataclass(frozen=True)
class Sample:
    """What is judged, row by row, in time order.

    Attributes
    ----------
    rows : (n,) int64
        Positions in the history.
    times : (n,) int64
        Open times, UTC ms.
    block : int
        Bars in a week: the bootstrap's blocks.
    outcomes : dict
        ``5/long``, ``5/short``, ``5/up`` -> (n,) 1 or 0.
    said : dict
        Member -> the same keys -> (n,) score; the sides' are probabilities, ``up`` is the lead of the long's logit. NaN
        in rows that were answered without that member; one that gave nothing at all is left out.
    answers : Answers
        All the set said.
    regime : (n,) int64
        Regime that came.
    refused : dict
        Why bars of the range are not judged -> how many.
    """

    rows: Ints
    times: Ints
    block: int
    outcomes: dict[str, Floats]
    said: dict[str, dict[str, Floats]]
    answers: Answers
    regime: Ints
    refused: dict[str, int]


def take(
    predictor: Predictor, history: History, range_: Judged, rivals: Rivals, progress: Progress | None = None
) -> Sample:
    """Ask the set about every bar of the range whose labels and baselines are known.

    Raises
    ------
    DataError
        If fewer than two weeks of bars are left, with the reasons.
    """
    candles, manifest = history.candles, predictor.manifest
    matrix = predictor.matrix(candles, history.funding, history.companion)
    finer = predictor.finer_rows(candles, history.finer, history.funding)
    inside = (candles.open_time >= range_.start) & (candles.open_time < range_.end)
    ready = predictor.ready(candles, matrix)
    refused = predictor.reasons(candles, matrix, np.flatnonzero(inside & ~ready))
    came = outcomes(manifest, candles)
    regime = regimes(manifest, candles)
    left = inside & ready
    reach = max(*manifest.horizons, manifest.data.labels.regime_horizon)
    known = np.isfinite(np.column_stack([*came.values(), regime])).all(axis=1)
    _refuse(refused, left & ~known, f"what came of it is not known: the {reach} bars after it are not all there")
    left &= known
    _refuse(refused, left & ~rivals.known, "a baseline has no value: the days before it are not all there")
    left &= rivals.known
    rows = np.flatnonzero(left)
    answers = predictor.answers(matrix, rows, progress, finer=finer)
    if not answers.finite.all():
        refused |= predictor.unanswered(answers)
        rows = rows[answers.finite]
        answers = predictor.answers(matrix, rows, finer=finer)
    block = week(candles.timeframe)
    if len(rows) < LEAST_BLOCKS * block:
        why = "".join(f"\n  {reason} ({count})" for reason, count in refused.items())
        raise DataError(
            f"{history.file}: {len(rows)} bars can be judged between {utc_text(range_.start)} and "
            f"{utc_text(range_.end)}, too few for a figure ({LEAST_BLOCKS * block} at least): give a longer range{why}"
        )
    return Sample(
        rows=rows,
        times=candles.open_time[rows],
        block=block,
        outcomes={key: value[rows] for key, value in came.items()},
        said=scores(manifest, answers),
        answers=answers,
        regime=regime[rows].astype(np.int64),
        refused=refused,
    )


def week(timeframe: Timeframe) -> int:
    """Bars in the 168 hours of a block."""
    return max(1, BLOCK_HOURS * 3_600_000 // timeframe.ms)


def scores(manifest: Manifest, answers: Answers) -> dict[str, dict[str, Floats]]:
    """What the ensemble, the plain average of its members and each family said, as in `Sample.said`."""
    said: dict[str, dict[str, Floats]] = {STACK: dict(answers.heads), AVERAGE: {}}
    for key in manifest.ensemble.stackers:
        columns = {}
        for member in manifest.models:
            own = member.head_for(key)
            if member.role == "direction" and own is not None:
                found = answers.members[f"{member.name}/{own}"]
                if np.isfinite(found).any() or not len(found):
                    columns[member.name] = found
        said[AVERAGE][key] = np.nanmean(list(columns.values()), axis=0)
        families = [family(name) for name in columns]
        for name, column in columns.items():
            alone = families.count(family(name)) == 1
            said.setdefault(family(name) if alone else name, {})[key] = column
    for mine in said.values():
        for h in manifest.horizons:
            if f"{h}/long" in mine and f"{h}/short" in mine:
                mine[f"{h}/{UP}"] = logit(mine[f"{h}/long"]) - logit(mine[f"{h}/short"])
    return said


def _refuse(refused: dict[str, int], rows: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], reason: str) -> None:
    if rows.any():
        refused[reason] = int(rows.sum())
