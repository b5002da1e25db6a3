"""The house has floors: imports run downward only, and torch stays where training is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "configs": set(),
    "market": {"configs"},
    "models": {"configs", "market"},
    "strategy": {"configs", "market"},
    "training": {"configs", "market", "models", "strategy"},
    "backtest": {"configs", "market", "models", "strategy"},
    "daemon": {"configs", "market", "models", "strategy"},
}


def imported(file: Path) -> Iterator[str]:
    """Every module a file names in an import, wherever in the file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_imports_run_downward_only(floor: str) -> None:
    allowed = MAY_IMPORT[floor] | {floor}
    for file in (ROOT / floor).rglob("*.py"):
        upward = {m for m in imported(file) if m.partition(".")[0] in set(MAY_IMPORT) - allowed}
        assert not upward, f"{file.relative_to(ROOT)} imports {sorted(upward)}"


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_torch_is_imported_under_training_and_networks_alone(floor: str) -> None:
    for file in (ROOT / floor).rglob("*.py"):
        place = file.relative_to(ROOT).as_posix()
        if not place.startswith(("training/", "models/networks/")):
            assert not any(m.partition(".")[0] == "torch" for m in imported(file)), place


def test_nothing_is_pickled() -> None:
    for floor in MAY_IMPORT:
        for file in (ROOT / floor).rglob("*.py"):
            found = {m for m in imported(file) if m.partition(".")[0] in ("pickle", "joblib", "dill", "cloudpickle")}
            assert not found, file


def test_numba_stays_out_of_the_daemon() -> None:
    """Its unit forbids writable-executable memory; a compiler needs it."""
    code = "import sys, daemon.runner, daemon.doctor; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0
