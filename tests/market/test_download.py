"""`python -m market history`: from a local exchange through ccxt, and from a local archive, over sockets."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from market import history, synthetic
from market.__main__ import market
from market.candles import VALUES, Candles
from market.download.spans import DAY_MS, HOUR_MS, Span, missing, missing_funding, months
from market.funding import Funding
from market.timeframes import Timeframe
from tests.archive_server import ArchiveServer, rows, zipped
from tests.local_exchange import LocalExchange

HOUR = Timeframe.parse("1h")
JAN, FEB, MAR, APR = (1_704_067_200_000 + DAY_MS * n for n in (0, 31, 60, 91))
"""The firsts of the first months of 2024."""


@pytest.fixture(scope="module")
def market_of_2024() -> tuple[Candles, Funding]:
    """The synthetic market from 2024-01-01 to 2024-04-19, in hours."""
    return synthetic.generate(bars=110 * 24, timeframe=HOUR)


@pytest.fixture
def archive(market_of_2024: tuple[Candles, Funding]) -> Iterator[ArchiveServer]:
    """January to March, as an archive."""
    with ArchiveServer() as server:
        candles, funding = market_of_2024
        server.put_candles("BTCUSDT", candles)
        server.put_funding("BTCUSDT", funding.between(JAN, APR))
        yield server


def run(*words: object) -> Result:
    return CliRunner().invoke(market, ["history", *map(str, words)], catch_exceptions=False)


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def same(one: Candles, other: Candles) -> bool:
    return np.array_equal(one.open_time, other.open_time) and all(
        np.array_equal(getattr(one, v), getattr(other, v), equal_nan=True) for v in VALUES
    )


def test_the_exchange_gives_every_column_and_never_the_forming_candle(
    exchange: Callable[..., LocalExchange], market_of_2024: tuple[Candles, Funding], tmp_path: Path
) -> None:
    local = exchange(bars=600, timeframe="1h", warmup=2_000)
    out, rates = tmp_path / "BTCUSDT.parquet", tmp_path / "BTCUSDT-funding.parquet"
    words = ("--source", "api", "--api-url", local.url, "--out", out, "--funding-out", rates, "--json")
    first = told(run(*words))
    assert (first["candles"], first["asked"], first["missing"]) == (2_000, 2_000, [])
    candles, funding = market_of_2024
    assert same(history.read(out, HOUR), candles[:2_000])
    assert np.array_equal(history.read_funding(rates).rate, funding.between(None, JAN + 2_000 * HOUR_MS).rate)

    local.advance(50)
    second = told(run(*words))
    assert (second["candles"], second["asked"], second["funding"]["missing"]) == (2_050, 50, [])
    assert same(history.read(out, HOUR), candles[:2_050])
    assert told(run(*words))["asked"] == 0


def test_a_hole_in_the_file_is_filled_from_the_exchange(
    exchange: Callable[..., LocalExchange], market_of_2024: tuple[Candles, Funding], tmp_path: Path
) -> None:
    local = exchange(bars=10, timeframe="1h", warmup=2_000)
    candles, _ = market_of_2024
    out = tmp_path / "BTCUSDT.parquet"
    keep = np.ones(2_000, dtype=bool)
    keep[700:790] = keep[1_500:1_501] = False
    history.write(candles[:2_000][keep], out)
    assert told(run("--source", "api", "--api-url", local.url, "--out", out, "--json"))["asked"] == 91
    assert same(history.read(out), candles[:2_000])


def test_an_outage_is_reported_with_its_times(exchange: Callable[..., LocalExchange], tmp_path: Path) -> None:
    candles, _ = synthetic.generate(bars=300, timeframe=HOUR)
    keep = np.ones(300, dtype=bool)
    keep[100:103] = False
    history.write(candles[keep], tmp_path / "with-outage.parquet")
    local = exchange(data=tmp_path / "with-outage.parquet", warmup=200)
    result = run("--source", "api", "--api-url", local.url, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 0, result.output
    assert "missing: 2024-01-05T04:00Z to 2024-01-05T07:00Z" in result.stdout


def test_the_archive_gives_whole_months_once(
    archive: ArchiveServer, market_of_2024: tuple[Candles, Funding], tmp_path: Path
) -> None:
    out, rates = tmp_path / "BTCUSDT.parquet", tmp_path / "funding.parquet"
    words = ("--source", "archive", "--archive-url", archive.url, "--from", "2024-01-01", "--to", "2024-04-01")
    words += ("--out", out, "--funding-out", rates, "--json")
    first = told(run(*words))
    candles, funding = market_of_2024
    assert (first["archived"], first["missing"]) == ((APR - JAN) // HOUR_MS, [])
    assert same(history.read(out), candles.between(JAN, APR))
    got, expected = history.read_funding(rates), funding.between(JAN, APR)
    assert np.array_equal(got.time, expected.time)
    assert np.array_equal(got.rate, expected.rate)

    archive.asked.clear()
    again = told(run(*words))
    assert (again["archived"], archive.asked) == (0, [])


def test_files_without_a_header_line_and_daily_files_are_read(tmp_path: Path) -> None:
    yesterday = int(np.datetime64("today", "ms").astype(int)) - DAY_MS
    candles, _ = synthetic.generate(bars=24, timeframe=HOUR, start_ms=yesterday)
    day = str(np.datetime64(yesterday, "ms"))[:10]
    with ArchiveServer() as archive:
        archive.put_candles("ETHUSDT", candles, daily=True, header=False)
        out = tmp_path / "ETHUSDT.parquet"
        words = ("--symbol", "ETHUSDT", "--source", "archive", "--archive-url", archive.url, "--from", day)
        first = told(run(*words, "--out", out, "--json"))
    assert (first["archived"], first["missing"]) == (24, [])
    assert same(history.read(out, HOUR), candles)


def test_auto_takes_whole_months_from_the_archive_and_the_rest_from_the_exchange(
    archive: ArchiveServer,
    exchange: Callable[..., LocalExchange],
    market_of_2024: tuple[Candles, Funding],
    tmp_path: Path,
) -> None:
    local = exchange(bars=600, timeframe="1h", warmup=2_300)
    february = [path for path in archive.files if "1h-2024-02" in path]
    for path in february:
        del archive.files[path]
    out = tmp_path / "BTCUSDT.parquet"
    first = told(run("--api-url", local.url, "--archive-url", archive.url, "--out", out, "--json"))
    # March is whole, February is not in the archive, and April has but begun
    assert first["archived"] == (FEB - JAN + APR - MAR) // HOUR_MS
    assert first["asked"] == 2_300 - first["archived"]
    assert same(history.read(out), market_of_2024[0][:2_300])


def test_a_wrong_checksum_refuses_the_file_and_nothing_is_lost(
    archive: ArchiveServer, market_of_2024: tuple[Candles, Funding], tmp_path: Path
) -> None:
    path = "monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-02.zip"
    whole = archive.files[path]
    archive.files[path] = whole[:-1] + b"!"
    out = tmp_path / "BTCUSDT.parquet"
    words = ("--source", "archive", "--archive-url", archive.url, "--from", "2024-01-01", "--to", "2024-04-01")
    refused = run(*words, "--out", out)
    assert refused.exit_code == 7
    assert f"{archive.url}/data/futures/um/{path}: its SHA-256 is" in refused.stderr
    assert same(history.read(out), market_of_2024[0].between(JAN, FEB))

    archive.files[path] = whole
    archive.asked.clear()
    assert told(run(*words, "--out", out, "--json"))["missing"] == []
    assert not any("2024-01" in asked for asked in archive.asked)
    assert same(history.read(out), market_of_2024[0].between(JAN, APR))


def test_a_download_that_was_cut_keeps_what_came_and_goes_on_from_there(
    archive: ArchiveServer,
    market_of_2024: tuple[Candles, Funding],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("market.download.archive.TRIES", 2)
    archive.failing.add("monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-03.zip")
    out = tmp_path / "BTCUSDT.parquet"
    words = ("--source", "archive", "--archive-url", archive.url, "--from", "2024-01-01", "--to", "2024-04-01")
    cut = run(*words, "--out", out)
    assert cut.exit_code == 1
    assert "2024-03.zip: HTTP Error 503" in cut.stderr
    assert "run it again later" in cut.stderr
    assert same(history.read(out), market_of_2024[0].between(JAN, MAR))
    archive.failing.clear()
    assert told(run(*words, "--out", out, "--json"))["archived"] == (APR - MAR) // HOUR_MS


def test_damaged_and_foreign_candles_of_an_archive_are_refused(
    archive: ArchiveServer, market_of_2024: tuple[Candles, Funding], tmp_path: Path
) -> None:
    path = "monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-02.zip"
    out = tmp_path / "BTCUSDT.parquet"
    words = ("--source", "archive", "--archive-url", archive.url, "--from", "2024-02-01", "--to", "2024-03-01")
    lines = list(rows(market_of_2024[0].between(FEB, MAR), header=True))
    lines[7] = lines[7].replace(lines[7].split(",")[3], "-1.0")
    archive.put(path, zipped("damaged.csv", lines))
    damaged = run(*words, "--out", out)
    assert (damaged.exit_code, out.exists()) == (7, False)
    assert "2024-02-01T06:00Z  price that is not a positive number" in damaged.stderr

    archive.put(path, zipped("foreign.csv", rows(market_of_2024[0].between(JAN, FEB), header=True)))
    foreign = run(*words, "--out", out)
    assert (foreign.exit_code, out.exists()) == (7, False)
    assert "times that are not of 2024-02-01T00:00Z to 2024-03-01T00:00Z" in foreign.stderr

    archive.put(path, b"no zip at all")
    assert "not a readable file" in run(*words, "--out", out).stderr


def test_an_unknown_symbol_and_an_absent_exchange_are_told_apart(
    exchange: Callable[..., LocalExchange], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.download.api.TRIES", 2)
    local = exchange(bars=10)
    unknown = run("--symbol", "DOGEUSDT", "--source", "api", "--api-url", local.url, "--out", tmp_path / "o.parquet")
    assert (unknown.exit_code, "Invalid symbol" in unknown.stderr) == (7, True)
    local.stop()
    absent = run("--source", "api", "--api-url", local.url, "--out", tmp_path / "o.parquet")
    assert (absent.exit_code, "run it again later" in absent.stderr) == (1, True)


def test_a_file_named_after_another_symbol_is_not_touched(tmp_path: Path) -> None:
    result = run("--symbol", "ETHUSDT", "--out", tmp_path / "BTCUSDT-um-1h.parquet")
    assert result.exit_code == 2
    assert "named after BTCUSDT" in result.stderr


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (
            ("--from", "2024-02-01", "--to", "2024-01-01"),
            "--from 2024-02-01T00:00Z is not before --to 2024-01-01",
        ),
        (("--from", "2999-01-01"), "--from 2999-01-01T00:00Z is in the future"),
    ],
)
def test_times_that_no_source_has_are_judged_before_one_is_asked(
    tmp_path: Path, times: tuple[str, ...], told: str
) -> None:
    result = run(*times, "--api-url", "http://127.0.0.1:9", "--out", tmp_path / "o.parquet")
    assert result.exit_code == 2
    assert told in result.stderr


@given(st.sets(st.integers(0, 200)), st.integers(0, 100), st.integers(1, 100))
def test_missing_spans_are_what_is_wanted_and_not_there(present: set[int], start: int, length: int) -> None:
    step = HOUR.ms
    times = np.array(sorted(present), dtype=np.int64) * step
    held = Candles(HOUR, times, *(np.ones(len(times)) for _ in VALUES))
    spans = missing(held, Span(start * step, (start + length) * step), step)
    lacking = {slot for span in spans for slot in range(span.start // step, span.end // step)}
    assert lacking == set(range(start, start + length)) - present
    assert all(one.end < other.start for one, other in itertools.pairwise(spans))


def test_funding_is_missing_where_more_than_eight_hours_pass_or_the_next_is_due() -> None:
    hours = np.array([8, 16, 24, 48, 52, 56], dtype=np.int64) * HOUR_MS
    funding = Funding(hours, np.zeros(6, dtype=np.int64))
    hole = Span(24 * HOUR_MS + 60_000, 48 * HOUR_MS)
    assert missing_funding(funding, Span(4 * HOUR_MS, 60 * HOUR_MS)) == [hole]
    assert missing_funding(funding, Span(0, 61 * HOUR_MS)) == [
        Span(0, 8 * HOUR_MS),
        hole,
        Span(56 * HOUR_MS + 60_000, 61 * HOUR_MS),
    ]


def test_months_follow_the_calendar() -> None:
    assert [month.month for month in months(Span(JAN + 1, APR))] == ["2024-01", "2024-02", "2024-03"]
    assert list(months(Span(FEB, MAR))) == [Span(FEB, MAR)]
