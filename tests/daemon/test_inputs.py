"""What a set reads besides: quarters and a companion's hours reach the live predictor as the history has them, and a
configuration that does not subscribe to them is refused with the line to write.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.boot import unsubscribed
from daemon.candle_store import CandleStore
from daemon.config import load_config
from daemon.inference import held
from daemon.journal import FILE
from daemon.rehearsal import exchange_options
from market import history
from market.timeframes import Timeframe, TimeframeError
from models.inference import Predictor
from models.modelset import resolve, save
from tests.daemon.running import Configure, Exchange, Running, command, until
from tests.models.small_sets import HOUR, QUARTER, Market, make_wide_set, wide_market

HOURS, WARMUP = 6, 60


@pytest.fixture(scope="module")
def wide() -> Market:
    return wide_market(bars=400)


@pytest.fixture(scope="module")
def roots(wide: Market, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stores of a set that can do without its quarters, and of one that refuses."""
    found = {}
    for how in ("without", "refuse"):
        root = found[how] = tmp_path_factory.mktemp(how)
        made = make_wide_set(wide, dead_member=how)
        save(made.manifest, made.files, root / "sets")
    return found


def predictions(folder: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as journal:
        rows = journal.execute("SELECT body FROM events WHERE kind = 'PredictionReady' ORDER BY seq").fetchall()
    return [json.loads(body) for (body,) in rows]


def test_the_running_daemon_says_what_the_history_says(
    exchange: Exchange, configure: Configure, start: Callable[..., Running], roots: dict[str, Path], wide: Market,
    tmp_path: Path,
) -> None:  # fmt: skip
    other = wide_market(bars=400, seed=7, symbol="ETHUSDT")
    files = []
    for symbol, market in (("BTCUSDT", wide), ("ETHUSDT", other)):
        assert market.finer is not None
        files.append(tmp_path / f"{symbol}-15m.parquet")
        history.write(market.finer, files[-1])
    place = exchange(data=files, symbols="BTCUSDT,ETHUSDT", timeframe="15m", warmup=4 * WARMUP, bars=4 * HOURS + 4)
    config = configure(
        place.url, symbols=["BTCUSDT", "ETHUSDT"], timeframes=["15m", "1h"], model_sets=str(roots["refuse"])
    )
    daemon = start(config, "--candles", str(HOURS), "--json")
    until(lambda: place.state()["listening"], "the daemon listening")
    for _ in range(HOURS):
        opened = place.state()["market_time"]
        place.advance(4)
        until(lambda opened=opened: daemon.settled() >= opened, f"the hour of {opened} settled")
    assert daemon.wait()[0] == 0
    said = predictions(daemon.folder)
    assert len(said) == HOURS
    predictor = Predictor.load(resolve("latest", roots["refuse"]))
    for symbol, market in (("BTCUSDT", wide), ("ETHUSDT", other)):
        told = predictor.predict_history(symbol, market.candles, finer=market.finer, companion=market.companion)
        at = {int(time): row for row, time in enumerate(told.open_time)}
        for ready in said:
            (opinion,) = [o for o in ready["opinions"] if o["symbol"] == symbol]
            assert opinion["refusal"] == ""
            row = at[ready["bar"]]
            outlook = opinion["outlook"]
            assert (outlook["p_long"], outlook["p_short"]) == (told.p_long[row], told.p_short[row])
            assert outlook["regime"] == told.regime[row]


def test_a_timeframe_that_is_not_subscribed_to_is_refused_with_the_line_to_write(
    configure: Configure, roots: dict[str, Path]
) -> None:
    both = ["BTCUSDT", "ETHUSDT"]
    config = configure("http://127.0.0.1:1", symbols=both, model_sets=str(roots["refuse"]))
    done = command("run", config)
    assert done.exit_code == 4
    assert "lstm15m of model set" in done.output
    assert "reads 15m candles; write timeframes: [15m, 1h]" in done.output
    lenient = load_config(configure("http://127.0.0.1:1", symbols=both, model_sets=str(roots["without"])))
    needed, missed = unsubscribed(Predictor.load(resolve("latest", roots["without"])).manifest, lenient)
    assert needed == []
    assert missed[0].endswith("write timeframes: [15m, 1h]")


def test_a_companion_that_is_not_subscribed_to_is_refused_with_the_line_to_write(
    configure: Configure, roots: dict[str, Path]
) -> None:
    config = configure("http://127.0.0.1:1", timeframes=["15m", "1h"], model_sets=str(roots["without"]))
    done = command("run", config)
    assert done.exit_code == 4
    assert "compares BTCUSDT with ETHUSDT; write symbols: [BTCUSDT, ETHUSDT]" in done.output


def test_enough_quarters_are_held_and_fetched(roots: dict[str, Path]) -> None:
    predictor = Predictor.load(resolve("latest", roots["refuse"]))
    read = {t: held(predictor, Timeframe.parse(t)) for t in ("15m", "1h")}
    assert read == {"15m": 18 + 4 * 64, "1h": predictor.lookback + 64}
    store = CandleStore([("BTCUSDT", "15m"), ("BTCUSDT", "1h")], 100, read)
    assert store["BTCUSDT", "15m"].capacity == 274
    assert store["BTCUSDT", "1h"].capacity == max(100, predictor.lookback + 64)
    assert store.until(("ETHUSDT", "1h"), 0) is None


def test_a_rehearsal_plays_the_finest_timeframe_subscribed_to(wide: Market, tmp_path: Path) -> None:
    assert exchange_options([], ["BTCUSDT"], [], HOUR, 100, QUARTER)[-4:] == ["--timeframe", "15m", "--warmup", "400"]
    assert exchange_options([], ["BTCUSDT"], [], HOUR, 100)[-4:] == ["--timeframe", "1h", "--warmup", "100"]
    history.write(wide.candles, tmp_path / "BTCUSDT-1h.parquet")
    with pytest.raises(TimeframeError, match="15m candles cannot be made of 1h candles"):
        exchange_options([tmp_path / "BTCUSDT-1h.parquet"], ["BTCUSDT"], [], HOUR, 10, QUARTER)
