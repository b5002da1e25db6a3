"""The README keeps its word: its commands run, its files exist, and it stays short."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    for line in block.splitlines()
    if line.strip()
]
PATIENCE = float(os.environ.get("REGIMEN_TEST_PATIENCE", "1"))


def shell(command: str, folder: Path = ROOT, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable} | extra
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=240 * PATIENCE
    )


def test_the_readme_is_short() -> None:
    assert len(README.split()) < 600


def test_every_file_it_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_target_it_names_exists(command: str) -> None:
    assert shell(f"{command} --dry-run").returncode == 0


@pytest.mark.parametrize("command", sorted({" ".join(c.split()[:4]) for c in COMMANDS if c.startswith("python ")}))
def test_every_module_it_names_answers(command: str) -> None:
    words = [w for w in command.split() if not w.startswith("-") or w == "-m"]
    words = [w for w in words if not w.endswith(".parquet")]
    assert shell(" ".join([sys.executable, *words[1:], "--help"])).returncode == 0


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.skipif(not (ROOT / ".venv" / ".serving").exists(), reason="not set up by make: see `make setup`")
def test_make_run_trades_on_the_local_exchange_and_says_each_decision() -> None:
    told = shell('make run ARGS="--candles 30 --speed 36000"')
    assert told.returncode == 0, told.stderr
    lines = [line for line in told.stdout.splitlines() if "→" in line]
    assert len(lines) >= 30
    assert any("open long" in line or "open short" in line for line in lines)
    assert re.search(r"BTCUSDT \d+\.\d+ (low|mid|high) long 0\.\d+ short 0\.\d+ → ", told.stdout)


def test_the_backtest_it_names_runs_on_the_starter_set() -> None:
    told = shell(f"{sys.executable} -m backtest --model-set starter --days 20 --json")
    assert told.returncode == 0, told.stderr
