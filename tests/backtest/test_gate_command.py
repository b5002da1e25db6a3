"""`python -m backtest --challenger`: what the gate says through the command, and by which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backtest.__main__ import main
from backtest.gate.config import FILE, SCHEMA, GateConfig, read
from configs import ConfigError, schema_is_current
from market import history, synthetic
from models import trials, verdicts
from models.modelset import CHAMPION, point, save
from tests.models.small_sets import HOUR, Made, Market, make_set


@pytest.fixture(scope="session")
def market() -> Market:
    return Market(*synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=7))


@pytest.fixture(scope="session")
def made(market: Market) -> Made:
    return make_set(market)


@pytest.fixture
def root(made: Made, market: Market, tmp_path: Path) -> Path:
    """A folder with a store of one set that recorded nothing, and the files of its market."""
    save(made.manifest, made.files, tmp_path / "models" / "sets")
    history.write(market.candles, tmp_path / "BTCUSDT-1h.parquet")
    history.write(market.funding, tmp_path / "funding.parquet")
    return tmp_path / "models"


def judged(root: Path, *arguments: str) -> int:
    """The exit code of a judgement on the market's files."""
    files = ("--data", str(root.parent / "BTCUSDT-1h.parquet"), "--funding", str(root.parent / "funding.parquet"))
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *files, "--root", str(root)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def set_id(root: Path) -> str:
    return (root / "sets" / "latest").read_text().strip()


def gates_of(text: str) -> dict[str, Any]:
    return {gate["name"]: gate for gate in json.loads(text)["gates"]}


def test_a_set_without_a_record_is_never_promoted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = judged(root, "--challenger", "latest", "--json")
    out = capsys.readouterr()
    gates = gates_of(out.out)
    assert code in (6, 7)
    assert code == json.loads(out.out)["exit_code"]
    assert gates["sufficiency/record/challenger"]["says"] == "not enough evidence"
    assert gates["sufficiency/judge_days"]["says"] == "not enough evidence"
    assert gates["leak/look_ahead"]["says"] == gates["leak/recursion"]["says"] == "pass"
    assert gates["parity/live"]["says"] == "pass"
    assert "no champion: judging against being flat" in out.err


def test_the_verdict_is_kept_with_every_hash_and_the_look_is_counted(root: Path) -> None:
    code = judged(root, "--model-set", "latest", "--gate")
    kept = verdicts.read(set_id(root), root / "sets")
    assert kept is not None
    assert kept.exit_code == code
    assert kept.gate_sha256 == verdicts.gate_sha256()
    hashes = ("data_sha256", "rules_sha256", "gate_sha256")
    assert all(len(str(kept.identity[name])) == 64 for name in hashes)
    looks = trials.read(root / "sets").trials
    assert [(t.what, t.trials, t.set_id) for t in looks] == [("gate", 0, set_id(root))]


def test_a_damaged_set_is_refused_by_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "sets" / set_id(root) / "regime.txt").write_text("tree\n")
    assert judged(root, "--challenger", set_id(root), "--json") == 6
    gates = gates_of(capsys.readouterr().out)
    assert list(gates) == ["integrity/files"]
    assert "regime.txt" in gates["integrity/files"]["why"]


def test_a_champion_is_compared_on_the_same_rows(root: Path, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    first = set_id(root)
    point(CHAMPION, first, root / "sets")
    identity = made.manifest.identity.model_copy(update={"created": "2025-02-01T00:00:00Z"})
    save(made.manifest.model_copy(update={"identity": identity}), made.files, root / "sets")
    judged(root, "--model-set", "champion", "--challenger", "latest", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["challenger"], told["champion"]) == (set_id(root), first)
    assert gates_of(json.dumps(told))["integrity/venue"]["says"] == "pass"


def test_the_table_begins_with_the_verdict_and_fits_eighty_columns(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    judged(root, "--challenger", "latest")
    out = capsys.readouterr().out
    assert out.startswith(("REFUSE", "NOT ENOUGH EVIDENCE"))
    assert "…" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--gate",), 2, "name a set"),
        (("--model-set", "latest", "--challenger", "latest"), 2, "against itself"),
        (("--challenger", "latest", "--from", "2024-02-01"), 7, "--from does not go"),
        (("--challenger", "latest", "--symbol", "ETHUSDT"), 7, "trained on"),
        (("--challenger", "nothing"), 7, "no model set is called"),
    ],
)
def test_what_cannot_be_judged_is_said(
    root: Path, arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(root, *arguments) == code
    assert words in capsys.readouterr().err


def test_a_real_market_s_set_needs_data(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--challenger", "latest", "--root", str(root)])
    assert stop.value.code == 7
    assert "--data" in capsys.readouterr().err


def test_the_committed_thresholds_are_the_defaults_and_their_schema_is_current() -> None:
    assert read().config == GateConfig()
    assert schema_is_current(GateConfig, SCHEMA), "run `python -m backtest schema`"


def test_a_typo_in_the_thresholds_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(FILE.read_text().replace("worst_fold", "worst_folds"))
    with pytest.raises(ConfigError, match="did you mean 'worst_fold'"):
        read(file)
