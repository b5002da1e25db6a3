"""Tasks: a row for each id and each number of the list, filled from the figures between two markers."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.quality import tasks
from training.quality.figures import Figures
from training.quality.tasks import BEGIN, END, ROOT, TasksError

IDS = (
    "Fix-4.2", "New-1", "New-1-v2", "Fix-4.3", "Fix-2", "Arch-1",
    "New-3", "New-2", "Arch-3", "New-4", "Fix-4.1", "Fix-3",
)  # fmt: skip
NUMBERS = (
    "LightGBM holdout .58", "LSTM .56", "multi-horizon .60", "Transformer .60", "distilled .57", "15m .52–.54",
    "regime 60 %", "Sharpe +20 %", "stacking gap .02", "TFT range", "TFT weight",
)  # fmt: skip


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> all cells, of every table."""
    lines = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in lines}


def test_every_id_and_number_has_a_row_with_a_result_or_says_that_it_was_not_run(of_zoo: Figures) -> None:
    found = rows(tasks.written(of_zoo))
    for key in IDS:
        assert found[f"**{key}**"][5] == "*not run*", "the column of full.yaml"
        assert found[f"**{key}**"][4] not in ("", "–")
    for number in NUMBERS:
        assert found[number][1] not in ("", "–"), number
        assert found[number][3] == "*not run*"


def test_what_the_set_lacks_was_not_run_and_says_why(of_small: Figures) -> None:
    found = rows(tasks.written(of_small))
    assert found["**Fix-2**"][4:] == ["*not run*", "*not run*", "the set has no TFT"]
    assert found["Transformer .60"][1:] == ["–", "*not run*", "*not run*", "the set has no Transformer"]
    assert "+.010 [+.002, +.018]" in found["**New-4**"][4]
    assert "not told from no gain" in found["**Fix-4.1**"][6]


def test_every_test_it_names_is_there(of_small: Figures) -> None:
    for cells in rows(tasks.written(of_small)).values():
        for name in cells[3].split(", ") if len(cells) == 7 else ():
            if name.startswith("`tests/"):
                assert (ROOT / name.strip("`")).exists()


def test_what_stands_outside_the_markers_is_kept(of_small: Figures, tmp_path: Path) -> None:
    page = tmp_path / "tasks.md"
    page.write_text(f"# Tasks\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nmore by hand\n", encoding="utf-8")
    filled = tasks.filled(page, of_small)
    assert filled.startswith(f"# Tasks\n\nby hand\n\n{BEGIN}\n")
    assert filled.endswith(f"{END}\n\nmore by hand\n")
    assert "old" not in filled.splitlines()
    page.write_text(filled, encoding="utf-8")
    assert tasks.filled(page, of_small) == filled


@pytest.mark.parametrize("text", ["# Tasks\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_page_without_its_markers_is_refused(of_small: Figures, tmp_path: Path, text: str) -> None:
    page = tmp_path / "tasks.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(TasksError, match="put them back"):
        tasks.filled(page, of_small)


def test_the_committed_page_has_every_row() -> None:
    found = rows((ROOT / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert {f"**{key}**" for key in IDS} | set(NUMBERS) <= set(found)
