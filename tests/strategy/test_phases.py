"""Phases: a preset tightens, says what it tightened, and never loosens anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.instruments import CASH
from strategy.live_config import HaltLimits, LiveConfig, Rules
from strategy.phases import PRESETS, Phase, tighten
from strategy.plan import STRICTNESS, TradingState

ROOT = Path(__file__).resolve().parents[2]
ACTIVE, REDUCING, HALTED = TradingState
RULES = LiveConfig().rules()
SMALLER = ("max_notional", "max_positions", "margin_bps", "risk_bps")
SMALLER_IF_ON = ("price_band_bps", "entries_per_hour", "orders_per_minute")
LIMITS = ("daily_loss_bps", "weekly_loss_bps", "drawdown_bps", "losing_streak")
UNTOUCHED = ("long_entry", "short_entry", "edge", "long_exit", "short_exit", "max_hold_bars", "confirm", "stop_bps")

bps = st.integers(0, 9_999)
then = st.sampled_from([REDUCING, HALTED])


@st.composite
def halts(draw: st.DrawFn) -> HaltLimits:
    limits = [draw(bps), draw(bps), draw(bps), draw(st.integers(0, 40))]
    does = [draw(then) if limit else ACTIVE for limit in limits]
    return HaltLimits(*(value for pair in zip(limits, does, strict=True) for value in pair))  # type: ignore[arg-type]


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    return replace(
        RULES,
        leverage=tuple(draw(st.integers(1, 125)) for _ in range(3)),
        max_notional=draw(st.integers(1, 4_000_000)) * CASH,
        max_positions=draw(st.integers(1, 1_000)),
        margin_bps=draw(st.integers(1, 10_000)),
        risk_bps=draw(st.integers(1, 10_000)),
        price_band_bps=draw(bps),
        entries_per_hour=draw(st.integers(0, 1_000)),
        orders_per_minute=draw(st.integers(0, 1_000)),
        halts=draw(halts()),
    )


@given(rule_sets(), st.sampled_from(Phase))
def test_a_phase_never_loosens(rules: Rules, phase: Phase) -> None:
    tight, told = tighten(rules, phase)
    for given_, now, preset in zip(rules.leverage, tight.leverage, [PRESETS[phase].leverage] * 3, strict=True):
        assert now == min(given_, preset)
    for name in SMALLER:
        assert 0 < getattr(tight, name) <= getattr(rules, name)
    for name in SMALLER_IF_ON:
        assert getattr(tight, name) > 0
        assert not getattr(rules, name) or getattr(tight, name) <= getattr(rules, name)
    for name in LIMITS:
        does = f"{name.removesuffix('_bps')}_then"
        before, now = getattr(rules.halts, name), getattr(tight.halts, name)
        assert now > 0
        assert not before or now <= before
        assert STRICTNESS[getattr(tight.halts, does)] >= STRICTNESS[getattr(rules.halts, does)]
        assert getattr(tight.halts, does) is not ACTIVE
    assert all(getattr(tight, name) == getattr(rules, name) for name in UNTOUCHED)
    assert bool(told) == (tight != rules)
    assert tighten(tight, phase) == (tight, ()), "once is enough"


def test_without_a_phase_the_rules_stay() -> None:
    assert tighten(RULES, None) == (RULES, ())


def test_what_was_tightened_is_told_by_its_key() -> None:
    _, told = tighten(RULES, Phase.SMALL_LIVE)
    assert "regimes.leverage 10/5/2 -> 3/3/2" in told
    assert "size.max_notional 1,000,000 -> 1,000" in told
    assert "orders.entries_per_hour none -> 6" in told
    assert "halts.weekly_loss 10 % reducing -> 2 % halted" in told


@pytest.mark.parametrize("name", [*SMALLER, *SMALLER_IF_ON])
def test_caps_grow_from_small_live_to_scale_up_to_testnet_to_paper(name: str) -> None:
    order = (Phase.SMALL_LIVE, Phase.SCALE_UP, Phase.TESTNET, Phase.PAPER)
    caps = [getattr(PRESETS[phase], name) for phase in order]
    assert caps == sorted(caps)
    losses = [getattr(PRESETS[phase].halts, limit) for limit in LIMITS for phase in order]
    assert losses == [x for n in range(len(LIMITS)) for x in sorted(losses[4 * n : 4 * n + 4])]


def test_the_operators_table_is_the_presets() -> None:
    rows = [r for r in (ROOT / "docs" / "operating.md").read_text().splitlines() if r.startswith("|")]
    table = {cells[0]: cells[1:] for r in rows if len(cells := [c.strip() for c in r.strip("|").split("|")]) == 5}
    for column, phase in enumerate(Phase):
        preset, halts = PRESETS[phase], PRESETS[phase].halts
        shown = {name: cells[column] for name, cells in table.items()}
        assert shown[""] == phase
        assert shown["notional of a symbol, USDT"] == f"{preset.max_notional:,}"
        assert (shown["leverage"], shown["positions"]) == (str(preset.leverage), str(preset.max_positions))
        assert shown["margin of an entry, of equity"] == f"{preset.margin_bps / 100:g} %"
        assert shown["all stops together, of equity"] == f"{preset.risk_bps / 100:g} %"
        assert shown["price band"] == f"{preset.price_band_bps / 100:g} %"
        rates = f"{preset.entries_per_hour} / {preset.orders_per_minute}"
        assert shown["entries an hour / orders a minute"] == rates
        assert shown["daily loss"] == f"{halts.daily_loss_bps / 100:g} % {halts.daily_loss_then}"
        assert shown["weekly loss"] == f"{halts.weekly_loss_bps / 100:g} % {halts.weekly_loss_then}"
        assert (shown["drawdown, halted"], halts.drawdown_then) == (f"{halts.drawdown_bps / 100:g} %", HALTED)
        streak = (str(halts.losing_streak), REDUCING)
        assert (shown["losing trades in a row, reducing"], halts.losing_streak_then) == streak
