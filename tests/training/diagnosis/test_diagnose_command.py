"""`python -m training diagnose`: the verdict on stdout, its exit code, and the promise of --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from market import history
from tests.training.diagnosis import faults
from tests.training.diagnosis.conftest import Whole
from training.__main__ import main
from training.diagnosis import CHECKS

ROOT = Path(__file__).resolve().parents[3]


def diagnose(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["diagnose", *arguments])


def test_a_healthy_set_exits_with_0_and_says_so_last(whole: Whole) -> None:
    done = diagnose("--model-set", str(whole.model_set.path), "--model", "lstm")
    lines = done.stdout.rstrip().splitlines()
    assert (done.exit_code, lines[-1].startswith("lstm is healthy")) == (0, True), done.output
    said = [line for line in lines if line[:10].strip() in ("ok", "suspect", "broken", "not known")]
    assert [line[10:].split("  ")[0].strip() for line in said] == list(CHECKS)


def test_a_broken_one_exits_with_1_and_the_verdict_is_on_stdout(whole: Whole, tmp_path: Path) -> None:
    broken = faults.rows_depend_on_their_batch(whole, tmp_path)
    done = diagnose("--model-set", str(broken.path), "--model", "lstm")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("lstm is broken, first at batch: ")


def test_json_keeps_its_promise(whole: Whole, tmp_path: Path) -> None:
    broken = faults.scaler_skipped(whole, tmp_path)
    done = diagnose("--model-set", str(broken.path), "--model", "lstm", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert list(told) == ["model_set", "model", "healthy", "broken", "verdict", "data", "checks"]
    assert (told["model_set"], told["model"], told["healthy"]) == (broken.id, "lstm", False)
    assert told["broken"] == "scaling"
    assert [check["check"] for check in told["checks"]] == list(CHECKS)
    for check in told["checks"]:
        assert list(check) == ["check", "status", "finding", "remedy", "figures"]
        assert check["status"] in ("ok", "suspect", "broken", "not known")
    scaling = next(check for check in told["checks"] if check["check"] == "scaling")
    assert scaling["figures"]["logit_sd_served"] < 0.6 * scaling["figures"]["logit_sd_as_made"]


def test_data_of_ones_own_is_what_it_is_asked_about(whole: Whole, tmp_path: Path) -> None:
    candles, funding = tmp_path / "BTCUSDT-1h.parquet", tmp_path / "funding.parquet"
    history.write(whole.bars.candles, candles)
    assert whole.bars.funding is not None
    history.write(whole.bars.funding, funding)
    asked = ("--model-set", str(whole.model_set.path), "--model", "lstm", "--json")
    told = json.loads(diagnose(*asked, "--data", str(candles), "--funding", str(funding)).stdout)
    assert (told["healthy"], told["data"]) == (True, "BTCUSDT-1h.parquet, 1024 rows")
    scaling = told["checks"][list(CHECKS).index("scaling")]["figures"]
    assert set(scaling["columns"]) == set(whole.manifest.features.names)
    assert 0.7 < scaling["middle_sd"] < 1.3


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--model-set", "20200101T000000-000000000000", "--model", "lstm"), "no model set is called", 7),
        (("--model", "tft"), "no model called 'tft'", 7),
        (("--model", "lstm", "--data", "nowhere/BTCUSDT.parquet"), "nowhere/BTCUSDT.parquet", 7),
        (("--model", "lstm", "--funding", "nowhere.parquet"), "--funding and --companion go with --data", 2),
    ],
)
def test_what_is_missing_is_said(whole: Whole, arguments: tuple[str, ...], words: str, code: int) -> None:
    named = () if "--model-set" in arguments else ("--model-set", str(whole.model_set.path))
    done = diagnose(*named, *arguments)
    assert (done.exit_code, words in done.stderr) == (code, True), done.output


def test_it_needs_no_torch(whole: Whole) -> None:
    asked = ["diagnose", "--model-set", str(whole.model_set.path), "--model", "lstm"]
    code = f"import sys; from training.__main__ import main; main({asked!r}, standalone_mode=False); " \
           f"sys.exit(9 if 'torch' in sys.modules else 0)"  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
