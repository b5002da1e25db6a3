"""Evaluation: what a set is worth on a history, beside baselines on the same rows, with intervals."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from market.progress import Steps
from market.timeframes import utc_text
from models.evaluation import direction, gap, overlap, regime, report, rivals, sample
from models.evaluation.data import History
from models.inference import Predictor
from models.resampling import CONFIDENCE, Resamples

Json = dict[str, Any]


def evaluate(
    predictor: Predictor,
    history: History,
    start: int | None = None,
    end: int | None = None,
    allow_overlap: bool = False,
    draws: int = 500,
    seed: int = 0,
    steps: Steps | None = None,
) -> Json:
    """Score a set on a history.

    Parameters
    ----------
    predictor : Predictor
        The set, opened.
    history : History
        From `models.evaluation.data.read`; bars before `start` are its warm-up.
    start, end : int, optional
        Bars judged, [start, end) by open time, UTC ms.
    allow_overlap : bool
        Judge bars the set was made of too.
    draws, seed : int
        Of the bootstrap, in blocks of a week.
    steps : Steps, optional
        Where progress is shown.

    Returns
    -------
    dict
        Ready for JSON: ``direction``, ``profitable_long`` and ``profitable_short`` by horizon and member, ``regime``,
        ``oof_test_gap``, ``data``, ``overlap``; what has no value is None.

    Raises
    ------
    DataError
        If the range overlaps what the set was made of, or too few of its bars can be judged.
    """
    steps = steps or Steps(Console(quiet=True), quiet=True)
    judged = overlap.judged(predictor.manifest, history, start, end, allow_overlap)
    with steps.step("baselines") as step:
        against = rivals.rivals(predictor, history, judged)
        step.note(against.reason or f"fitted on {against.origin}")
    with steps.step("ask the set") as step:
        taken = sample.take(
            predictor, history, judged, against, lambda done, of: step.doing(f"{done:,} of {of:,} bars")
        )
        step.note(f"{len(taken.rows):,} bars judged")
    with steps.step("figures") as step:
        resamples = Resamples(len(taken.rows), taken.block, draws, seed)
        sections = direction.figures(taken, against, resamples, step.doing)
        regimes = regime.figures(taken, against, resamples)
        step.note(f"{draws} draws of blocks of {taken.block} bars")
    with steps.step("recorded walk-forward") as step:
        gaps = gap.figures(predictor, taken, resamples, draws, seed, step.doing)
        step.note(gaps["reason"] or gaps["source"])
    warnings = list(judged.warnings)
    for family, many in taken.answers.without().items():
        warnings.append(f"{many:,} of {len(taken.rows):,} bars were answered without {family}, which gave no number")
    if len(taken.rows) < sample.FEW_BLOCKS * taken.block:
        weeks = len(taken.rows) / taken.block
        warnings.append(f"{weeks:.1f} weeks are few: intervals of fewer than {sample.FEW_BLOCKS} are too narrow")
    told = {
        "model_set": predictor.id,
        "symbol": history.symbol,
        "data": {
            "file": str(history.file),
            "sha256": history.sha256,
            "timeframe": str(history.candles.timeframe),
            "from": utc_text(int(taken.times[0])),
            "to": utc_text(int(taken.times[-1]) + history.candles.timeframe.ms),
            "rows": len(taken.rows),
            "refused": taken.refused,
            "answered_without": taken.answers.without(),
            **history.besides,
        },
        "overlap": judged.overlap,
        "warnings": warnings,
        "interval": {"confidence": CONFIDENCE, "draws": draws, "block_bars": taken.block, "seed": seed},
        "baselines": {"fitted_on": against.origin, "reason": against.reason},
        "base_rate": {key: float(outcome.mean()) for key, outcome in taken.outcomes.items()},
        **sections,
        "regime": regimes,
        "oof_test_gap": gaps,
    }
    plain: Json = report.plain(told)
    return plain
