"""Leaks: skill that comes from the future: too good, or fading on the test slice, or changing with history."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest.gate import sample
from backtest.gate.evidence import Evidence
from backtest.gate.recipe import SIDES, TEST, Recipe
from backtest.gate.ruling import at_most, bounds, number
from backtest.gate.sample import Sample, weighed
from backtest.verdict import Gate, Says
from models import audit
from models.audit import Audit, AuditError
from models.metrics import Interval
from models.resampling import Drawn, Resamples


def gates(evidence: Evidence, rows: Sample | None) -> list[Gate]:
    """The family."""
    found = [_canary(evidence), *_audits(evidence)]
    if rows is None:
        return found
    return [*found, *_too_good(evidence, rows), _gap(evidence, rows)]


def _canary(evidence: Evidence) -> Gate:
    name, question = "leak/canary", "Did a model fitted to shuffled labels show no skill?"
    most = evidence.terms.config.leak.canary
    told: Any = evidence.challenger.manifest.evidence.get("canary")
    if not isinstance(told, dict) or not isinstance(told.get("auc"), dict) or told["auc"].get("value") is None:
        return Gate(name, question, Says.UNCLEAR, f"at most .5 + {most:g}", why="no canary was recorded; train again")
    auc = told["auc"]
    measured = Interval(auc["value"], _or_nan(auc.get("low")), _or_nan(auc.get("high")))
    # its interval knows the test rows' chance, not that of the one shuffle: hence the margin
    leaks = measured.low > 0.5 and measured.value > 0.5 + most
    return Gate(
        name, question, Says.FAIL if leaks else Says.PASS, f"AUC at most {0.5 + most:g}, or .5 in its interval",
        challenger=number(measured.value), interval=bounds(measured),
        why="skill in shuffled labels" if leaks else "none",
    )  # fmt: skip


def _audits(evidence: Evidence) -> list[Gate]:
    side, market, times = evidence.challenger, evidence.market, evidence.terms.config.leak.audited
    past = evidence.unseen_ms - 4 * (side.manifest.warmup + 1) * market.candles.timeframe.ms
    read = market.inputs(side.manifest).between(past)
    found = []
    for name, question, run in (
        ("leak/look_ahead", "Do signals stay the same whatever comes after them?", audit.look_ahead),
        ("leak/recursion", "Do features and signals stay the same wherever history begins?", audit.recursion),
    ):
        demanded = f"unchanged at {times} candles"
        try:
            told = run(
                side.predictor, market.instrument.symbol, read.candles, market.funding, times=times,
                finer=read.finer, companion=read.companion,
            )  # fmt: skip
        except AuditError as error:
            found.append(Gate(name, question, Says.UNCLEAR, demanded, why=str(error)))
            continue
        says = Says.PASS if told.clean else Says.FAIL
        found.append(Gate(name, question, says, demanded, challenger=_largest(told), why=_found(told)))
    return found


def _too_good(evidence: Evidence, rows: Sample) -> list[Gate]:
    """Rule: a direction AUC above the limit is a leak until proven otherwise; by the figure, for skill is not that rare
    an accident."""
    most = evidence.terms.config.leak.auc
    found = []
    for horizon in rows.challenger.horizons:
        measured = rows.interval(rows.direction(rows.challenger, horizon))
        champion = None if rows.champion is None or horizon not in rows.champion.horizons else (
            rows.direction(rows.champion, horizon).value
        )  # fmt: skip
        gate = at_most(
            f"leak/auc/{horizon}",
            f"Is the direction over {horizon} candles foretold no better than honest models can?",
            number(measured.value),
            most,
            champion,
        )
        why = gate.why if gate.says is Says.PASS else "a leak until proven otherwise"
        found.append(
            Gate(
                gate.name, gate.question, gate.says, gate.threshold, gate.champion, gate.challenger, None,
                bounds(measured), why,
            )
        )  # fmt: skip
    return found


def _gap(evidence: Evidence, rows: Sample) -> Gate:
    """Out-of-fold AUC less test AUC, all heads by weight: what validation promised and the untouched slice denied."""
    name, question = "leak/gap", "Does the skill out of fold hold on the untouched test slice?"
    config, recipe = evidence.terms.config, rows.challenger
    demanded = f"gap not surely above {config.leak.gap:g}"
    folded, tested = recipe.at(recipe.part != TEST), recipe.at(recipe.part == TEST)
    if not len(folded) or not len(tested):
        return Gate(name, question, Says.UNCLEAR, demanded, why="the record has no test slice, or nothing besides")
    before = _pooled(folded, rows.weights, evidence, 1)
    after = _pooled(tested, rows.weights, evidence, 2)
    gap = before.minus(after).interval(config.bootstrap.confidence)
    says, why = Says.PASS, "within"
    if bounds(gap) is None:
        says, why = Says.UNCLEAR, "there is no value"
    elif gap.low > config.leak.gap:
        says, why = Says.FAIL, "validation promised what the test slice denies"
    elif gap.value > config.leak.gap:
        says, why = Says.WARNING, "above, and the interval holds less: inconclusive"
    return Gate(
        name, question, says, demanded, challenger=number(after.value), difference=number(gap.value),
        interval=bounds(gap), why=f"{why}; out of fold {before.value:.3f}, test {after.value:.3f}",
    )  # fmt: skip


def _pooled(recipe: Recipe, weights: dict[int, float], evidence: Evidence, seed: int) -> Drawn:
    settings = evidence.terms.config.bootstrap
    resamples = Resamples(len(recipe), evidence.block, settings.draws, settings.seed + seed)
    both = [
        weighed({h: resamples.auc(recipe.paid(h, side), recipe.stack(f"{h}/{side}")) for h in weights}, weights)
        for side in SIDES
    ]
    return sample.weighed(dict(enumerate(both)), {0: 0.5, 1: 0.5})


def _largest(told: Audit) -> float | None:
    return None if told.largest is None else number(told.largest.difference)


def _found(told: Audit) -> str:
    return f"{told.comparisons:,} comparisons" if told.worst is None else str(told.worst)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(np.float64(value))
