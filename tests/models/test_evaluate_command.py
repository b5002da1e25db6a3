"""`python -m models evaluate` as strangers use it: other symbols, finer files, missing columns, odd ranges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from market import history, synthetic
from market.candles import VALUES, Candles
from market.timeframes import Timeframe
from tests.models import judged_sets
from tests.models.judged_sets import BARS, CALIBRATED, PURGE, Judged
from tests.models.test_models_command import models

QUARTER = Timeframe.parse("15m")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A set on a market with a signal."""
    return judged_sets.make(tmp_path_factory.mktemp("judged"), judged_sets.market())


@pytest.fixture(scope="module")
def file(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That market as a file."""
    path = tmp_path_factory.mktemp("data") / "BTCUSDT-1h.parquet"
    history.write(judged.candles, path)
    return path


def arguments(judged: Judged, data: Path | str, *more: str) -> tuple[str, ...]:
    return ("evaluate", "--model-set", str(judged.path), "--data", str(data), "--draws", "40", *more)


def without(file: Path, *columns: str) -> Path:
    """The same file less some columns."""
    path = file.with_name(f"BTCUSDT-without-{'-'.join(columns)}.parquet")
    pq.write_table(pq.read_table(file).drop_columns(list(columns)), path)
    return path


def test_json_is_on_stdout_alone_and_warnings_and_progress_on_stderr(judged: Judged, file: Path) -> None:
    done = models(*arguments(judged, file, "--json"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["symbol"] == "BTCUSDT"  # as the file is named
    assert told["data"]["file"] == str(file)
    assert told["data"]["rows"] == BARS - CALIBRATED - PURGE - 24
    assert told["overlap"] == "its own test slice"
    assert "judged from 2024-07-28T08:00Z" in done.stderr
    assert "[4/5] figures" in done.stderr


def test_the_tables_are_short_and_nothing_is_cut_off(judged: Judged, file: Path) -> None:
    done = models(*arguments(judged, file))
    assert done.returncode == 0
    for words in ("stack's lead", "vol+clock", "lgbm", "HAR+clock", "out of fold", "log-loss", "not judged, 24"):
        assert words in done.stdout
    assert "…" not in done.stdout
    assert len(done.stdout.splitlines()) < 55


def test_a_finer_file_is_aggregated_and_gives_the_same_figures(judged: Judged, tmp_path: Path) -> None:
    finer, _ = synthetic.generate("BTCUSDT", bars=4 * 4000, timeframe=QUARTER, seed=3)
    path = tmp_path / "BTCUSDT-15m.parquet"
    history.write(finer, path)
    done = models(*arguments(judged, path, "--json", "--allow-overlap"))
    assert done.returncode == 0, done.stderr
    assert "16,000 candles of 15m made into 4,000 of 1h" in done.stderr
    told = json.loads(done.stdout)
    assert told["data"]["timeframe"] == "1h"
    assert told["overlap"] == "train (allowed)"


def test_a_second_file_is_checked_and_said_not_to_be_read(judged: Judged, file: Path, tmp_path: Path) -> None:
    finer, _ = synthetic.generate("BTCUSDT", bars=500, timeframe=QUARTER, seed=3)
    second = tmp_path / "BTCUSDT-15m.parquet"
    history.write(finer, second)
    done = models(*arguments(judged, f"{file},{second}", "--json"))
    assert done.returncode == 0
    assert "500 sound candles of 15m, not read" in done.stderr
    done = models(*arguments(judged, f"{file},{file}"))
    assert done.returncode == 7
    assert "holds 1h candles, not 15m" in done.stderr
    assert models(*arguments(judged, f"{file},{tmp_path / 'none.parquet'}")).returncode == 7
    assert "3 files" in models(*arguments(judged, f"{file},{second},{second}")).stderr


def test_missing_flow_columns_are_named_with_the_features_that_read_them(judged: Judged, file: Path) -> None:
    done = models(*arguments(judged, without(file, "taker_base", "taker_quote")))
    assert done.returncode == 7
    assert "taker_base: read by taker_flow_1, taker_flow_6, taker_flow_24 (3 of 12 features)" in done.stderr
    assert "taker_quote:" not in done.stderr  # no feature of this set reads it
    assert "give a file with these columns" in done.stderr
    assert "Traceback" not in done.stderr


def test_columns_no_feature_reads_may_be_missing(judged: Judged, file: Path) -> None:
    whole, part = (
        json.loads(models(*arguments(judged, f, "--json")).stdout)
        for f in (file, without(file, "trades", "quote_volume", "taker_quote"))
    )
    assert part["direction"] == whole["direction"]
    assert part["data"]["sha256"] != whole["data"]["sha256"]


def test_columns_that_begin_later_refuse_the_bars_before(judged: Judged, file: Path, tmp_path: Path) -> None:
    columns = {name: getattr(judged.candles, name).copy() for name in VALUES}
    columns["taker_base"][:6000] = np.nan
    path = tmp_path / "BTCUSDT-1h.parquet"
    history.write(Candles(judged.candles.timeframe, judged.candles.open_time, *columns.values()), path)
    told = json.loads(models(*arguments(judged, path, "--json")).stdout)
    assert told["data"]["refused"]["no volume or taker_base"] > 900
    assert told["data"]["rows"] < BARS - 6000


def test_another_symbol_of_the_same_time_is_judged_with_a_warning(judged: Judged, tmp_path: Path) -> None:
    candles = judged_sets.market(symbol="ETHUSDT").candles
    path = tmp_path / "ETHUSDT-1h.parquet"
    history.write(candles, path)
    done = models(*arguments(judged, path, "--json"))
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["symbol"], told["overlap"]) == ("ETHUSDT", "other symbol, same time")
    assert "coins move together" in done.stderr
    assert told["direction"]["5"]["stack"]["auc"] > 0.55  # what it learned of one coin holds for the other


def test_a_symbol_nobody_listed_is_judged_like_any_other(judged: Judged, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    path.write_bytes(file.read_bytes())
    done = models(*arguments(judged, path))
    assert done.returncode == 7
    assert "say it by --symbol" in done.stderr
    done = models(*arguments(judged, path, "--symbol", "1000PEPEUSDC", "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["symbol"] == "1000PEPEUSDC"


def test_an_overlapping_range_is_refused_with_the_way_out(judged: Judged, file: Path) -> None:
    done = models(*arguments(judged, file, "--from", "2024-02-01"))
    assert done.returncode == 7
    assert "train (2024-01-09T08:00:00Z to 2024-06-15T16:00:00Z)" in done.stderr
    assert "--from 2024-07-28T08:00" in done.stderr
    assert "--allow-overlap" in done.stderr
    assert models(*arguments(judged, file, "--from", "2024-07-28T08:00", "--to", "2024-09-01")).returncode == 0
    done = models(*arguments(judged, file, "--from", "2024-02-01", "--allow-overlap", "--json"))
    assert json.loads(done.stdout)["overlap"] == "train, calibrate (allowed)"


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--from", "2031-01-01"), 7, "no candle in the range"),
        (("--from", "2024-11-20"), 7, "too few for a figure"),
        (("--from", "yesterday"), 2, "write a UTC time"),
        (("--draws", "3"), 2, "20<=x<=20000"),
        (("--funding", "none.parquet"), 7, "no such file"),
    ],
)
def test_a_mistake_is_told_in_words(judged: Judged, file: Path, more: tuple[str, ...], code: int, words: str) -> None:
    done = models(*arguments(judged, file), *more)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_candles_longer_than_the_sets_are_refused(judged: Judged, tmp_path: Path) -> None:
    candles, _ = synthetic.generate("BTCUSDT", bars=500, timeframe=Timeframe.parse("4h"), seed=3)
    path = tmp_path / "BTCUSDT-4h.parquet"
    history.write(candles, path)
    done = models(*arguments(judged, path))
    assert done.returncode == 7
    assert "1h candles cannot be made of 4h candles" in done.stderr


def test_help_shows_how_it_is_called() -> None:
    text = models("evaluate", "--help").stdout
    for words in ("Examples", "--allow-overlap", "ETHUSDT-15m.parquet", "Exit codes"):
        assert words in text


def test_the_starter_set_on_a_real_market_has_no_skill_and_says_so(shared: Path) -> None:
    data = shared / "data" / "ETHUSDT-spot-1h.parquet"
    asked = ("--from", "2024-01-01", "--to", "2025-01-01", "--draws", "200", "--json")
    done = models("evaluate", "--model-set", "starter", "--data", str(data), *asked)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["symbol"], told["overlap"]) == ("ETHUSDT", "none")
    assert told["data"]["rows"] == 8784
    for h in ("5", "12", "24"):
        assert 0.45 < told["direction"][h]["stack"]["auc"] < 0.55
        assert not told["direction"][h]["stack"]["lead"]["minus_24h_return"]["ci"][0] > 0
    # a rule that is known to have held on this market holds here too
    assert told["direction"]["5"]["baselines"]["minus_24h_return"]["auc"] > 0.5
    assert told["regime"]["accuracy"] > told["regime"]["baselines"]["majority"]["accuracy"]


def test_real_candles_without_flow_are_refused_for_the_starter_set(shared: Path) -> None:
    data = shared / "data" / "ETHUSDT-um-1h.parquet"
    done = models("evaluate", "--model-set", "starter", "--data", str(data))
    assert done.returncode == 7
    assert "taker_base: read by taker_flow_1" in done.stderr
