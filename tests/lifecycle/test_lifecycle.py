"""The loop closes: one set over ssh, as `make lifecycle` proves all of it, and what the proof measures with."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from daemon.journal import FILE
from market import history, synthetic
from tests.lifecycle import figures, market, places
from tests.lifecycle.__main__ import together
from tests.lifecycle.proof import Asked, prove
from tests.lifecycle.stage import once_in

NOW_MS = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.slow
@pytest.mark.skipif(places.why_not("ssh") is not None, reason=str(places.why_not("ssh")))
def test_a_set_is_trained_over_ssh_judged_swapped_in_and_kept_and_no_candle_is_missed(tmp_path: Path) -> None:
    proof = prove(Asked("ssh", whole=False, candles_a_second=4.0), tmp_path, lambda text: None)
    assert proof.lacks == ()
    told = together([proof])
    assert (told["candles_missed"], told["refused"], told["rolled_back"]) == (0, [], [])
    assert told["promoted"] == list(proof.kept)
    assert told["decision_delay_ms_max"] is not None
    assert json.loads(json.dumps(told)) == told, "one JSON object"
    decided = _sets_that_decided(tmp_path / "state")
    assert decided == [proof.planted.first, *proof.kept], "the one before, then the new one, and never back"


def test_only_the_volume_knows_of_the_turn(tmp_path: Path) -> None:
    served = market.write(tmp_path, NOW_MS, hours=400, turns_after=200)
    told = history.read(served.data)
    plain, _ = synthetic.generate(
        market.SYMBOL, bars=len(told), timeframe=market.HOUR, seed=market.SEED, signal=market.SIGNAL,
        start_ms=int(told.open_time[0]),
    )  # fmt: skip
    assert np.array_equal(told.close, plain.close)
    assert (told.taker_base <= told.volume).all()
    ahead = np.log(told.close[market.AHEAD :] / told.close[: -market.AHEAD])
    louder = np.log(told.volume / plain.volume)[: -market.AHEAD]
    turn = market.HISTORY + 200
    assert np.corrcoef(louder[:turn], ahead[:turn])[0, 1] > 0.7
    assert np.corrcoef(louder[turn:], ahead[turn:])[0, 1] < -0.7


def test_the_market_is_the_same_whenever_it_is_made_and_always_past(tmp_path: Path) -> None:
    now, later = (
        market.write(tmp_path / name, at, hours=100, turns_after=50)
        for name, at in (("now", NOW_MS), ("later", NOW_MS + 3 * market.WEEK_MS + 86_400_000))
    )
    one, other = history.read(now.data), history.read(later.data)
    assert int(other.open_time[0] - one.open_time[0]) % market.WEEK_MS == 0
    assert np.array_equal(one.close, other.close)
    assert np.array_equal(one.volume, other.volume)
    assert int(one.open_time[-1]) < NOW_MS
    assert len(history.read(now.known)) == market.HISTORY


@pytest.mark.parametrize(
    ("second", "wanted"), [(0, "5 12 * * *"), (30, "6 12 * * *"), (59, "6 12 * * *")], ids=["at once", "next", "late"]
)
def test_the_schedule_fires_once_at_a_full_minute_ahead(second: int, wanted: str) -> None:
    assert once_in(60, datetime(2026, 11, 24, 12, 4, second, tzinfo=UTC)) == wanted


def test_a_candle_that_nobody_decided_on_is_missed_and_a_late_one_is_timed(tmp_path: Path) -> None:
    hour = market.HOUR.ms
    with closing(sqlite3.connect(tmp_path / FILE)) as journal:
        journal.execute("CREATE TABLE decisions (bar INTEGER, at_ms INTEGER)")
        journal.execute("CREATE TABLE events (kind TEXT)")
        rows = [(1 * hour, 1_020), (2 * hour, 2_300), (4 * hour, 4_010)]
        journal.executemany("INSERT INTO decisions VALUES (?, ?)", rows)
        journal.commit()
    heard = {bar * hour: bar * 1_000 for bar in range(7)}
    counted = figures.candles(tmp_path, heard, told_to_end_ms=5_500)
    assert (counted.decided, counted.missed) == (3, 2), "hours 3 and 5; hour 0 came before, hour 6 after"
    assert (counted.longest_ms, counted.delay_ms(0.5)) == (300, 20)


def _sets_that_decided(state: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{state / FILE}?mode=ro", uri=True)) as journal:
        rows = journal.execute("SELECT model_set FROM decisions WHERE model_set != '' ORDER BY id").fetchall()
    return list(dict.fromkeys(row[0] for row in rows))
