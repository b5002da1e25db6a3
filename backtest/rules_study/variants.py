"""The variants that are compared: nothing but leverage, stop and, to match exposure, the margin's share differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from strategy.live_config import NO_HALTS, HaltLimits, Rules

REGIME, FIXED, LEVERAGE, STOP, MATCHED = "regime", "fixed", "leverage", "stop", "matched"
VARIANTS = {
    REGIME: "leverage and stop by regime, as the rules file says",
    FIXED: "the mid regime's leverage and stop in every regime",
    LEVERAGE: "leverage by regime, the mid regime's stop",
    STOP: "the mid regime's leverage, stop by regime",
    MATCHED: "fixed, with the margin that gives the same mean exposure as by regime",
}
"""Name -> what it is."""

OFF, NO_DRAWDOWN, WRITTEN = "off", "without drawdown", "as written"
HALTS = (OFF, NO_DRAWDOWN, WRITTEN)
"""Which halts are in force. A drawdown halt lasts until an operator resumes, which in a backtest is never."""

_ROUNDS, _CLOSE = 8, 0.002

Exposure = Callable[[Rules], float | None]
"""Plays rules and gives the mean exposure: notional over equity, averaged over time; None without a trade."""


def variant(name: str, rules: Rules) -> Rules:
    """The rules under the terms of a variant other than `MATCHED`, which is found by playing (`matched`)."""
    leverage, stop = rules.leverage, rules.stop_bps
    if name in (FIXED, STOP):
        leverage = (leverage[1], leverage[1], leverage[1])
    if name in (FIXED, LEVERAGE):
        stop = (stop[1], stop[1], stop[1])
    return replace(rules, leverage=leverage, stop_bps=stop)


def matched(rules: Rules, exposure: Exposure) -> Rules:
    """Fixed terms with the margin's share at which the mean exposure is that of the rules by regime.

    Leverage and stop stay those of `FIXED`; only the size changes, so that "less risk" can be told from "better risk".
    The share is in 1e-4, so exposures agree to about a part in a thousand.
    """
    fixed = variant(FIXED, rules)
    wanted = exposure(variant(REGIME, rules))
    if not wanted:
        return fixed
    best, least = fixed, float("inf")
    trial = fixed
    for _ in range(_ROUNDS):
        found = exposure(trial)
        if not found:
            return best
        if abs(found / wanted - 1) < least:
            best, least = trial, abs(found / wanted - 1)
        margin = max(1, min(round(trial.margin_bps * wanted / found), 10_000 - trial.reserve_bps))
        if least < _CLOSE or margin == trial.margin_bps:
            return best
        trial = replace(fixed, margin_bps=margin)
    return best


def under(halts: str, rules: Rules) -> Rules:
    """The rules with the halts of that name in force."""
    off = NO_HALTS.limits()
    limits: HaltLimits = {
        OFF: off,
        NO_DRAWDOWN: replace(rules.halts, drawdown_bps=0, drawdown_then=off.drawdown_then),
        WRITTEN: rules.halts,
    }[halts]
    return replace(rules, halts=limits)
