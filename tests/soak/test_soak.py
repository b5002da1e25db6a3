"""A short soak, as `make soak` runs a long one, and the eyes it looks with."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from daemon.journal import FILE
from market.exchange.faults.scenario import Scenario
from tests.daemon.journal_replay import differences
from tests.local_exchange import LocalExchange
from tests.soak.findings import candles, curve, growth, unhandled
from tests.soak.soak import Soak, Soaked
from tests.soak.storm import rules


@pytest.mark.slow
def test_a_storm_leaves_no_exception_unhandled_and_no_candle_missed(tmp_path: Path) -> None:
    samples: list[int] = []
    soak = Soak(tmp_path, symbols=2, frames=6_000, seed=5)
    try:
        seen = soak.run(lambda so_far: samples.append(so_far.frames))
        assert list(candles(soak.state, soak.place.url)) == []
    finally:
        soak.close()
    assert (seen.exit_code, seen.unrest, unhandled(soak.log)) == (0, [], [])
    assert list(differences(soak.config)) == [], "the journal, told again, leads to the same commands, byte for byte"
    assert seen.frames >= 6_000
    assert samples == sorted(samples)
    assert len([name for name, hits in seen.strikes.items() if hits]) >= 5, seen.strikes


def test_the_storm_is_one_that_the_exchange_takes() -> None:
    made = Scenario.model_validate({"faults": rules()})
    assert len({rule.name for rule in made.faults}) == len(made.faults) >= 20


def test_an_exception_that_nobody_meant_to_catch_is_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    said = [
        {"event": "private stream is live", "level": "info"},
        {"event": "ccxt could not read a frame", "exception": "Traceback (most recent call last): ..."},
        {"event": "Task exception was never retrieved", "exception": "Traceback (most recent call last): ..."},
        {"event": "market ended in an error", "level": "critical"},
    ]
    log.write_text("\n".join([*map(json.dumps, said), "Traceback (most recent call last):"]))
    assert [line[:20] for line in unhandled(log)] == [
        '{"event": "Task exce',
        '{"event": "market en',
        "Traceback (most rece",
    ]


def test_a_candle_that_is_missing_doubled_or_not_the_exchanges_own_is_found(tmp_path: Path) -> None:
    place = LocalExchange(symbols="BTCUSDT", warmup=10, bars=20)
    try:
        first = place.ready["market_time"]
        place.advance(6)
        with urlopen(f"{place.url}/fapi/v1/klines?symbol=BTCUSDT&interval=1h&startTime={first}") as reply:
            told = [_event(row) for row in json.load(reply)[:6]]
        assert list(candles(_journal(tmp_path / "whole", told, []), place.url)) == []
        gap = ("BTCUSDT", "1h", first + 3_600_000, first + 7_200_000, "refused: nobody has these candles")
        assert list(candles(_journal(tmp_path / "refused", [told[0], *told[2:]], [gap]), place.url)) == []
        (missing,) = candles(_journal(tmp_path / "hole", [told[0], *told[2:]], []), place.url)
        assert f"1 candles missing, the first at {first + 3_600_000} ms" in missing
        (doubled,) = candles(_journal(tmp_path / "double", [told[0], *told], []), place.url)
        assert "twice or out of order" in doubled
        (late,) = candles(_journal(tmp_path / "late", told[:2], []), place.url)
        assert "newest" in late
        told[2]["candle"]["close"] *= 1.01
        (wrong,) = candles(_journal(tmp_path / "wrong", told, []), place.url)
        assert "1 candles differ" in wrong
    finally:
        place.stop()


def test_growth_is_measured_behind_the_warm_up_and_drawn() -> None:
    memory = [(n, 100.0 + min(n, 250) + max(0, n - 900) * 0.5) for n in range(0, 1001, 10)]
    assert growth(memory[:91]) == 0.0
    assert growth(memory) > 0.05
    assert curve(memory).startswith("<svg")
    assert Soaked().strikes == {}


def _event(row: list[object]) -> dict[str, object]:
    names = ("open_time", "open", "high", "low", "close", "volume")
    values = (int(str(row[0])), *(float(str(v)) for v in row[1:6]))
    return {"symbol": "BTCUSDT", "timeframe": "1h", "candle": dict(zip(names, values, strict=True))}


def _journal(folder: Path, told: list[dict[str, object]], gaps: list[tuple[object, ...]]) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT, body TEXT)")
        db.execute("CREATE TABLE gaps (symbol TEXT, timeframe TEXT, start INT, end INT, how TEXT)")
        db.executemany("INSERT INTO events (kind, body) VALUES ('CandleClosed', ?)", [(json.dumps(e),) for e in told])
        db.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, ?)", gaps)
    return folder
