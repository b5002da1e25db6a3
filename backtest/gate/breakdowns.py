"""Breakdowns: where a good total may hide a bad part: a fold, a month, a side, a volatility regime."""

from __future__ import annotations

import numpy as np

from backtest import significance
from backtest.broker import Closed
from backtest.gate.evidence import Evidence
from backtest.gate.recipe import SIDES
from backtest.gate.ruling import at_least, at_most, not_surely_below, number
from backtest.gate.sample import Sample
from backtest.statistics import DAY_MS, REGIMES
from backtest.verdict import Gate, Says
from models import metrics
from models.metrics import Interval

BLOCK_TRADES = 5
LEAST_TRADES = 10


def gates(evidence: Evidence, rows: Sample | None) -> list[Gate]:
    """The family."""
    found = [] if rows is None else [_worst_fold(evidence, rows)]
    played = evidence.challenger.walked
    if played is None:
        return found
    cash, closed = played.result.start_cash, played.result.closed
    groups = {f"side/{side}": [c for c in closed if c.trade.side == 1 - 2 * at] for at, side in enumerate(SIDES)}
    groups |= {f"regime/{name}": [c for c in closed if c.regime == k] for k, name in enumerate(REGIMES)}
    found += [_part(evidence, name, part, cash) for name, part in groups.items()]
    return [*found, *_months(evidence)]


def _worst_fold(evidence: Evidence, rows: Sample) -> Gate:
    recipe = rows.challenger
    by_fold = {}
    for part in np.unique(recipe.part).tolist():
        one = recipe.at(recipe.part == part)
        told = [
            weight * metrics.auc(one.paid(h, side), one.stack(f"{h}/{side}")) / len(SIDES)
            for h, weight in rows.weights.items()
            for side in SIDES
        ]
        by_fold[part] = sum(told)
    worst = min(by_fold, key=lambda part: by_fold[part])
    gate = at_least(
        "breakdown/fold",
        "Does even the worst fold foretell hardly worse than chance (AUC)?",
        number(by_fold[worst]),
        evidence.terms.config.skill.worst_fold,
    )
    told_all = ", ".join(f"{'test' if part < 0 else part}: {auc:.3f}" for part, auc in by_fold.items())
    return Gate(gate.name, gate.question, gate.says, gate.threshold, None, gate.challenger, None, None, told_all)


def _part(evidence: Evidence, name: str, closed: list[Closed], cash: int) -> Gate:
    """Rule: a part of the trades may be weak, but not surely losing."""
    question = f"Do trades by {name.replace('/', ' ')} not surely lose (mean, in starting cash)?"
    if len(closed) < LEAST_TRADES:
        why = f"{len(closed)} trades say nothing"
        return Gate(f"breakdown/{name}", question, Says.PASS, "not surely below 0", challenger=None, why=why)
    profit = np.array([c.trade.profit / cash for c in closed])
    settings = evidence.terms.config.bootstrap
    measured: Interval = significance.bootstrap(
        profit, significance.mean_return, BLOCK_TRADES, settings.draws, settings.confidence, settings.seed
    )
    gate = not_surely_below(f"breakdown/{name}", question, measured, 0.0)
    why = f"{len(closed)} trades, {gate.why}"
    return Gate(
        gate.name, gate.question, gate.says, gate.threshold, None, gate.challenger, None, gate.interval, why
    )  # fmt: skip


def _months(evidence: Evidence) -> list[Gate]:
    played, settings = evidence.challenger.walked, evidence.terms.config.breakdowns
    assert played is not None
    months = (played.days * DAY_MS).astype("datetime64[ms]").astype("datetime64[M]")
    gains = np.array([np.prod(1 + played.daily[months == m]) - 1 for m in np.unique(months)])
    if not len(gains):
        return []
    return [
        at_most(
            "breakdown/losing_months",
            "Do most months not lose (share that does)?",
            float(np.mean(gains < 0)),
            settings.losing_months,
        ),
        at_least("breakdown/worst_month", "Is the worst month bearable?", float(gains.min()), -settings.month_loss),
    ]
