"""Stacking and regime: whether the two parts that cost complexity are worth more than the simple thing."""

from __future__ import annotations

import numpy as np

from backtest.gate.evidence import Evidence
from backtest.gate.recipe import SIDES, Recipe
from backtest.gate.ruling import better, no_worse, unless_worse
from backtest.gate.sample import Sample, weighed
from backtest.verdict import Gate, Says
from market.candles import Floats
from models import metrics
from models.metrics import Interval
from models.resampling import Resamples

_EDGE = 1e-15


def stacking(evidence: Evidence, rows: Sample) -> list[Gate]:
    """The stack against the plain average of its members, by the record."""
    margin = evidence.terms.config.skill.margin
    found = []
    for side in SIDES:
        ours = weighed({h: rows.stack(rows.challenger, h, side) for h in rows.weights}, rows.weights)
        plain = weighed(
            {h: rows.auc(rows.challenger, f"logit/average/{h}/{side}", h, side) for h in rows.weights}, rows.weights
        )
        difference = rows.interval(ours.minus(plain))
        question = f"Does the stack foretell no worse than the plain average of its members, for {side}?"
        gate = no_worse(f"stacking/{side}", question, plain.value, ours.value, difference, margin)
        found.append(unless_worse(gate))
    return found


def regime(evidence: Evidence) -> list[Gate]:
    """The volatility classifier against HAR with the calendar, fitted on the same rows, by the record."""
    ours = evidence.challenger.recipe
    if ours is None:
        return []
    outcome, said = ours.regime_known(), ours.regime_probabilities("regime")
    har = ours.regime_probabilities("har")
    known = np.isfinite(outcome) & np.isfinite(said).all(axis=1) & np.isfinite(har).all(axis=1)
    if not known.any():
        question = "Does the regime model foretell volatility no worse than HAR with the calendar?"
        return [Gate("regime/log_loss", question, Says.UNCLEAR, "", why="no recorded row has both")]
    settings = evidence.terms.config.bootstrap
    resamples = Resamples(int(known.sum()), evidence.block, settings.draws, settings.seed + 4)
    came, said, har = outcome[known].astype(np.int64), said[known], har[known]
    gain = resamples.mean(_loss(came, har) - _loss(came, said)).interval(settings.confidence)
    agreement = resamples.kappa(came, said.argmax(axis=1)).minus(resamples.kappa(came, har.argmax(axis=1)))
    limits = evidence.terms.config.regime
    against_har = [
        no_worse(
            "regime/log_loss",
            "Does the regime model foretell volatility no worse than HAR with the calendar (gain in log-loss)?",
            metrics.class_log_loss(came, har),
            metrics.class_log_loss(came, said),
            gain,
            limits.log_loss,
        ),
        no_worse(
            "regime/kappa",
            "Does the regime model name regimes no worse than HAR with the calendar (quadratic kappa)?",
            metrics.quadratic_kappa(came, har.argmax(axis=1)),
            metrics.quadratic_kappa(came, said.argmax(axis=1)),
            agreement.interval(settings.confidence),
            limits.kappa,
        ),
    ]
    return [*map(unless_worse, against_har), *_against_champion(evidence)]


def _against_champion(evidence: Evidence) -> list[Gate]:
    """Accuracy against the champion's: each by its own edges, so told as a warning at most."""
    ours, theirs = evidence.challenger.recipe, None if evidence.champion is None else evidence.champion.recipe
    if ours is None or theirs is None or len(ours) != len(theirs):
        return []
    pair = [_right(r) for r in (ours, theirs)]
    known = np.isfinite(pair[0]) & np.isfinite(pair[1])
    if not known.any():
        return []
    settings = evidence.terms.config.bootstrap
    resamples = Resamples(int(known.sum()), evidence.block, settings.draws, settings.seed + 4)
    mine, other = (resamples.mean(p[known]) for p in pair)
    difference: Interval = mine.minus(other).interval(settings.confidence)
    gate = better(
        "regime/champion", "Is the regime said right more often than the champion's?", other.value, mine.value,
        difference, evidence.terms.config.regime.kappa,
    )  # fmt: skip
    says = gate.says if gate.says is Says.PASS else Says.WARNING
    return [
        Gate(gate.name, gate.question, says, gate.threshold, gate.champion, gate.challenger, gate.difference,
             gate.interval, gate.why)
    ]  # fmt: skip


def _right(recipe: Recipe) -> Floats:
    outcome, said = recipe.regime_known(), recipe.regime_said()
    return np.where(np.isfinite(outcome) & (said >= 0), (outcome == said).astype(np.float64), np.nan)


def _loss(outcome: np.ndarray[tuple[int, ...], np.dtype[np.int64]], probability: Floats) -> Floats:
    loss: Floats = -np.log(np.clip(probability[np.arange(len(outcome)), outcome], _EDGE, 1.0))
    return loss
