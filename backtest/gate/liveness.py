"""Liveness: does every output still move, in a range where thresholds can tell anything, at every candle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backtest.gate.evidence import Evidence
from backtest.gate.ruling import at_least, at_most, told
from backtest.verdict import Gate, Says
from market.candles import Floats
from models.ensemble import Answers
from models.manifest import REGIMES


def gates(evidence: Evidence) -> list[Gate]:
    """The family, one gate an output."""
    side, settings = evidence.challenger, evidence.terms.config.liveness
    unseen = side.unseen
    if not len(unseen.rows):
        return [
            Gate("liveness/missing", "Is there a prediction at each candle?", Says.UNCLEAR, "", why="no unseen candles")
        ]
    found = [_missing(evidence)]
    idle = _without_weight(evidence)
    theirs = {} if evidence.champion is None else dict(_outputs(evidence.champion.unseen.answers))
    for name, values in _outputs(unseen.answers):
        champion = _deviation(theirs[name]) if name in theirs else None
        gate = at_least(
            f"liveness/{name}",
            f"Does {name} move from candle to candle?",
            _deviation(values),
            settings.least_deviation,
            champion,
        )
        # what counts for nothing in the ensemble may be dead
        found.append(told(gate) if name in idle else gate)
    low, high = settings.band
    for name in ("p_long", "p_short"):
        inside = np.quantile(getattr(unseen.answers, name), (0.01, 0.99))
        says = Says.PASS if low <= inside[0] and inside[1] <= high else Says.WARNING
        found.append(
            Gate(
                f"liveness/range/{name}",
                f"Do the 1st to 99th percentile of {name} lie where thresholds can tell anything?",
                says,
                f"inside {low:g} to {high:g}",
                interval=(float(inside[0]), float(inside[1])),
                why="inside" if says is Says.PASS else "outside",
            )
        )
    return found


def _missing(evidence: Evidence) -> Gate:
    unseen = evidence.challenger.unseen
    share = 1 - float(unseen.answers.finite.sum()) / max(1, len(unseen.candles))
    champion = None
    if evidence.champion is not None:
        other = evidence.champion.unseen
        champion = 1 - float(other.answers.finite.sum()) / max(1, len(other.candles))
    most = evidence.terms.config.liveness.missing
    return at_most("liveness/missing", "Is there a prediction at each candle?", share, most, champion)


def _outputs(answers: Answers) -> Iterator[tuple[str, Floats]]:
    yield from (("p_long", answers.p_long), ("p_short", answers.p_short))
    yield from answers.heads.items()
    yield from answers.members.items()
    yield from ((f"regime/{name}", answers.regime[:, k]) for k, name in enumerate(REGIMES))


def _deviation(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.std(known)) if len(known) else 0.0


def _without_weight(evidence: Evidence) -> set[str]:
    """Outputs of horizons that weigh nothing, and of members a stacker multiplies by next to nothing."""
    manifest = evidence.challenger.manifest
    ensemble = manifest.ensemble
    light: set[str] = set()
    heavy: set[str] = set()
    for head, stacker in ensemble.stackers.items():
        weighs = ensemble.weights[head.split("/")[0]] > 0
        (heavy if weighs else light).add(head)
        for member, coefficient in zip(stacker.members, stacker.coefficients, strict=True):
            # a finer member's side is read by the stackers of every horizon
            output = f"{member}/{manifest.member(member).head_for(head)}"
            (heavy if weighs and abs(coefficient) >= 1e-3 else light).add(output)
    return light - heavy
