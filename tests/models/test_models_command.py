"""`python -m models` as people and programs use it: its output and its exit code."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from models import __main__ as command
from models.modelset import point, save
from tests.models.small_sets import Made

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    returncode: int
    stdout: str
    stderr: str


def models(*arguments: str) -> Done:
    """The command in this process: each start of an interpreter would cost seconds."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "argv", ["models", *arguments]):
        try:
            command.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def test_the_command_runs_as_a_process(root: Path) -> None:
    arguments = [sys.executable, "-m", "models", "verify", "starter", "--root", str(root), "--json"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["ok"]
    (next((root / "starter").glob("2025*")) / "regime.txt").unlink()
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, json.loads(done.stdout)[0]["ok"]) == (7, False)


@pytest.fixture
def root(made: Made, remake: Callable[..., Made], tmp_path: Path) -> Path:
    """A folder with a built-in set and a trained one that is champion."""
    save(made.manifest, made.files, tmp_path / "starter")
    trained = save(remake(expires="2031-01-01T00:00:00Z").manifest, made.files, tmp_path / "sets")
    point("champion", trained.name, tmp_path / "sets")
    return tmp_path


def test_list_names_every_set_and_its_pointers(root: Path) -> None:
    done = models("list", "--root", str(root))
    assert done.returncode == 0
    assert done.stderr == ""
    told = json.loads(models("list", "--root", str(root), "--json").stdout)
    assert [e["names"] for e in told["sets"]] == [["latest", "champion"], ["starter"]]
    for e in told["sets"]:
        assert e["id"] in done.stdout
        assert e["fault"] is None
    assert told["faults"] == []


def test_list_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    done = models("list", "--root", str(tmp_path))
    assert done.returncode == 0
    assert "make train" in done.stdout


def test_show_tells_what_a_set_says_of_itself(root: Path) -> None:
    done = models("show", "latest", "--root", str(root))
    assert done.returncode == 0
    for words in ("synthetic market, seed 7", "93, 751 candles", "5 bars 0.25, 12 bars 0.75", "lgbm_12_short", "2031"):
        assert words in done.stdout
    told = json.loads(models("show", "champion", "--root", str(root), "--json").stdout)
    assert told["decision"]["max_hold_bars"] == 11


def test_verify_opens_every_set_and_asks_its_golden_inputs(root: Path) -> None:
    done = models("verify", "--root", str(root))
    assert done.returncode == 0
    assert done.stdout.count("ok, 16 golden answers") == 2
    told = json.loads(models("verify", "starter", "--root", str(root), "--json").stdout)
    assert told[0]["ok"]
    assert told[0]["providers"]["lstm"] in ("cpu", "cuda")


def test_a_set_can_be_named_by_its_path(root: Path) -> None:
    path = next((root / "starter").glob("2025*"))
    assert models("verify", str(path)).returncode == 0


def test_a_damaged_set_is_told_with_its_remedy_and_exit_code_7(root: Path) -> None:
    path = next((root / "sets").glob("2025*"))
    (path / "lstm.onnx").write_bytes(b"x")
    for words in (("list",), ("verify",), ("verify", "latest"), ("show", "champion")):
        done = models(*words, "--root", str(root))
        assert done.returncode == 7, words
        assert f"{path / 'lstm.onnx'}: 1 bytes where the manifest says" in done.stderr
        assert "copy the set again" in done.stderr
        assert "Traceback" not in done.stderr
    told = json.loads(models("verify", "--root", str(root), "--json").stdout)
    assert [t["ok"] for t in told] == [False, True]
    assert json.loads(models("list", "--root", str(root), "--json").stdout)["sets"][0]["fault"]


def test_a_pointer_to_nothing_is_told(root: Path) -> None:
    shutil.rmtree(next((root / "sets").glob("2025*")))
    done = models("list", "--root", str(root))
    assert done.returncode == 7
    assert "not there" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nope"), 7, "no model set is called 'nope'"),
        (("show", "champion"), 7, "no champion set"),
        (("verify",), 7, "there are no model sets"),
        (("show", "./nowhere"), 7, "no model set is here"),
        (("shwo",), 2, "No such command"),
        (("verify", "--provider", "tpu"), 2, "tpu"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    place = () if arguments == ("shwo",) else ("--root", str(tmp_path))
    done = models(*arguments, *place)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_committed_schema_passes_its_check() -> None:
    assert models("schema", "--check").returncode == 0


def test_neither_command_nor_inference_needs_torch() -> None:
    code = "import sys, models.__main__, models.inference, models.members; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False).returncode == 0
