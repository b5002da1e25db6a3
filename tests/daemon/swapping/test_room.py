"""Room: a set that looks back further than the candles that are held has them fetched before it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daemon.candle_store import Column
from market.candles import Candle
from market.timeframes import Timeframe
from tests.daemon.swapping.world import Store, World
from tests.local_exchange import LocalExchange
from tests.models.small_sets import HOUR, Made


async def test_a_set_with_a_longer_lookback_comes_into_service_and_answers(
    tmp_path: Path, made: Made, far: Made, exchange: Callable[..., LocalExchange]
) -> None:
    store = Store(tmp_path / "models", made)
    store.crown(store.add())
    world = World(tmp_path, exchange(warmup=400, bars=50), store)
    further = store.judged(store.add(made=far))
    async with world.life() as life:
        await life.play(1)
        column = life.daemon.store["BTCUSDT", "1h"]
        before = column.capacity
        assert further.manifest.lookback > before
        await life.ask("swap", set=further.id)
        await life.reach("kept")
        assert life.serving == further.id
        assert column.capacity == further.manifest.lookback + 64
        assert not column.window().holes()
        await life.play(1)
    last = life.decisions()[-1]
    assert (last["model_set"], last["refusal"]) == (further.id, "")


async def test_a_set_that_is_gone_back_to_after_a_restart_reads_as_far_as_it_must(
    tmp_path: Path, made: Made, far: Made, exchange: Callable[..., LocalExchange]
) -> None:
    store = Store(tmp_path / "models", made)
    further = store.crown(store.add(made=far))
    world = World(tmp_path, exchange(warmup=400, bars=50), store)
    shorter = store.judged(store.add())
    async with world.life() as life:
        await life.play(1)
        await life.ask("swap", set=shorter.id)
        await life.reach("kept")
    async with world.life() as life:
        assert life.serving == shorter.id
        await life.play(1)
        await life.ask("rollback")
        await life.reach("rolled back")
        await life.play(1)
        assert life.daemon.store["BTCUSDT", "1h"].capacity == further.manifest.lookback + 64
    last = life.decisions()[-1]
    assert (last["model_set"], last["refusal"]) == (further.id, "")


def test_a_column_grows_at_its_old_end_without_a_gap_or_a_double() -> None:
    column = Column(HOUR, 4)
    for n in range(10, 17):
        column.append(_candle(n))
    handed_out = column.window()
    column.grow(20, [_candle(n) for n in range(14)])
    assert column.window().open_time.tolist() == [n * HOUR.ms for n in range(17)]
    assert column.window().close.tolist() == [float(n + 1) for n in range(17)]
    assert len(handed_out) == 7
    for n in range(17, 60):
        column.append(_candle(n))
    assert len(column) >= 20
    assert column.last == 59 * HOUR.ms
    column.grow(5, [])
    assert column.capacity == 20, "it never shrinks"
    empty = Column(Timeframe.parse("1h"), 4)
    empty.grow(8, [_candle(1)])
    assert empty.last == HOUR.ms


def _candle(n: int) -> Candle:
    price = float(n + 1)
    return Candle(n * HOUR.ms, price, price, price, price, 1.0, price, 1.0, 0.5, 0.5)
