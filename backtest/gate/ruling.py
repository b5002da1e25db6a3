"""How a figure becomes a verdict: a few rules that every family of gates shares, so that each is the same everywhere.

A difference is judged by its interval, never by its value alone: surely good enough passes, surely not fails, and what
the interval leaves open is not enough evidence.
"""

from __future__ import annotations

import math

from backtest.verdict import Gate, Says
from models.metrics import Interval


def number(value: float | None) -> float | None:
    """The value, None where it is no number: a verdict is JSON."""
    return None if value is None or not math.isfinite(value) else float(value)


def bounds(interval: Interval) -> tuple[float, float] | None:
    """The interval's bounds, None where it has none."""
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return (interval.low, interval.high) if known else None


def above(name: str, question: str, measured: Interval, least: float, champion: float | None = None) -> Gate:
    """Rule: a figure whose whole interval lies above `least` passes; one that is not even above it itself fails."""
    says, why = Says.UNCLEAR, "the interval holds what is to be passed"
    if bounds(measured) is None:
        why = "there is no value"
    elif measured.low > least:
        says, why = Says.PASS, "the whole interval lies above"
    elif measured.value <= least:
        says, why = Says.FAIL, "the figure itself is not above"
    return _of_interval(name, question, says, f"above {least:g}, with its interval", measured, champion, why)


def better(
    name: str, question: str, champion: float | None, challenger: float | None, difference: Interval, margin: float
) -> Gate:
    """Rule: a difference above 0 with its lower bound above `-margin` passes; one wholly below 0 fails."""
    says, why = Says.UNCLEAR, "better and worse are both possible"
    if bounds(difference) is None:
        why = "there is no value"
    elif difference.low > -margin and difference.value > 0:
        says, why = Says.PASS, "better, and surely not worse than the margin"
    elif difference.high < 0:
        says, why = Says.FAIL, "the whole interval lies below 0: worse"
    demanded = f"difference above 0, lower bound above {-margin:g}"
    return _of_difference(name, question, says, demanded, champion, challenger, difference, why)


def no_worse(
    name: str, question: str, champion: float | None, challenger: float | None, difference: Interval, margin: float
) -> Gate:
    """Rule: a difference surely above `-margin` passes, one surely below fails."""
    says, why = Says.UNCLEAR, f"being worse by {margin:g} is neither proven nor excluded"
    if bounds(difference) is None:
        why = "there is no value"
    elif difference.low > -margin:
        says, why = Says.PASS, "surely not worse than the margin"
    elif difference.high < -margin:
        says, why = Says.FAIL, "surely worse than the margin allows"
    demanded = f"lower bound above {-margin:g}"
    return _of_difference(name, question, says, demanded, champion, challenger, difference, why)


def unless_worse(gate: Gate) -> Gate:
    """Rule: against what cannot trade in its place, a set fails where it is surely worse; not being proven is told."""
    return told(gate) if gate.says is Says.UNCLEAR else gate


def not_surely_below(
    name: str,
    question: str,
    measured: Interval,
    least: float,
    champion: float | None = None,
    challenger: float | None = None,
) -> Gate:
    """Rule: against catastrophe, where little data can show no more: only a whole interval below `least` fails."""
    fails = bounds(measured) is not None and measured.high < least
    says = Says.FAIL if fails else Says.PASS
    why = "the whole interval lies below" if fails else "not surely below"
    if bounds(measured) is None:
        says, why = Says.UNCLEAR, "there is no value"
    gate = _of_interval(name, question, says, f"not surely below {least:g}", measured, champion, why)
    if challenger is None:
        return gate
    return Gate(
        name, question, says, gate.threshold, number(champion), number(challenger), number(measured.value),
        gate.interval, why,
    )  # fmt: skip


def at_most(
    name: str, question: str, value: float | None, most: float, champion: float | None = None, unit: str = ""
) -> Gate:
    """Rule: a figure that needs no interval, and its limit."""
    fits = value is not None and math.isfinite(value) and value <= most
    says = Says.PASS if fits else Says.UNCLEAR if value is None else Says.FAIL
    why = "within" if fits else "there is no value" if value is None else "above the limit"
    return Gate(name, question, says, f"at most {most:.4g}{unit}", number(champion), number(value), why=why)


def at_least(
    name: str, question: str, value: float | None, least: float, champion: float | None = None, unit: str = ""
) -> Gate:
    """As `at_most`, the other way."""
    fits = value is not None and math.isfinite(value) and value >= least
    says = Says.PASS if fits else Says.UNCLEAR if value is None else Says.FAIL
    why = "reached" if fits else "there is no value" if value is None else "below what is demanded"
    return Gate(name, question, says, f"at least {least:.4g}{unit}", number(champion), number(value), why=why)


def enough(name: str, question: str, have: float, least: float, unit: str) -> Gate:
    """Rule: too little evidence is never a failure; it is not enough."""
    says = Says.PASS if have >= least else Says.UNCLEAR
    why = "enough" if have >= least else f"{have:,.4g} of {least:,.4g} {unit}"
    return Gate(name, question, says, f"at least {least:,.4g} {unit}", challenger=float(have), why=why)


def holds(name: str, question: str, demanded: str, held: bool, why: str = "") -> Gate:
    """Rule: a plain yes or no."""
    return Gate(name, question, Says.PASS if held else Says.FAIL, demanded, why=why)


def told(gate: Gate) -> Gate:
    """The gate as a remark: what does not pass is a warning, and held against nobody."""
    if gate.says is Says.PASS:
        return gate
    return Gate(
        gate.name, gate.question, Says.WARNING, gate.threshold, gate.champion, gate.challenger, gate.difference,
        gate.interval, gate.why,
    )  # fmt: skip


def _of_interval(
    name: str, question: str, says: Says, demanded: str, measured: Interval, champion: float | None, why: str
) -> Gate:
    return Gate(
        name, question, says, demanded, number(champion), number(measured.value), None, bounds(measured), why
    )  # fmt: skip


def _of_difference(
    name: str,
    question: str,
    says: Says,
    demanded: str,
    champion: float | None,
    challenger: float | None,
    difference: Interval,
    why: str,
) -> Gate:
    return Gate(
        name, question, says, demanded, number(champion), number(challenger), number(difference.value),
        bounds(difference), why,
    )  # fmt: skip
