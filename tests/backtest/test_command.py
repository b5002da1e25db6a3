"""`python -m backtest` with the starter set: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.__main__ import main
from market import history, synthetic
from market.aggregate import aggregate
from market.candles import VALUES, Candles
from market.timeframes import Timeframe
from models.modelset import ModelSet, resolve

ROOT = Path(__file__).resolve().parents[2]
HOURLY = Timeframe.parse("1h")


@pytest.fixture(scope="session")
def market() -> Candles:
    return synthetic.generate("BTCUSDT", bars=2_600, timeframe=HOURLY, seed=77)[0]


@pytest.fixture(scope="session")
def files(market: Candles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of klines and one of funding."""
    folder = tmp_path_factory.mktemp("history")
    klines, funding = folder / "BTCUSDT-1h.parquet", folder / "funding.parquet"
    history.write(market, klines)
    history.write(synthetic.generate("BTCUSDT", bars=2_600, timeframe=HOURLY, seed=77)[1], funding)
    return klines, funding


def code_of(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def answer(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    main([*(str(a) for a in arguments), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict)
    return said


def test_it_judges_the_starter_set_on_the_synthetic_market(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model-set", "starter", "--days", "30"])
    out = capsys.readouterr().out
    for word in ("model set", "DEMO", "return", "largest drawdown", "Sharpe ratio", "By regime at entry", "Decisions"):
        assert word in out


@pytest.mark.parametrize("amount", ["0", "-5", "much", "1.123456789"])
def test_a_wallet_that_cannot_trade_is_refused_in_words(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--model-set", "starter", "--cash", amount) == 2
    assert "--cash" in capsys.readouterr().err


def test_json_holds_every_trade_and_adds_up(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    klines, funding = files
    said = answer(capsys, "--model-set", "starter", "--data", klines, "--funding", funding)
    assert said["symbols"] == ["BTCUSDT"]
    assert said["decisions"] == said["bars"] - 1
    assert len(said["trades"]) == said["all"]["trades"] > 0
    net = sum(round(float(t["profit"]) * 1e8) for t in said["trades"])
    if not said["open_positions"]:
        assert round(float(said["cash"]) * 1e8) == 10_000 * 10**8 + net
    assert sum(group["trades"] for group in said["regimes"].values()) == said["all"]["trades"]
    assert sum(said["exits"].values()) == said["all"]["trades"]


def test_a_phase_caps_what_is_tested_and_says_so(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model-set", "starter", "--data", str(files[0]), "--phase", "small_live", "--json"])
    told = capsys.readouterr()
    assert "phase small_live tightens the rules: regimes.leverage 10/5/2 -> 3/3/2" in told.err
    said = json.loads(told.out)
    assert max(t["leverage"] for t in said["trades"]) <= 3
    assert said["restrictions"], "losses are caught early"
    assert sum(said["candles_restricted"].values()) > 0


def test_the_same_question_has_the_same_answer(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    question = ("--model-set", "starter", "--data", files[0], "--funding", files[1])
    assert answer(capsys, *question) == answer(capsys, *question)


def test_a_range_is_tested_as_asked(
    market: Candles, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    # The synthetic market begins on 2024-01-01; both ends are UTC.
    said = answer(
        capsys, "--model-set", "starter", "--data", files[0], "--from", "2024-03-20", "--to", "2024-03-25T12:00"
    )
    assert (said["from"], said["to"]) == ("2024-03-20T00:00:00.000Z", "2024-03-25T12:00:00.000Z")
    assert said["bars"] == 5 * 24 + 12


def test_rules_can_be_chosen(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    never = tmp_path / "never.yaml"
    never.write_text("name: never\nentry: {long: 1.0, short: 1.0}\n")
    said = answer(capsys, "--model-set", "starter", "--data", files[0], "--funding", files[1], "--rules", never)
    assert said["rules"] == "never"
    assert said["all"]["trades"] == 0
    assert said["total_return"] == 0


def test_two_symbols_are_tested_on_one_account(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles, rates = synthetic.generate("ETHUSDT", bars=2_600, timeframe=HOURLY, seed=77)
    klines, funding = tmp_path / "ETHUSDT-1h.parquet", tmp_path / "ETHUSDT-funding.parquet"
    history.write(candles, klines)
    history.write(rates, funding)
    both = ("--data", files[0], "--funding", files[1], "--data", klines, "--funding", funding)
    said = answer(capsys, "--model-set", "starter", *both)
    assert said["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert {t["symbol"] for t in said["trades"]} == {"BTCUSDT", "ETHUSDT"}


def test_help_explains_and_exits_0() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "backtest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in ("--model-set", "--data", "--from", "Examples", "Exit codes"):
        assert word in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("--model-set",), ("--model-set", "starter", "--from", "soon"), ("--model-set", "starter", "--fee", "1")],
    ids=["nothing", "no name", "no time", "no such option"],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    assert code_of(*arguments) == 2


def test_a_broken_rules_file_exits_4_and_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("entry:\n  logn: 0.6\n")
    assert code_of("--model-set", "starter", "--rules", rules) == 4
    assert f"{rules}:2:3: entry.logn: unknown key, did you mean 'long'?" in capsys.readouterr().err


def test_a_model_set_that_is_not_there_exits_7(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--model-set", "20200101T000000-000000000000") == 7
    assert "20200101T000000-000000000000" in capsys.readouterr().err


def damaged(market: Candles, how: str) -> Candles:
    match how:
        case "duplicate":
            return market[np.sort(np.append(np.arange(len(market)), 100))]
        case "nan":
            close = market.close.copy()
            close[50] = np.nan
            return replace(market, close=close)
        case "short":
            return market[:30]
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["duplicate", "nan", "short"])
def test_damaged_or_short_history_exits_7(
    market: Candles, files: tuple[Path, Path], tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "BTCUSDT.parquet"
    history.write(damaged(market, how), file)
    assert code_of("--model-set", "starter", "--data", file, "--funding", files[1]) == 7
    assert "Traceback" not in capsys.readouterr().err


def test_missing_foreign_and_unnamed_files_exit_7(tmp_path: Path, files: tuple[Path, Path]) -> None:
    assert code_of("--model-set", "starter", "--data", tmp_path / "none.parquet") == 7
    (tmp_path / "BTCUSDT.parquet").write_text("not parquet")
    assert code_of("--model-set", "starter", "--data", tmp_path / "BTCUSDT.parquet") == 7
    unnamed = tmp_path / "klines.parquet"
    unnamed.write_bytes(files[0].read_bytes())
    assert code_of("--model-set", "starter", "--data", unnamed) == 7
    assert code_of("--model-set", "starter", "--data", files[0], "--symbol", "btc") == 7


def test_a_range_without_candles_exits_7(files: tuple[Path, Path]) -> None:
    assert code_of("--model-set", "starter", "--data", files[0], "--from", "2031-01-01") == 7


def test_a_gap_is_survived_and_its_candles_are_refused(
    market: Candles, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "BTCUSDT-gap.parquet"
    kept = np.ones(len(market), dtype=np.bool_)
    kept[2_400:2_405] = False
    history.write(market[kept], file)
    said = answer(capsys, "--model-set", "starter", "--data", file, "--funding", files[1])
    assert said["predictions_refused"]
    assert said["decisions_by_reason"]["no prediction"] > 0


def test_real_history_is_tested(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    klines = shared / "data" / "BTCUSDT-spot-1h.parquet"
    funding = shared / "data" / "BTCUSDT-um-funding.parquet"
    said = answer(
        capsys,
        "--model-set",
        "starter",
        "--data",
        klines,
        "--funding",
        funding,
        "--from",
        "2024-01-01",
        "--to",
        "2024-03-01",
    )
    assert said["bars"] == 60 * 24
    assert said["decisions"] == said["bars"] - 1


def test_minutes_inside_the_hours_are_played_and_what_they_change_is_told(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours made of quarters, the quarters given as detail."""
    quarters = synthetic.generate("BTCUSDT", bars=2_600, timeframe=Timeframe.parse("15m"), seed=5)[0]
    fine, coarse = tmp_path / "BTCUSDT-15m.parquet", tmp_path / "BTCUSDT-1h.parquet"
    history.write(quarters, fine)
    history.write(aggregate(quarters, HOURLY), coarse)
    said = answer(capsys, "--model-set", "starter", "--data", coarse, "--detail", fine)
    inside = said["order_inside_bars"]
    assert inside["detailed"] == inside["bars"]
    assert said["bars"] == 4 * inside["bars"]
    assert inside["with_detail"]["trades"] == said["all"]["trades"]
    main([str(a) for a in ("--model-set", "starter", "--data", coarse, "--detail", fine)])
    assert "Order inside the bar" in capsys.readouterr().out
    assert code_of("--model-set", "starter", "--data", fine, "--detail", coarse) == 7
    assert "no detail" in capsys.readouterr().err
    assert code_of("--model-set", "starter", "--data", coarse, "--data", coarse, "--detail", fine) == 7


def test_detail_of_another_market_is_refused_and_a_bar_it_contradicts_is_played_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quarters, other = (
        synthetic.generate("BTCUSDT", bars=2_600, timeframe=Timeframe.parse("15m"), seed=seed)[0] for seed in (5, 6)
    )
    coarse, fine, strange = (tmp_path / f"BTCUSDT-{name}.parquet" for name in ("1h", "15m", "strange"))
    hours = aggregate(quarters, HOURLY)
    history.write(other, strange)
    history.write(quarters, fine)
    high = hours.high.copy()
    high[300] += 1.0
    history.write(replace(hours, high=high), coarse)
    assert code_of("--model-set", "starter", "--data", coarse, "--detail", strange) == 7
    assert "same market" in capsys.readouterr().err
    inside = answer(capsys, "--model-set", "starter", "--data", coarse, "--detail", fine)["order_inside_bars"]
    assert inside["detailed"] == inside["bars"] - 1


@pytest.mark.parametrize("option", ["--detail", "--funding"])
def test_a_file_that_goes_with_data_is_refused_without(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--model-set", "starter", option, "BTCUSDT-15m.parquet") == 2
    assert "--data" in capsys.readouterr().err


def test_more_cash_than_can_be_told_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--model-set", "starter", "--cash", "1e20") == 2
    assert "at most" in capsys.readouterr().err


def test_prices_finer_than_the_grid_of_an_unlisted_symbol_are_refused_by_either_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A coin at 8 cents on a grid of whole cents would be traded at prices that never were."""
    candles, _ = synthetic.generate("BTCUSDT", bars=400, timeframe=HOURLY, seed=5)
    cents = {name: getattr(candles, name) / candles.close[0] * 0.08 for name in VALUES[:4]}
    file = tmp_path / "DOGEUSDT-1h.parquet"
    history.write(replace(candles, **cents), file)
    assert code_of("--model-set", "starter", "--data", file) == 7
    assert "DOGEUSDT: a price of" in capsys.readouterr().err
    assert code_of("sweep", "--model-set", "starter", "--data", file, "--grid", "entry.long=0.5,0.6") == 7


def test_a_range_before_the_data_says_that_there_is_nothing_to_test(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("--model-set", "starter", "--data", files[0], "--to", "2000-01-01") == 7
    assert "no candles to test on" in capsys.readouterr().err


def test_what_cannot_be_written_is_told_before_the_work_or_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere" / "tried.csv"
    assert code_of("sweep", "--model-set", "starter", "--grid", "entry.long=0.5,0.6", "--csv", nowhere) == 2
    assert "cannot be written" in capsys.readouterr().err
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    assert code_of("--model-set", "starter", "--days", 5, "--report", "/dev/full") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("backtest: ")


def test_time_that_the_set_was_made_from_is_told_and_of_another_market_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The starter set's own market, and one with its dates and its symbol that it never saw."""
    data = ModelSet.load(resolve("starter")).manifest.data
    seed = int(data.source.split()[2])
    for named, chosen in (("own", seed), ("other", seed + 1)):
        signal = float(data.source.split()[4])
        candles, _ = synthetic.generate("BTCUSDT", bars=data.rows, timeframe=HOURLY, seed=chosen, signal=signal)
        history.write(candles[:600], tmp_path / f"BTCUSDT-{named}.parquet")
    asked = ("--model-set", "starter", "--data")
    main([*asked, str(tmp_path / "BTCUSDT-own.parquet"), "--json"])
    told = capsys.readouterr()
    assert "where it knows the answers" in json.loads(told.out)["seen"]
    assert "where it knows the answers" in told.err
    assert answer(capsys, *asked, tmp_path / "BTCUSDT-other.parquet")["seen"] is None
