"""The command: page, plots and tasks in one go, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.training.quality.conftest import ABLATION, Made
from training.quality.command import quality


def run(*arguments: object) -> Result:
    return CliRunner().invoke(quality, [str(each) for each in arguments])


def test_it_writes_page_plots_and_tasks(small: Made, tmp_path: Path) -> None:
    ablation = tmp_path / "ablation.json"
    ablation.write_text(ABLATION, encoding="utf-8")
    out = tmp_path / "results"
    asked = ("--model-set", small.model_set.path, "--data", small.data, "--draws", 60, "--out", out, "--quiet")
    told = json.loads(run(*asked, "--ablation", ablation, "--json").stdout)
    page = (out / "model-quality.md").read_text(encoding="utf-8")
    names = ("ablation", "auc", "calibration", "quarters", "regime")
    files = {f"model-quality-{name}.svg" for name in names}
    assert {file.name for file in out.iterdir()} == files | {"model-quality.md", "tasks.md"}
    assert all(f"]({file})" in page for file in files)
    assert told["model_set"] == small.model_set.id
    assert {aim["verdict"] for aim in told["aims"]} <= {"met", "not met", "inconclusive", "not run", "shown"}
    for part in (small.model_set.id, "--data BTCUSDT-1h.parquet", "--ablation ablation.json", "--draws 60"):
        assert part in page.split("```")[1], "the command that makes it again"
    again = run(*asked)
    assert again.exit_code == 0, again.output
    assert not (out / "model-quality-ablation.svg").exists(), "the page no longer shows it"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"--model-set": "/nowhere/set"}, 7, "/nowhere/set"),
        ({"--data": "nowhere.parquet"}, 7, "nowhere.parquet"),
        ({"--ablation": "nowhere.json"}, 7, "python -m training ablate"),
    ],
)
def test_what_is_missing_is_named(small: Made, tmp_path: Path, change: dict[str, str], code: int, words: str) -> None:
    asked = {"--model-set": small.model_set.path, "--data": small.data, "--out": tmp_path / "out"} | change
    done = run(*(part for pair in asked.items() for part in pair), "--quiet")
    assert done.exit_code == code
    assert words in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_ablation_is_refused(small: Made, tmp_path: Path) -> None:
    file = tmp_path / "ablation.json"
    file.write_text('{"spec": "cpu", "model": "lstm", "question": "5/long", "rows": [{"name": "x"}]}', encoding="utf-8")
    done = run("--model-set", small.model_set.path, "--data", small.data, "--ablation", file, "--quiet")
    assert done.exit_code == 7
    assert "rows.0.what" in done.stderr
