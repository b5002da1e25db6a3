"""The loop against scenarios worked out by hand, each a few bars long.

Unless said: price tick 0.1, step 0.001 (so 10,000 cash units a tick and step), hourly bars that are also the decision
candles, 10,000 of cash, no slippage, a fee of 0.05 %, regimes in force at once, 10 % margin at 10x: entries of 0.333
at 30,000.0 (notional 9,990).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from backtest.bars import BacktestError, SymbolFrame
from backtest.broker import Costs
from backtest.engine import Result, run
from market import trades
from market.candles import Candle, Candles
from market.funding import Funding
from market.instruments import CASH, Instrument
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy import risk
from strategy.live_config import NO_HALTS, Entry, Exit, LiveConfig, Rules
from strategy.plan import Reason, TradingState

HOUR = 3_600_000
START = 1_700_006_400_000 // HOUR * HOUR
BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.1"))
THRESHOLDS = LiveConfig(entry=Entry(long=0.55, short=0.55), exit=Exit(long=0.48, short=0.48), halts=NO_HALTS)
RULES = replace(THRESHOLDS.rules(), confirm=1, price_band_bps=0)
FREE_OF_SLIPPAGE = Costs(taker_ppm=500, slippage_ppm=0)

Bar = tuple[float, float, float, float]
FLAT: Bar = (30_000, 30_000, 30_000, 30_000)
L, S, Q, GONE, NONE = (0.60, 0.40), (0.40, 0.60), (0.50, 0.50), (0.45, 0.45), (float("nan"), float("nan"))


def candles(bars: Sequence[Bar], timeframe: str = "1h", start: int = START) -> Candles:
    frame = Timeframe.parse(timeframe)
    return Candles.of(frame, (Candle(start + i * frame.ms, *bar, volume=1.0) for i, bar in enumerate(bars)))


def predictions(times: np.ndarray, said: Sequence[tuple[float, float]], regimes: Sequence[int]) -> PredictionHistory:
    return PredictionHistory(
        open_time=times,
        p_long=np.array([p for p, _ in said]),
        p_short=np.array([p for _, p in said]),
        regime=np.array(regimes, dtype=np.int8),
        horizons={},
        refusals={},
    )


def frame(
    bars: Sequence[Bar],
    said: Sequence[tuple[float, float]],
    instrument: Instrument = BTC,
    regimes: Sequence[int] | None = None,
    funding: dict[int, float] | None = None,
) -> SymbolFrame:
    """Hourly bars; what is said after the list's end is quiet; funding as {hours from the start: rate}."""
    base = candles(bars)
    said = [*said, *[Q] * (len(bars) - len(said))]
    fund = None
    if funding is not None:
        fund = Funding(
            np.array([START + h * HOUR for h in funding], dtype=np.int64),
            np.array([round(r * 1e8) for r in funding.values()], dtype=np.int64),
        )
    told = predictions(base.open_time, said, regimes or [0] * len(bars))
    return SymbolFrame(instrument, base, base, fund, told)


def play(*frames: SymbolFrame, rules: Rules = RULES, costs: Costs = FREE_OF_SLIPPAGE, hold: int = 12) -> Result:
    return run(frames, rules, costs, hold, 10_000 * CASH)


def fee(price: float, quantity: float = 0.333) -> int:
    return round(price * quantity * 0.0005 * CASH)


def test_a_decision_at_a_close_fills_at_the_next_open_and_counts_every_cent() -> None:
    bars = [FLAT, (30_010, 30_100, 30_000, 30_050), (30_060, 30_060, 30_060, 30_060), (30_100, 30_100, 30_100, 30_100)]
    result = play(frame(bars, [L, Q, GONE]))
    (trade,) = result.trades
    assert (trade.side, trade.quantity, trade.leverage) == (1, 333, 10)
    assert (trade.entry_time, trade.entry_price) == (START + HOUR, 300_100)
    assert (trade.exit_time, trade.exit_price) == (START + 3 * HOUR, 301_000)
    assert trade.reason == "signal gone"
    gross = round(90 * 0.333 * CASH)
    assert trade.fees == fee(30_010) + fee(30_100)
    assert trade.profit == gross - trade.fees
    assert trade.cash_after == result.cash == 10_000 * CASH + trade.profit


def test_slippage_worsens_entry_and_exit_alike() -> None:
    bars = [FLAT] * 4
    (trade,) = play(frame(bars, [L, GONE]), costs=Costs(500, 1_000)).trades
    assert (trade.entry_price, trade.exit_price) == (300_300, 299_700)
    (trade,) = play(frame(bars, [S, GONE]), costs=Costs(500, 1_000)).trades
    assert (trade.entry_price, trade.exit_price) == (299_700, 300_300)


def test_a_stop_inside_a_bar_fills_at_its_trigger() -> None:
    bars = [FLAT, (30_000, 30_010, 29_300, 29_900), FLAT]
    (trade,) = play(frame(bars, [L])).trades
    # 2 % below 30,000.0; a falling bar rallies first, so the low is its second tick: two thirds into the hour.
    assert (trade.reason, trade.exit_price) == (trades.STOP, 294_000)
    assert trade.exit_time == START + HOUR + 2 * HOUR // 3


def test_a_rising_bar_dips_first() -> None:
    bars = [FLAT, (30_000, 30_500, 29_300, 30_400), FLAT]
    (trade,) = play(frame(bars, [L])).trades
    assert trade.exit_time == START + HOUR + HOUR // 3


def test_a_short_is_stopped_above() -> None:
    bars = [FLAT, (30_000, 30_700, 29_900, 30_000), FLAT]
    (trade,) = play(frame(bars, [S])).trades
    assert (trade.reason, trade.side, trade.exit_price) == (trades.STOP, -1, 306_000)


def test_an_entry_makes_its_stop_live_at_once() -> None:
    bars = [FLAT, (30_000, 30_000, 29_399, 29_500), FLAT]
    (trade,) = play(frame(bars, [L])).trades
    assert trade.entry_time == START + HOUR
    assert START + HOUR < trade.exit_time < START + 2 * HOUR


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    bars = [FLAT, FLAT, (29_000, 29_100, 28_900, 29_050), (29_000, 29_000, 29_000, 29_000)]
    (trade,) = play(frame(bars, [L]), costs=Costs(500, 100)).trades
    # Entry at 30,003.0; the stop stood at 29,403.0, the bar opened at 29,000.0 and slips 2.9.
    assert (trade.reason, trade.exit_price) == (trades.STOP, 289_971)
    assert trade.exit_time == START + 2 * HOUR


def test_an_open_beyond_liquidation_liquidates_and_costs_the_whole_margin() -> None:
    # A long at 10x is liquidated at 30,000 x 0.9 / 0.996 = 27,108.43...
    bars = [FLAT, FLAT, (27_000, 27_000, 26_500, 26_800), (26_800, 26_800, 26_800, 26_800)]
    result = play(frame(bars, [L, Q, L, L]))
    (trade,) = result.trades
    assert (trade.reason, trade.exit_price, trade.exit_time) == (trades.LIQUIDATION, 270_000, START + 2 * HOUR)
    assert trade.profit == -(999 * CASH + fee(30_000)), "a liquidation pays no closing fee"
    assert result.cash == 10_000 * CASH + trade.profit
    assert result.reasons[Reason.LOST_LIQUIDATION] == 1, "it opened beyond; cooling down by the liquidation's own count"


def test_inside_a_bar_the_nearer_stop_fires_before_liquidation() -> None:
    bars = [FLAT, (30_000, 30_000, 20_000, 25_000), FLAT]
    (trade,) = play(frame(bars, [L])).trades
    assert (trade.reason, trade.exit_price) == (trades.STOP, 294_000)


def test_liquidation_inside_a_bar_comes_at_the_extreme_when_funding_has_moved_it_past_the_stop() -> None:
    # Funding of 8.5 % on a notional of 9,990 takes 849.15 of the 999 margin: liquidation rises to
    # (9,990 - 149.85) / 0.996 / 0.333 = 29,668.7, above the stop at 29,400.
    bars = [FLAT, FLAT, (30_000, 30_000, 29_500, 29_600), FLAT]
    result = play(frame(bars, [L], funding={2: 0.085}))
    (trade,) = result.trades
    assert (trade.reason, trade.exit_price) == (trades.LIQUIDATION, 295_000)
    assert trade.exit_time == START + 2 * HOUR + 2 * HOUR // 3
    assert trade.funding == 84_915_000_000
    assert trade.profit == -(999 * CASH + fee(30_000)), "funding came out of the margin: the loss is the margin, once"
    assert result.cash == 10_000 * CASH + trade.profit


def test_funding_is_paid_at_its_instant_on_the_open() -> None:
    bars = [FLAT, FLAT, (30_300, 30_300, 30_300, 30_300), (30_300, 30_300, 30_300, 30_300)]
    for said, sign in ((L, 1), (S, -1)):
        result = play(frame(bars, [said, Q, GONE], funding={0: 0.5, 1: 0.5, 2: 0.0001, 3: 0.0001}))
        (trade,) = result.trades
        # The entry fills after the funding of its own instant; the exit at hour 3 comes after that hour's funding.
        paid = sign * round(30_300 * 0.333 * 0.0001 * CASH)
        assert trade.funding == 2 * paid
        assert trade.profit == sign * round(300 * 0.333 * CASH) - trade.fees - trade.funding
        assert result.cash == 10_000 * CASH + trade.profit


def test_funding_in_a_hole_is_paid_at_the_next_open() -> None:
    base = candles([FLAT] * 8)
    kept = np.array([True, True, True, False, False, True, True, True])
    whole = frame([FLAT] * 8, [L])
    funding = Funding(np.array([START + 4 * HOUR]), np.array([10_000]))
    holed = SymbolFrame(BTC, base[kept], base[kept], funding, whole.predictions)
    assert play(holed).funding == round(9_990 * 0.0001 * CASH)


def test_a_reversal_is_a_close_then_an_entry_at_the_same_open() -> None:
    bars = [FLAT, FLAT, (33_000, 33_000, 33_000, 33_000), (33_000, 33_000, 33_000, 33_000)]
    result = play(frame(bars, [L, S]))
    (first,) = result.trades
    (left,) = result.open
    assert first.reason == "opposite signal"
    assert left.position.side == -1
    assert left.position.entry_time == first.exit_time == START + 2 * HOUR
    assert left.position.quantity == 333, "sized with the equity and price of the close, before the open's profit"


def test_a_position_is_closed_at_the_close_of_its_last_allowed_candle() -> None:
    (trade,) = play(frame([FLAT] * 8, [L]), hold=3).trades
    assert trade.reason == "held for the longest time"
    # In the market during candles 1, 2 and 3: closed at the first price of candle 4.
    assert (trade.entry_time, trade.exit_time) == (START + HOUR, START + 4 * HOUR)


def test_time_needs_no_prediction_and_a_missing_one_keeps_the_position() -> None:
    (trade,) = play(frame([FLAT] * 8, [L, *[NONE] * 7]), hold=3).trades
    assert trade.reason == "held for the longest time"


def test_after_a_stop_the_cool_down_holds_for_its_candles() -> None:
    stopped = (30_000, 30_000, 29_300, 29_400)
    bars = [FLAT, stopped, *[(29_400.0, 29_400.0, 29_400.0, 29_400.0)] * 5]
    for cooldown, entry_hour in ((0, 2), (1, 3), (2, 4)):
        result = play(frame(bars, [L] * 7), rules=replace(RULES, stop_cooldown=cooldown))
        assert len(result.trades) == 1
        assert result.open[0].position.entry_time == START + entry_hour * HOUR


def test_no_entry_in_a_candle_whose_open_gapped_through_the_stop() -> None:
    low = (29_000.0, 29_000.0, 29_000.0, 29_000.0)
    result = play(frame([FLAT, FLAT, low, low, low], [L] * 5), rules=replace(RULES, stop_cooldown=0))
    # Stopped at the open of candle 2, before the decision at the close of candle 1, which would fill in candle 2.
    assert result.trades[0].exit_time == START + 2 * HOUR
    assert result.reasons[Reason.SAME_CANDLE] == 1
    assert result.open[0].position.entry_time == START + 3 * HOUR


def test_a_calmer_regime_tightens_the_resting_stop() -> None:
    bars = [FLAT, FLAT, FLAT, (30_000, 30_000, 29_350, 29_400), FLAT]
    (trade,) = play(frame(bars, [L], regimes=[2, 0, 0, 0, 0])).trades
    assert trade.leverage == 2
    assert (trade.reason, trade.exit_price) == (trades.STOP, 294_000)


def test_a_tightened_stop_that_the_next_open_has_passed_closes_the_position() -> None:
    bars = [FLAT, FLAT, (29_300, 29_300, 29_300, 29_300), FLAT]
    (trade,) = play(frame(bars, [L], regimes=[2, 0, 0, 0])).trades
    assert (trade.reason, trade.exit_price, trade.exit_time) == (trades.UNPROTECTED, 293_000, START + 2 * HOUR)


def test_two_symbols_share_one_account() -> None:
    eth = replace(BTC, symbol="ETHUSDT", base="ETH")
    result = play(frame([FLAT] * 6, [L, Q, GONE]), frame([FLAT] * 6, [L, Q, GONE], eth))
    first, second = result.trades
    assert [first.symbol, second.symbol] == ["BTCUSDT", "ETHUSDT"], "in configuration order"
    assert first.quantity == second.quantity, "equity is taken once a batch"
    assert second.cash_after - first.cash_after == -fee(30_000)
    assert result.cash == 10_000 * CASH + first.profit + second.profit


def test_caps_bind_over_the_symbols_of_one_account() -> None:
    eth = replace(BTC, symbol="ETHUSDT", base="ETH")
    result = play(frame([FLAT] * 3, [L]), frame([FLAT] * 3, [L], eth), rules=replace(RULES, max_positions=1))
    assert [o.symbol for o in result.open] == ["BTCUSDT"]
    assert result.reasons[Reason.POSITION_CAP] == 1


def test_the_exchange_refuses_an_entry_the_wallet_cannot_carry_at_the_open() -> None:
    bars = [FLAT, (31_000, 31_000, 31_000, 31_000), (31_000, 31_000, 31_000, 31_000)]
    rules = replace(RULES, margin_bps=10_000, reserve_bps=0, risk_bps=10_000, leverage=(1, 1, 1))
    result = play(frame(bars, [L]), rules=rules)
    assert not result.trades
    assert not result.open
    assert result.refused == {"margin not sufficient at the price of the entry": 1}


def test_an_entry_is_not_sent_once_the_price_has_left_its_band() -> None:
    for open_, made in ((30_300.0, True), (30_300.1, False), (29_700.0, True), (29_699.9, False)):
        bars = [FLAT, (open_, open_, open_, open_), (open_, open_, open_, open_)]
        result = play(frame(bars, [L]), rules=replace(RULES, price_band_bps=100))
        assert len(result.open) == made
        assert result.refused == ({} if made else {"price too far from the close that was decided at": 1})


def test_an_entry_is_not_sent_once_the_exits_before_it_cost_the_reserve() -> None:
    # A reversal: the short's margin is exactly what the reserve leaves of the equity at the close, before the fees.
    rules = replace(RULES, margin_bps=8_000, reserve_bps=2_000, risk_bps=10_000, leverage=(2, 2, 2))
    exact = replace(BTC, min_quantity=1, step=Decimal("0.00001"))
    result = play(frame([FLAT] * 4, [L, S], exact), rules=rules)
    (trade,) = result.trades
    assert trade.reason == str(Reason.OPPOSITE_SIGNAL)
    assert result.refused == {"reserve would be touched": 1}


def test_restrictions_are_reported_with_their_time_and_the_candles_they_took() -> None:
    halts = replace(LiveConfig().rules().halts, daily_loss_bps=100, losing_streak=0, drawdown_bps=0, weekly_loss_bps=0)
    bars = [FLAT, (30_000, 30_010, 29_300, 29_300), *[(29_300.0, 29_300.0, 29_300.0, 29_300.0)] * 26]
    result = play(frame(bars, [L] * 28), rules=replace(RULES, halts=halts, stop_cooldown=0))
    struck = [(r.time - START, r.state, r.reason) for r in result.restrictions]
    assert struck[0] == (2 * HOUR, TradingState.REDUCING, Reason.DAILY_LOSS)
    left_of_the_day = (risk.day_of(START) + risk.DAY_MS - START) // HOUR - 2
    assert result.restricted == {"reducing": left_of_the_day}
    assert result.reasons[Reason.DAILY_LOSS] == left_of_the_day
    assert result.open, "the next day it enters again"


def test_the_exchange_refuses_an_entry_beyond_its_largest_quantity() -> None:
    cheap = replace(BTC, symbol="CHEAPUSDT", base="CHEAP")
    result = play(frame([(5.0, 5.0, 5.0, 5.0)] * 3, [L], cheap))
    # 10,000 of notional at 5.0 is 2,000 coins: two million steps of a thousandth.
    assert result.refused == {"above the exchange's largest quantity": 1}


def test_hourly_decisions_over_quarter_hour_bars() -> None:
    quarter = [FLAT] * 4 + [(30_000.0, 30_000.0, 30_000.0, 30_000.0)] * 2 + [(30_000.0, 30_000.0, 29_000.0, 29_500.0)]
    base, hours = candles([*quarter, FLAT], "15m"), candles([FLAT] * 2)
    one = SymbolFrame(BTC, base, hours, None, predictions(hours.open_time, [L, Q], [0, 0]))
    (trade,) = play(one).trades
    assert trade.entry_time == START + HOUR
    assert (trade.reason, trade.exit_price) == (trades.STOP, 294_000)
    quarter_ms = HOUR // 4
    assert trade.exit_time == START + HOUR + 2 * quarter_ms + 2 * quarter_ms // 3


def test_a_position_open_at_the_end_is_told_apart() -> None:
    bars = [FLAT, FLAT, (30_000, 30_300, 30_000, 30_300)]
    result = play(frame(bars, [L]))
    assert not result.trades
    (left,) = result.open
    assert left.profit == round(300 * 0.333 * CASH)
    assert result.equity == result.cash + left.profit


def test_nothing_is_decided_at_the_last_close_for_no_price_follows() -> None:
    result = play(frame([FLAT] * 3, [Q, Q, L]))
    assert result.decisions == 2
    assert not result.open


def test_a_hole_is_passed_over_and_orders_fill_at_the_next_price_there_is() -> None:
    base = candles([FLAT] * 6)
    kept = np.array([True, False, False, True, True, True])
    told = predictions(base.open_time, [L, L, L, Q, Q, Q], [0] * 6)
    result = play(SymbolFrame(BTC, base[kept], base[kept], None, told))
    assert result.open[0].position.entry_time == START + 3 * HOUR
    assert result.decisions == 3


def test_series_that_do_not_fit_together_are_refused() -> None:
    one = frame([FLAT] * 3, [L])
    with pytest.raises(BacktestError, match="twice"):
        play(one, one)
    with pytest.raises(BacktestError, match="no candles"):
        play(replace(one, base=one.base[:0]))
    with pytest.raises(BacktestError, match="no candles"):
        play()


def test_cash_is_conserved_to_the_last_unit() -> None:
    rng = np.random.default_rng(5)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.008, 3_000)))
    open_ = np.concatenate([[30_000], close[:-1]]) * (1 + rng.normal(0, 0.002, 3_000))
    high, low = np.maximum(open_, close) * 1.004, np.minimum(open_, close) * 0.996
    bars = [tuple(float(round(v, 1)) for v in row) for row in zip(open_, high, low, close, strict=True)]
    said = [(float(p), float(q)) for p, q in rng.uniform(0.3, 0.7, (3_000, 2))]
    one = frame(bars, said, regimes=rng.integers(0, 3, 3_000).tolist(), funding=dict.fromkeys(range(0, 3_000, 8), 1e-4))
    result = play(one, costs=Costs())
    assert len(result.trades) > 100
    assert {t.reason for t in result.trades} >= {"stop", "signal gone", "opposite signal"}
    assert result.cash + sum(o.position.fees + o.position.funding for o in result.open) == 10_000 * CASH + sum(
        t.profit for t in result.trades
    )
    assert result.fees == sum(t.fees for t in result.trades) + sum(o.position.fees for o in result.open)
    cash = [t.cash_after for t in result.trades]
    assert cash[-1] == result.cash + sum(o.position.fees + o.position.funding for o in result.open)
