"""The compiled loop is the plain one to the last unit: every trade, every equity, every reason, in any market."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest import compiled, engine
from backtest.bars import BacktestError, SymbolFrame, bars_of, detailed_opens
from backtest.broker import Costs
from backtest.compiled import layout
from backtest.compiled import rules as compiling
from backtest.engine import Result
from market.aggregate import aggregate
from market.instruments import CASH, INT64_MAX
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy.live_config import HaltLimits, Rules
from strategy.plan import TradingState
from tests.backtest.rough import BUSY, COSTS, HALTING, HOURLY, QUARTER, STEEP, market


def same(frames: list[SymbolFrame], rules: Rules, costs: Costs = COSTS, hold: int = 12, cash: int = 10_000) -> Result:
    """The plain loop's result, once the compiled one has given the same in every field."""
    plain = engine.run(frames, rules, costs, hold, cash * CASH)
    prepared = compiled.prepare(frames)
    fast = compiled.run(prepared, rules, costs, hold, cash * CASH)
    for field in fields(plain):
        mine, other = getattr(fast, field.name), getattr(plain, field.name)
        alike = np.array_equal(mine, other) if isinstance(mine, np.ndarray) else mine == other
        assert alike, f"{field.name}: {mine} and {other}"
    figures = compiled.simulate(prepared, rules, costs, hold, cash * CASH)
    assert (figures.trades, figures.cash, figures.equity) == (len(plain.closed), plain.cash, plain.equity)
    assert (figures.fees, figures.funding) == (plain.fees, plain.funding)
    assert np.array_equal(figures.curve, plain.curve_equity)
    return plain


thresholds = st.integers(300_000_000, 700_000_000)
shares = st.integers(1, 4_000)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Any rules the file's schema lets through, and some that only a sweep would try."""
    long, short = draw(thresholds), draw(thresholds)
    stops = sorted(draw(st.lists(st.integers(10, 2_000), min_size=3, max_size=3)))
    then = st.sampled_from([TradingState.REDUCING, TradingState.HALTED])
    limits = HaltLimits(
        draw(st.sampled_from([0, 150, 600])), draw(then), draw(st.sampled_from([0, 400, 1_500])), draw(then),
        draw(st.sampled_from([0, 1_000, 4_000])), draw(then), draw(st.sampled_from([0, 2, 5])), draw(then),
    )  # fmt: skip
    return replace(
        BUSY,
        long_entry=long,
        short_entry=short,
        edge=draw(st.integers(0, 50_000_000)),
        long_exit=draw(st.integers(0, long)),
        short_exit=draw(st.integers(0, short)),
        max_hold_bars=draw(st.integers(0, 30)),
        confirm=draw(st.integers(1, 4)),
        leverage=tuple(draw(st.lists(st.integers(1, 60), min_size=3, max_size=3))),
        stop_bps=tuple(stops),
        margin_bps=draw(st.integers(50, 9_000)),
        reserve_bps=draw(st.integers(0, 9_000)),
        max_notional=draw(st.sampled_from([2_000, 50_000, 4_000_000])) * CASH,
        max_positions=draw(st.integers(1, 3)),
        risk_bps=draw(st.integers(10, 10_000)),
        stop_cooldown=draw(st.integers(0, 6)),
        liquidation_cooldown=draw(st.integers(0, 40)),
        halts=limits,
        price_band_bps=draw(st.sampled_from([0, 20, 100, 1_000])),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    chosen=rules(),
    base=st.sampled_from([HOURLY, QUARTER]),
    symbols=st.integers(1, 2),
    steep=st.booleans(),
    costs=st.builds(Costs, st.integers(0, 2_000), st.integers(0, 3_000)),
    cash=st.sampled_from([150, 10_000, 3_000_000]),
)
def test_any_rules_in_any_market_give_the_same(
    seed: int, chosen: Rules, base: Timeframe, symbols: int, steep: bool, costs: Costs, cash: int
) -> None:
    frames = market(seed, base)[:symbols]
    if steep:
        frames = [replace(f, instrument=replace(f.instrument, brackets=STEEP)) for f in frames]
    same(frames, chosen, costs, cash=cash)


def test_every_reason_and_every_refusal_was_met_in_such_markets() -> None:
    """Or the equality above would say little."""
    wide = replace(BUSY, reserve_bps=8_500, price_band_bps=50, risk_bps=300, max_positions=1)
    results = [
        same(market(seed, base), chosen)
        for seed in range(4)
        for base in (HOURLY, QUARTER)
        for chosen in (BUSY, HALTING, wide)
    ]
    exits = {t.reason for r in results for t in r.trades}
    assert {"stop", "liquidation", "could not be protected", "signal gone", "opposite signal"} <= exits
    assert {r.reason for result in results for r in result.restrictions} >= {"daily loss limit", "drawdown limit"}
    assert any("price too far from the close that was decided at" in r.refused for r in results)
    assert {t.side for r in results for t in r.trades} == {1, -1}
    assert {c.regime for r in results for c in r.closed} == {0, 1, 2}
    assert any(t.funding > 0 for r in results for t in r.trades)
    assert any(t.funding < 0 for r in results for t in r.trades)


@pytest.mark.parametrize("seed", range(3))
def test_detail_inside_the_bars_is_played_alike(seed: int) -> None:
    fine = market(seed, QUARTER)
    frames = [replace(f, base=aggregate(f.base, HOURLY), detail=f.base) for f in fine]
    detailed = same(frames, BUSY)
    coarse = same([replace(f, detail=None) for f in frames], BUSY)
    assert len(detailed_opens(frames)) > 400
    assert detailed.bars > coarse.bars
    assert detailed.trades != coarse.trades, "the order inside the bar decides some stop"


def test_a_bar_whose_detail_lacks_a_part_is_played_as_it_is() -> None:
    fine = market(1, QUARTER)
    frames = [replace(f, base=aggregate(f.base, HOURLY), detail=f.base) for f in fine]
    hour = int(detailed_opens(frames)[50])
    holed = [replace(f, detail=f.detail[f.detail.open_time != hour + QUARTER.ms]) for f in frames if f.detail]
    assert hour not in detailed_opens(holed)
    one_holed = [holed[0], frames[1]]
    assert hour not in detailed_opens(one_holed), "all symbols of an hour are played alike, or orders would interleave"
    same(holed, BUSY)
    same(one_holed, BUSY)


def test_detail_that_says_nothing_new_changes_nothing() -> None:
    hours = market(2, HOURLY)
    assert same([replace(f, detail=f.base) for f in hours], BUSY).trades == same(hours, BUSY).trades


@pytest.mark.parametrize("cash", [10, 2_000_000_000])
def test_what_leaves_int64_is_played_by_the_plain_loop(cash: int) -> None:
    same(market(4, HOURLY), BUSY, cash=cash)


def test_a_position_that_grows_beyond_int64_is_noticed_and_not_wrapped() -> None:
    (frame, _) = market(5, HOURLY)
    top = 2**52 / float(1 / frame.instrument.tick) / 2**20
    scale = np.linspace(1, top, len(frame.base))
    risen = replace(
        frame,
        base=replace(frame.base, **{n: np.round(getattr(frame.base, n) * scale, 2) for n in PRICES}),
        decision=replace(frame.decision, **{n: np.round(getattr(frame.decision, n) * top, 2) for n in PRICES}),
        funding=None,
    )
    chosen = replace(BUSY, max_notional=4_000_000 * CASH, margin_bps=9_000, reserve_bps=100, price_band_bps=0)
    prepared = compiled.prepare([risen])
    assert 4 * prepared.highest * prepared.market.contracts[0, layout.UNIT] < INT64_MAX
    try:
        plain = engine.run([risen], chosen, COSTS, 12, 10_000_000 * CASH)
    except ValueError as error:
        with pytest.raises(type(error)):
            compiled.run(prepared, chosen, COSTS, 12, 10_000_000 * CASH)
    else:
        assert compiled.run(prepared, chosen, COSTS, 12, 10_000_000 * CASH).trades == plain.trades


def test_minutes_in_a_hole_of_the_hours_are_not_played_because_another_symbol_has_that_hour() -> None:
    fine = market(4, QUARTER)
    frames = [replace(f, base=aggregate(f.base, HOURLY), detail=f.base) for f in fine]
    hour = int(np.intersect1d(frames[0].base.open_time, detailed_opens(frames))[50])
    first = frames[0]
    holed = replace(first, base=first.base[first.base.open_time != hour])
    played, _ = bars_of([holed, frames[1]])
    assert not np.any(played.time // HOURLY.ms == hour // HOURLY.ms)


PRICES = ("open", "high", "low", "close")


def test_candles_without_a_prediction_and_values_that_are_none_are_missing() -> None:
    (frame, _) = market(6, HOURLY)
    told = frame.predictions
    odd = np.where(np.arange(len(told.p_long)) % 7 == 0, 1.2, told.p_long)
    short = replace(frame, predictions=replace(told, p_long=odd))
    assert same([short], BUSY).reasons["no prediction"] > 30
    nothing = PredictionHistory(*(getattr(told, n)[:0] for n in ("open_time", "p_long", "p_short", "regime")), {}, {})
    assert not same([replace(frame, predictions=nothing)], BUSY).trades


def test_frames_that_do_not_go_together_are_refused_alike() -> None:
    frame = market(0, HOURLY)[0]
    with pytest.raises(BacktestError, match="twice"):
        compiled.prepare([frame, frame])
    with pytest.raises(BacktestError, match="no candles"):
        compiled.prepare([])


def test_variants_leave_a_prepared_market_as_it_was() -> None:
    prepared = compiled.prepare(market(3, HOURLY))
    first = compiled.simulate(prepared, BUSY, COSTS, 12, 10_000 * CASH)
    compiled.simulate(prepared, HALTING, COSTS, 12, 10_000 * CASH)
    again = compiled.simulate(prepared, BUSY, COSTS, 12, 10_000 * CASH)
    assert np.array_equal(first.curve, again.curve)
    assert len(first.daily_equity) == len(compiled.daily_times(prepared))
    assert first.daily_equity[-1] == first.equity


@pytest.mark.parametrize("name", ["kernel", "deciding", "account", "layout"])
def test_compiled_code_is_kept_by_all_the_source_that_stands_in_it(name: str) -> None:
    kept, here = set(compiling._sources()), Path(compiling.__file__).resolve().parent
    root = here.parents[1]
    for node in ast.walk(ast.parse((here / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and (root / node.module.split(".")[0]).is_dir():
            at = root.joinpath(*node.module.split("."))
            named = {at / f"{a.name}.py" for a in node.names} if at.is_dir() else {at.with_suffix(".py")}
            assert named <= kept, f"{name}.py takes from {named - kept}"
