"""Phases: how far a deployment has come, and the caps that go with it. A preset only ever tightens the rules file.

| phase | stands for |
|---|---|
| paper | a real market's prices, nothing at stake: only what no sane rules would pass |
| testnet | an exchange's test network: as live, with play money |
| small_live | first real money: little enough that losing all of it teaches and does not hurt |
| scale_up | real money after `small_live` went well: room to grow, losses still caught early |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from market.instruments import CASH
from strategy.live_config import HaltLimits, Rules
from strategy.plan import STRICTNESS, TradingState


class Phase(StrEnum):
    """How far a deployment has come."""

    PAPER = "paper"
    TESTNET = "testnet"
    SMALL_LIVE = "small_live"
    SCALE_UP = "scale_up"


@dataclass(frozen=True, slots=True)
class Preset:
    """The caps of a phase, in the units of `Rules`; `max_notional` in whole quote currency."""

    max_notional: int
    leverage: int
    max_positions: int
    margin_bps: int
    risk_bps: int
    price_band_bps: int
    entries_per_hour: int
    orders_per_minute: int
    halts: HaltLimits


REDUCING, HALTED = TradingState.REDUCING, TradingState.HALTED
PRESETS: dict[Phase, Preset] = {
    Phase.PAPER: Preset(
        max_notional=1_000_000, leverage=20, max_positions=20, margin_bps=2_500, risk_bps=1_500,
        price_band_bps=300, entries_per_hour=60, orders_per_minute=300,
        halts=HaltLimits(1_000, REDUCING, 2_000, REDUCING, 3_000, HALTED, 15, REDUCING),
    ),
    Phase.TESTNET: Preset(
        max_notional=100_000, leverage=10, max_positions=10, margin_bps=1_500, risk_bps=1_000,
        price_band_bps=200, entries_per_hour=30, orders_per_minute=120,
        halts=HaltLimits(700, REDUCING, 1_500, REDUCING, 2_500, HALTED, 10, REDUCING),
    ),
    Phase.SMALL_LIVE: Preset(
        max_notional=1_000, leverage=3, max_positions=2, margin_bps=500, risk_bps=100,
        price_band_bps=50, entries_per_hour=6, orders_per_minute=30,
        halts=HaltLimits(100, REDUCING, 200, HALTED, 500, HALTED, 4, REDUCING),
    ),
    Phase.SCALE_UP: Preset(
        max_notional=25_000, leverage=5, max_positions=5, margin_bps=1_000, risk_bps=300,
        price_band_bps=100, entries_per_hour=12, orders_per_minute=60,
        halts=HaltLimits(300, REDUCING, 600, REDUCING, 1_200, HALTED, 6, REDUCING),
    ),
}  # fmt: skip
"""`halts` by column: daily loss, weekly loss and drawdown in 1e-4 of equity, losing trades; after each what it does."""


def tighten(rules: Rules, phase: Phase | None) -> tuple[Rules, tuple[str, ...]]:
    """The rules under a phase's caps, and in words what it tightened; None leaves them as they are.

    Of two limits the smaller holds, of two consequences the stricter; one that the rules turn off is the preset's.
    """
    if phase is None:
        return rules, ()
    preset = PRESETS[phase]
    low, mid, high = (min(given, preset.leverage) for given in rules.leverage)
    tight = replace(
        rules,
        leverage=(low, mid, high),
        max_notional=min(rules.max_notional, preset.max_notional * CASH),
        max_positions=min(rules.max_positions, preset.max_positions),
        margin_bps=min(rules.margin_bps, preset.margin_bps),
        risk_bps=min(rules.risk_bps, preset.risk_bps),
        price_band_bps=_smaller(rules.price_band_bps, preset.price_band_bps),
        entries_per_hour=_smaller(rules.entries_per_hour, preset.entries_per_hour),
        orders_per_minute=_smaller(rules.orders_per_minute, preset.orders_per_minute),
        halts=_halts(rules.halts, preset.halts),
    )
    before, now = _in_words(rules), _in_words(tight)
    return tight, tuple(f"{key} {before[key]} -> {now[key]}" for key in before if before[key] != now[key])


def _halts(given: HaltLimits, preset: HaltLimits) -> HaltLimits:
    return HaltLimits(
        daily_loss_bps=_smaller(given.daily_loss_bps, preset.daily_loss_bps),
        daily_loss_then=_stricter(given.daily_loss_then, preset.daily_loss_then),
        weekly_loss_bps=_smaller(given.weekly_loss_bps, preset.weekly_loss_bps),
        weekly_loss_then=_stricter(given.weekly_loss_then, preset.weekly_loss_then),
        drawdown_bps=_smaller(given.drawdown_bps, preset.drawdown_bps),
        drawdown_then=_stricter(given.drawdown_then, preset.drawdown_then),
        losing_streak=_smaller(given.losing_streak, preset.losing_streak),
        losing_streak_then=_stricter(given.losing_streak_then, preset.losing_streak_then),
    )


def _smaller(given: int, preset: int) -> int:
    """The smaller of two limits of which 0 is none."""
    return min(given, preset) if given and preset else given or preset


def _stricter(given: TradingState, preset: TradingState) -> TradingState:
    return max(given, preset, key=STRICTNESS.__getitem__)


def _in_words(rules: Rules) -> dict[str, str]:
    """What a phase may tighten, by its key in the rules file."""
    halts = rules.halts
    return {
        "regimes.leverage": "/".join(map(str, rules.leverage)),
        "size.max_notional": f"{rules.max_notional / CASH:,.0f}",
        "size.margin": _share(rules.margin_bps),
        "caps.positions": str(rules.max_positions),
        "caps.risk": _share(rules.risk_bps),
        "orders.price_band": _share(rules.price_band_bps),
        "orders.entries_per_hour": str(rules.entries_per_hour or "none"),
        "orders.orders_per_minute": str(rules.orders_per_minute or "none"),
        "halts.daily_loss": _halt(_share(halts.daily_loss_bps), halts.daily_loss_then),
        "halts.weekly_loss": _halt(_share(halts.weekly_loss_bps), halts.weekly_loss_then),
        "halts.drawdown": _halt(_share(halts.drawdown_bps), halts.drawdown_then),
        "halts.losing_streak": _halt(f"{halts.losing_streak} trades", halts.losing_streak_then),
    }


def _share(bps: int) -> str:
    return f"{bps / 100:g} %" if bps else "none"


def _halt(limit: str, then: TradingState) -> str:
    return "none" if then is TradingState.ACTIVE else f"{limit} {then}"
