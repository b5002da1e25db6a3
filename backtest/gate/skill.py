"""Skill: what the recipe foretold while walking forward, against chance, the champion, and the baselines.

Heads are weighed as the set weighs their horizons; each head is also told by itself, and held against nobody.
"""

from __future__ import annotations

from backtest.gate.evidence import Evidence
from backtest.gate.recipe import SIDES
from backtest.gate.ruling import above, better, no_worse, told, unless_worse
from backtest.gate.sample import Sample, weighed
from backtest.verdict import Gate
from models.resampling import Drawn

RIVALS = ("volatility_and_clock", "logistic")


def gates(evidence: Evidence, rows: Sample) -> list[Gate]:
    """The family."""
    margin = evidence.terms.config.skill.margin
    found: list[Gate] = []
    for side in SIDES:
        ours = {h: rows.stack(rows.challenger, h, side) for h in rows.weights}
        theirs = None
        if rows.champion is not None:
            theirs = {h: rows.stack(rows.champion, h, side) for h in rows.weights}
        found += _against_chance(rows, side, ours, theirs)
        whole = weighed(ours, rows.weights)
        if theirs is not None:
            found += _against_champion(rows, side, ours, theirs, margin)
        found += _against_baselines(rows, side, whole, margin)
    found.append(_against_reversal(rows, margin))
    return found


def _against_chance(rows: Sample, side: str, ours: dict[int, Drawn], theirs: dict[int, Drawn] | None) -> list[Gate]:
    champion = None if theirs is None else weighed(theirs, rows.weights).value
    found = [
        above(
            f"skill/auc/{side}",
            f"Does P({side}) foretell better than chance (AUC, horizons by weight)?",
            rows.interval(weighed(ours, rows.weights)),
            0.5,
            champion,
        )
    ]
    for horizon, drawn in ours.items():
        gate = above(
            f"skill/auc/{horizon}/{side}",
            f"AUC of P({side}) over {horizon} candles",
            rows.interval(drawn),
            0.5,
            None if theirs is None else theirs[horizon].value,
        )
        found.append(told(gate))
    return found


def _against_champion(
    rows: Sample, side: str, ours: dict[int, Drawn], theirs: dict[int, Drawn], margin: float
) -> list[Gate]:
    whole, other = weighed(ours, rows.weights), weighed(theirs, rows.weights)
    found = [
        better(
            f"skill/champion/{side}",
            f"Does P({side}) foretell better than the champion's, on the same rows?",
            other.value,
            whole.value,
            rows.interval(whole.minus(other)),
            margin,
        )
    ]
    for horizon, drawn in ours.items():
        gate = better(
            f"skill/champion/{horizon}/{side}",
            f"Does P({side}) over {horizon} candles foretell better than the champion's?",
            theirs[horizon].value,
            drawn.value,
            rows.interval(drawn.minus(theirs[horizon])),
            margin,
        )
        found.append(told(gate))
    return found


def _against_baselines(rows: Sample, side: str, ours: Drawn, margin: float) -> list[Gate]:
    """Volatility and clock must be beaten surely: what equals them knows how much and not where to. A regression on the
    same features may not be surely better; where direction is linear no honest ensemble surpasses it."""
    clock, line = (weighed({h: rows.baseline(r, h, side) for h in rows.weights}, rows.weights) for r in RIVALS)
    return [
        better(
            f"skill/volatility_and_clock/{side}",
            f"Does P({side}) know more than how much the price will move?",
            clock.value,
            ours.value,
            rows.interval(ours.minus(clock)),
            0.0,
        ),
        unless_worse(
            no_worse(
                f"skill/logistic/{side}",
                f"Does P({side}) foretell no worse than a logistic regression on the same features?",
                line.value,
                ours.value,
                rows.interval(ours.minus(line)),
                margin,
            )
        ),
    ]


def _against_reversal(rows: Sample, margin: float) -> Gate:
    ours = weighed({h: rows.direction(rows.challenger, h) for h in rows.weights}, rows.weights)
    rule = weighed({h: rows.reversal(h) for h in rows.weights}, rows.weights)
    return better(
        "skill/minus_24h_return",
        "Does the lead of long over short foretell the direction better than minus the return of 24 hours?",
        rule.value,
        ours.value,
        rows.interval(ours.minus(rule)),
        margin,
    )
