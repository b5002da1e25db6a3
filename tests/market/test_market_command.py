"""`python -m market`: as a person or a script meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market import history, synthetic
from market.timeframes import Timeframe

ROOT = Path(__file__).resolve().parent.parent.parent
HOUR = Timeframe.parse("1h")


def market(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "market", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of hours with a gap, a repetition, a disorder and a NaN."""
    candles, _ = synthetic.generate(bars=100, timeframe=HOUR)
    rows = [*range(10), *range(15, 30), 29, *range(30, 50), 51, 50, *range(52, 100)]
    columns = {name: getattr(candles, name)[rows] for name in ("open_time", "open", "high", "low", "close", "volume")}
    columns["close"] = np.where(columns["open_time"] == candles.open_time[60], np.nan, columns["close"])
    path = tmp_path_factory.mktemp("broken") / "klines.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_made_market_is_found_sound(tmp_path: Path) -> None:
    out, funding = tmp_path / "eth.parquet", tmp_path / "funding.parquet"
    made = market("synth", "--out", out, "--funding-out", funding, "--bars", 960, "--symbol", "ETHUSDT", "--seed", 4)
    assert made.returncode == 0, made.stderr
    assert "960 15m candles from 2024-01-01T00:00Z to 2024-01-10T23:45Z, seed 4" in made.stdout
    expected, _ = synthetic.generate("ETHUSDT", bars=960, timeframe=Timeframe.parse("15m"), seed=4)
    assert np.array_equal(history.read(out).close, expected.close)
    checked = market("check", out)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "sound")
    assert "30 funding instants" in market("check", funding).stdout


def test_what_was_made_is_told_as_json(tmp_path: Path) -> None:
    made = market("synth", "--out", tmp_path / "c.parquet", "--bars", 5, "--timeframe", "1h", "--json")
    told = json.loads(made.stdout)
    assert (told["candles"], told["timeframe"], told["last"]) == (5, "1h", "2024-01-01T04:00Z")


def test_each_fault_is_printed_with_its_time_and_the_exit_code_is_7(broken: Path) -> None:
    checked = market("check", broken)
    assert checked.returncode == 7
    lines = [line.strip() for line in checked.stdout.splitlines()]
    assert "2024-01-01T10:00Z  5 candles missing, until 2024-01-01T15:00Z" in lines
    assert "2024-01-02T05:00Z  candle repeated" in lines
    assert "2024-01-03T02:00Z  candle comes after that of 2024-01-03T03:00Z" in lines
    assert any(line.startswith("2024-01-03T12:00Z  price that is not a positive number") for line in lines)
    assert "broken" in checked.stderr


def test_json_holds_every_fault_by_kind(broken: Path) -> None:
    checked = market("check", broken, "--json")
    told = json.loads(checked.stdout)
    assert (checked.returncode, told["sound"], told["candles"]) == (7, False, 96)
    assert {kind: [f["time"] for f in told[kind]] for kind in ("gaps", "duplicates", "disorder", "impossible")} == {
        "gaps": ["2024-01-01T10:00Z"],
        "duplicates": ["2024-01-02T05:00Z"],
        "disorder": ["2024-01-03T02:00Z"],
        "impossible": ["2024-01-03T12:00Z"],
    }


def test_a_gap_alone_is_reported_and_allowed(tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=50, timeframe=HOUR)
    history.write(candles[np.arange(50) != 20], tmp_path / "c.parquet")
    checked = market("check", tmp_path / "c.parquet")
    assert checked.returncode == 0
    assert "1 candle missing" in checked.stdout
    assert checked.stdout.splitlines()[-1] == "sound, with gaps"


def test_a_file_that_cannot_be_read_is_exit_code_7(tmp_path: Path) -> None:
    missing = market("check", tmp_path / "none.parquet")
    assert (missing.returncode, missing.stdout) == (7, "")
    assert "no such file" in missing.stderr
    told = json.loads(market("check", ROOT / "pyproject.toml", "--json").stdout)
    assert told["sound"] is False
    assert "not a readable parquet file" in told["error"]


def test_a_fault_in_funding_is_exit_code_7(tmp_path: Path) -> None:
    path = tmp_path / "funding.parquet"
    times = synthetic.START_MS + 8 * HOUR.ms * np.array([0, 1, 1])
    pq.write_table(pa.table({"funding_time": times, "funding_rate": np.full(3, 0.0001)}), path)
    checked = market("check", path)
    assert checked.returncode == 7
    assert "2024-01-01T08:00Z  instant is not later than the one before" in checked.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["synth", "--bars", "0"],
        ["synth", "--signal", "2"],
        ["synth", "--timeframe", "7m"],
        ["synth", "--symbol", "bitcoin"],
        ["synth", "--start", "yesterday"],
        ["synth", "--start", "2024-01-01T00:07"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(tmp_path: Path, words: list[str]) -> None:
    out = tmp_path / "c.parquet"
    refused = market(*words, "--out", out)
    assert refused.returncode == 2
    assert refused.stderr
    assert not out.exists()


def test_a_folder_that_is_not_there_is_exit_code_1(tmp_path: Path) -> None:
    refused = market("synth", "--out", tmp_path / "nowhere" / "c.parquet", "--bars", 5)
    assert refused.returncode == 1
    assert "no such folder" in refused.stderr


def test_help_shows_the_commands_and_examples() -> None:
    assert "synth" in market("--help").stdout
    assert "python -m market check BTCUSDT-15m.parquet" in market("check", "--help").stdout
