"""The replay: several symbols and timeframes on one clock, consistent with one another at every step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from market import fills
from market.aggregate import aggregate
from market.candles import Candles
from market.catalogue import instrument
from market.exchange.account import Costs
from market.exchange.engine import Engine
from market.exchange.feed import Feed, Kline
from market.exchange.replay import Replay, ReplayError
from market.funding import Funding
from market.instruments import cash
from market.synthetic import generate
from market.timeframes import Timeframe

M15, H1, H4 = (Timeframe.parse(text) for text in ("15m", "1h", "4h"))
START = 64


class Recorder(Engine):
    """An engine that also writes down every price it is given."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        super().__init__([instrument(symbol) for symbol in symbols], cash(10_000), Costs())
        self.given: list[tuple[str, str, int, int]] = []
        self.rates: list[tuple[str, int, list[int]]] = []

    def open_bar(self, symbol: str, price: int, time: int, rates: object = ()) -> None:
        due = list(rates)  # type: ignore[call-overload]
        self.given.append(("open", symbol, price, time))
        if due:
            self.rates.append((symbol, time, due))
        super().open_bar(symbol, price, time, due)

    def visit(self, symbol: str, price: int, time: int) -> None:
        self.given.append(("visit", symbol, price, time))
        super().visit(symbol, price, time)


def history(symbol: str, bars: int = 400, timeframe: Timeframe = M15) -> tuple[Candles, Funding]:
    return generate(symbol, bars=bars, timeframe=timeframe, seed=3)


def without(candles: Candles, *rows: int) -> Candles:
    kept = np.ones(len(candles), dtype=bool)
    kept[list(rows)] = False
    return candles[kept]


def replay_of(*series: tuple[str, Candles, Funding | None], bars: int | None = None) -> tuple[Replay, Recorder]:
    engine = Recorder(tuple(symbol for symbol, _, _ in series))
    feeds = [Feed(instrument(symbol), candles, funding) for symbol, candles, funding in series]
    return Replay(engine, feeds, int(series[0][1].open_time[START]), bars), engine


def everything(replay: Replay) -> set[tuple[str, Timeframe]]:
    return {(feed.symbol, timeframe) for feed in replay.feeds.values() for timeframe in feed.timeframes}


def row(kline: Kline) -> tuple[float, ...]:
    return (kline.open_time, kline.open, kline.high, kline.low, kline.close, kline.volume, kline.quote_volume)


def rows_of(symbol: str, candles: Candles) -> list[tuple[float, ...]]:
    grid = instrument(symbol)
    prices = [grid.ticks_column(getattr(candles, name)).tolist() for name in ("open", "high", "low", "close")]
    times = candles.open_time.tolist()
    return list(zip(times, *prices, candles.volume.tolist(), candles.quote_volume.tolist(), strict=True))


def test_every_bar_visits_its_path_at_its_times_and_opens_before_it_moves() -> None:
    candles, _ = history("BTCUSDT")
    replay, engine = replay_of(("BTCUSDT", candles, None))
    for _ in range(10):
        replay.turn()
    expected = []
    for i in range(START, START + 10):
        bar = instrument("BTCUSDT").ticks_column(
            np.array([candles.open[i], candles.high[i], candles.low[i], candles.close[i]])
        )
        prices = fills.path(*bar.tolist())
        times = fills.path_times(int(candles.open_time[i]), M15.ms)
        kinds = ("open", "visit", "visit", "visit")
        expected += [(k, "BTCUSDT", p, t) for k, p, t in zip(kinds, prices, times, strict=True)]
    assert engine.given[: len(expected)] == expected


def test_closed_klines_of_every_timeframe_are_the_aggregated_history() -> None:
    candles, _ = history("BTCUSDT")
    replay, _ = replay_of(("BTCUSDT", candles, None))
    seen: dict[Timeframe, list[tuple[float, ...]]] = {}
    while not replay.done:
        replay.turn()
        for kline in replay.closing(everything(replay)):
            assert kline.closed
            seen.setdefault(kline.timeframe, []).append(row(kline))
    for timeframe in (M15, H1, H4):
        whole = rows_of("BTCUSDT", aggregate(candles, timeframe))
        assert seen[timeframe] == whole[-len(seen[timeframe]) :]
        assert len(seen[timeframe]) == (len(candles) - START) * M15.ms // timeframe.ms


def test_shorter_timeframes_close_first_and_symbols_in_order() -> None:
    replay, _ = replay_of(*((s, *history(s)) for s in ("BTCUSDT", "ETHUSDT")))
    for _ in range(16):
        replay.turn()
        order = [(kline.timeframe, kline.symbol) for kline in replay.closing(everything(replay))]
        assert order == sorted(order)
    assert [str(timeframe) for timeframe, _ in order][::2] == ["15m", "30m", "1h", "2h", "4h"]


def test_the_forming_hour_holds_what_its_quarters_showed_so_far() -> None:
    candles, _ = history("BTCUSDT")
    replay, _ = replay_of(("BTCUSDT", candles, None))
    quarters: list[Kline] = []
    for _ in range(12):
        while replay.visited < 4:
            hour, quarter = (next(iter(replay.forming({("BTCUSDT", t)}))) for t in (H1, M15))
            parts = [*quarters, quarter]
            assert not hour.closed
            assert hour.open == parts[0].open
            assert hour.high == max(part.high for part in parts)
            assert hour.low == min(part.low for part in parts)
            assert hour.close == quarter.close == replay.engine.prices["BTCUSDT"]
            assert hour.volume == pytest.approx(sum(part.volume for part in parts))
            replay.visit()
        replay.turn()
        quarters += list(replay.closing({("BTCUSDT", M15)}))
        if len(quarters) == 4:
            quarters = []


def test_klines_asked_for_end_with_the_forming_one_and_honour_start_end_and_limit() -> None:
    candles, _ = history("BTCUSDT")
    replay, _ = replay_of(("BTCUSDT", candles, None))
    feed = replay.feeds["BTCUSDT"]
    times = candles.open_time.tolist()
    latest = list(feed.klines(M15, None, None, 5))
    assert [k.open_time for k in latest] == times[START - 4 : START + 1]
    assert [k.closed for k in latest] == [True] * 4 + [False]
    early = list(feed.klines(M15, times[3], None, 4))
    assert [k.open_time for k in early] == times[3:7]
    until = list(feed.klines(M15, None, times[10], 3))
    assert [k.open_time for k in until] == times[8:11]
    between = list(feed.klines(M15, times[START - 1], times[START], 100))
    assert [k.open_time for k in between] == times[START - 1 : START + 1]
    assert list(feed.klines(M15, times[START + 1], None, 10)) == []


def test_history_before_the_start_is_served_whole() -> None:
    candles, _ = history("BTCUSDT")
    replay, _ = replay_of(("BTCUSDT", candles, None))
    served = list(replay.feeds["BTCUSDT"].klines(M15, 0, None, 1_000))
    assert [row(kline) for kline in served[:-1]] == rows_of("BTCUSDT", candles)[:START]


def test_an_hour_with_a_hole_never_closes_and_is_not_served() -> None:
    candles, _ = history("BTCUSDT")
    holed = without(candles, START + 9, START + 10)
    replay, _ = replay_of(("BTCUSDT", holed, None))
    broken = H1.floor(int(candles.open_time[START + 9]))
    closed = []
    while not replay.done:
        replay.turn()
        closed += [kline.open_time for kline in replay.closing({("BTCUSDT", H1)})]
    assert broken not in closed
    assert broken not in [kline.open_time for kline in replay.feeds["BTCUSDT"].klines(H1, 0, None, 1_000)]
    assert [b - a for a, b in pairwise(closed)].count(2 * H1.ms) == 1


def test_a_symbol_in_an_outage_stands_still_while_the_other_trades() -> None:
    btc, eth = history("BTCUSDT")[0], history("ETHUSDT")[0]
    replay, engine = replay_of(("BTCUSDT", btc, None), ("ETHUSDT", without(eth, START + 2, START + 3), None))
    for _ in range(6):
        replay.turn()
    opened = {s: [t for k, q, _, t in engine.given if k == "open" and q == s] for s in ("BTCUSDT", "ETHUSDT")}
    missing = {int(eth.open_time[START + 2]), int(eth.open_time[START + 3])}
    assert set(opened["BTCUSDT"]) - set(opened["ETHUSDT"]) == missing


def test_funding_falls_due_once_at_its_instant_and_after_an_outage_at_the_next_open() -> None:
    candles, _ = history("BTCUSDT")
    times = [int(candles.open_time[START + i]) for i in (4, 8, 12)]
    funding = Funding(np.array(times), np.array([10, 20, 30]))
    replay, engine = replay_of(("BTCUSDT", without(candles, START + 8, START + 9), funding))
    for _ in range(20):
        replay.turn()
    after_outage = int(candles.open_time[START + 10])
    assert engine.rates == [("BTCUSDT", times[0], [10]), ("BTCUSDT", after_outage, [20]), ("BTCUSDT", times[2], [30])]


def test_the_end_of_the_data_closes_the_last_bar_and_stays() -> None:
    candles, _ = history("BTCUSDT")
    replay, engine = replay_of(("BTCUSDT", candles, None), bars=3)
    for left in (2, 1, 0):
        replay.turn()
        assert (replay.bars_left, replay.done) == (left, left == 0)
    assert [k.open_time for k in replay.closing({("BTCUSDT", M15)})] == [int(candles.open_time[START + 2])]
    end = int(candles.open_time[START + 3])
    assert replay.time == engine.time == end
    replay.turn()
    assert list(replay.closing(everything(replay))) == []
    (last,) = replay.feeds["BTCUSDT"].klines(M15, None, None, 1)
    assert last.open_time == int(candles.open_time[START + 2])


def test_histories_of_different_timeframes_are_refused() -> None:
    with pytest.raises(ReplayError, match="BTCUSDT 15m, ETHUSDT 1h"):
        replay_of(("BTCUSDT", history("BTCUSDT")[0], None), ("ETHUSDT", history("ETHUSDT", timeframe=H1)[0], None))


def test_a_start_that_a_symbol_has_no_bar_at_is_refused() -> None:
    btc, eth = history("BTCUSDT")[0], history("ETHUSDT")[0]
    with pytest.raises(ReplayError, match="ETHUSDT has no bar at the start"):
        replay_of(("BTCUSDT", btc, None), ("ETHUSDT", without(eth, START), None))
