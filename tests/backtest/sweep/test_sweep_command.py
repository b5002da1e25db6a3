"""`python -m backtest sweep` with the starter set: what it prints, writes and counts, and how it fails."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backtest.__main__ import main
from market import history, synthetic
from market.timeframes import Timeframe
from models import modelset, trials

ROOT = Path(__file__).resolve().parents[3]
GRID = ("--grid", "entry.{long,short}=0.50,0.55,0.60", "--grid", "regimes.{low,mid,high}.leverage=10/5/2,5")


@pytest.fixture(scope="session")
def klines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of hourly klines and one of funding, long enough to halve in many ways."""
    folder = tmp_path_factory.mktemp("history")
    files = folder / "BTCUSDT-1h.parquet", folder / "funding.parquet"
    for series, file in zip(
        synthetic.generate("BTCUSDT", bars=2_600, timeframe=Timeframe.parse("1h"), seed=77), files, strict=True
    ):
        history.write(series, file)
    return files


def arguments(klines: tuple[Path, Path], *more: str | Path) -> list[str]:
    data = ("--data", str(klines[0]), "--funding", str(klines[1]))
    return ["sweep", "--model-set", "starter", *data, *GRID, *map(str, more)]


def answer(capsys: pytest.CaptureFixture[str], asked: list[str]) -> dict[str, Any]:
    main([*asked, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict)
    return said


def code_of(asked: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(asked)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_json_holds_every_variant_and_what_the_choice_is_worth(
    klines: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    said = answer(capsys, arguments(klines))
    assert len(said["variants"]) == 6
    assert said["variants"][0]["parameters"] == {
        "entry.{long,short}": 0.5,
        "regimes.{low,mid,high}.leverage": [10, 5, 2],
    }
    ratios = [v["sharpe"] for v in said["variants"]]
    assert said["variants"][said["best"]]["sharpe"] == max(ratios)
    assert 0 <= said["pbo"]["probability"] <= 1
    assert said["pbo"]["combinations"] == 12_870
    # the demo rules enter at .5 with 10/5/2: they are the first variant, and no trial of their own
    assert {k: v for k, v in said["variants"][0].items() if k != "parameters"} == said["base"]
    assert said["trials"] == {"this_sweep": 6, "earlier": 0}
    assert said["deflated_sharpe"]["trials"] == 6


def test_a_variant_does_what_the_judge_says_of_its_rules(
    klines: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    swept = answer(capsys, arguments(klines))["variants"][3]
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "entry: {long: 0.55, short: 0.55, edge: 0.02}\nexit: {long: 0.44, short: 0.44}\n"
        "regimes: {low: {leverage: 5, stop: 0.02}, mid: {leverage: 5, stop: 0.03}, high: {leverage: 5, stop: 0.05}}\n"
    )
    data = ["--data", str(klines[0]), "--funding", str(klines[1])]
    judged = answer(capsys, ["judge", "--model-set", "starter", "--rules", str(rules), *data])
    assert swept["parameters"] == {"entry.{long,short}": 0.55, "regimes.{low,mid,high}.leverage": 5}
    assert swept["trades"] == judged["all"]["trades"] > 0
    assert (swept["stops"], swept["liquidations"]) == (judged["all"]["stopped"], judged["all"]["liquidated"])
    assert (swept["fees"], swept["funding"]) == (judged["fees"], judged["funding"])
    assert swept["return"] == judged["total_return"]
    assert swept["max_drawdown"] == pytest.approx(judged["max_drawdown"], abs=1e-12)
    assert swept["sharpe"] == pytest.approx(judged["sharpe_365d"], abs=1e-9)


def test_the_table_shows_the_best_and_the_rules_own_row(
    klines: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(klines, "--top", "3"))
    out = capsys.readouterr().out
    for words in ("6 variants", "Best by Sharpe ratio", "the rules of", "DEMO", "overfitting", "deflated Sharpe"):
        assert words in out
    assert "regimes.leverage" in out


def test_the_csv_file_has_a_row_for_every_variant(
    klines: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "tried.csv"
    said = answer(capsys, arguments(klines, "--csv", file))
    rows = list(csv.DictReader(file.open()))
    assert len(rows) == 6
    assert rows[0]["regimes.{low,mid,high}.leverage"] == "10/5/2"
    assert [float(r["return"]) for r in rows] == [v["return"] for v in said["variants"]]


def test_a_sweep_is_counted_once_whatever_executor_it_runs_on(
    klines: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starter = modelset.resolve("starter")
    copied = tmp_path / "sets" / starter.name
    shutil.copytree(starter, copied)
    monkeypatch.setattr(modelset, "resolve", lambda name: copied)
    asked = [*arguments(klines), "--rules", str(ROOT / "configs" / "demo_config.yaml")]
    first = answer(capsys, asked)
    again = answer(capsys, [*asked, "--executor", "serial"])
    assert first["trials"] == again["trials"] == {"this_sweep": 6, "earlier": 0}
    assert first["variants"] == again["variants"]
    other = answer(capsys, [*asked, "--taker-fee", "0.0004"])
    assert other["trials"] == {"this_sweep": 6, "earlier": 6}
    assert other["deflated_sharpe"]["trials"] == 12
    ledger = trials.read(copied.parent)
    assert [(t.what, t.trials, t.symbols) for t in ledger.trials] == [("sweep", 6, ("BTCUSDT",))] * 2
    assert ledger.trials[0].test_start == first["from"][:19] + "Z"


def test_days_the_set_was_made_from_are_said_to_prove_nothing_and_another_market_has_none(
    klines: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The starter set's own market is made again by what its manifest says of it."""
    made = modelset.ModelSet.load(modelset.resolve("starter")).manifest.data
    _, _, seed, _, signal = made.source.split()
    hourly = Timeframe.parse("1h")
    own, _ = synthetic.generate("BTCUSDT", bars=made.rows, timeframe=hourly, seed=int(seed), signal=float(signal))
    file = tmp_path / "BTCUSDT-1h.parquet"
    history.write(own[:2_600], file)
    said = answer(capsys, arguments((file, klines[1])))
    assert any("made from 100% of the time tested" in warning for warning in said["warnings"])
    assert not any("made from" in warning for warning in answer(capsys, arguments(klines))["warnings"])


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--grid", "entry.lnog=1"), 4, "did you mean"),
        (("--grid", "no.yaml"), 4, "no such file"),
        (("--rules", "no.yaml"), 4, "no such file"),
        (("--executor", "elsewhere"), 2, "--executor"),
        (("--ray-address", "127.0.0.1:9"), 2, "--executor ray"),
        (("--executor", "ray", "--ray-address", "127.0.0.1:9"), 1, "no Ray cluster answers"),
    ],
)
def test_a_mistake_is_named_and_has_its_exit_code(
    klines: tuple[Path, Path], capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: int, said: str
) -> None:
    if "ray" in more:
        pytest.importorskip("ray", reason="Ray is not installed (extra: cluster)")
    assert code_of(arguments(klines, *more)) == code
    assert said in capsys.readouterr().err


def test_ray_is_not_loaded_unless_asked_for() -> None:
    code = "import sys, backtest.__main__; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
