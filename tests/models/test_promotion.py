"""Promotion: a passing verdict for these exact hashes, or an audited force; nothing else moves the champion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models import verdicts
from models.manifest import utc
from models.modelset import CHAMPION, LATEST, ROOT, ModelSet, point, pointed, resolve, save
from models.promotion import LOG, PromotionRefused, history, promote
from models.verdicts import StoredVerdict, gate_sha256
from tests.models.small_sets import Made

HERE = Path(__file__).resolve().parents[2]
NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000


@pytest.fixture
def candidate(stored_set: Path) -> ModelSet:
    return ModelSet.load(stored_set)


@pytest.fixture
def store(candidate: ModelSet) -> Path:
    return candidate.path.parent


def verdict(candidate: ModelSet, store: Path, **changed: Any) -> StoredVerdict:
    """A passing verdict kept in the store, with parts replaced."""
    made = StoredVerdict.model_validate(
        {
            "made": utc(NOW_MS - DAY_MS), "challenger": candidate.id, "champion": None, "verdict": "promote",
            "exit_code": 0, "gate_sha256": gate_sha256(), "max_age_days": 7, "identity": {},
            "gates": [{"name": "skill/auc/long", "question": "?", "says": "pass", "threshold": "above .5"}],
        } | changed
    )  # fmt: skip
    verdicts.write(made, store)
    return made


def refused(candidate: ModelSet, store: Path) -> str:
    """What a refused promotion says; the champion has not moved, and nothing is in the log."""
    before = pointed(CHAMPION, store), history(store)
    with pytest.raises(PromotionRefused) as refusal:
        promote(candidate, store, now_ms=NOW_MS)
    assert (pointed(CHAMPION, store), history(store)) == before
    return str(refusal.value)


def test_a_passing_verdict_makes_the_champion_and_is_written_down(candidate: ModelSet, store: Path) -> None:
    kept = verdict(candidate, store)
    made = promote(candidate, store, reason="first", now_ms=NOW_MS)
    assert pointed(CHAMPION, store) == candidate.id
    assert (made.by, made.verdict, made.previous, made.reason) == ("verdict", kept.made, None, "first")
    assert history(store).promotions == (made,)
    assert resolve(CHAMPION, store.parent) == candidate.path


def test_without_a_verdict_it_names_the_command_that_gives_one(candidate: ModelSet, store: Path) -> None:
    assert f"python -m backtest --challenger {candidate.id}" in refused(candidate, store)


def test_a_refusing_verdict_names_the_gates_that_failed(candidate: ModelSet, store: Path) -> None:
    failed = {"name": "leak/auc/5", "question": "?", "says": "fail", "threshold": "at most .6"}
    verdict(candidate, store, verdict="refuse", exit_code=6, gates=[failed])
    assert "leak/auc/5" in refused(candidate, store)


def test_not_enough_evidence_promotes_nothing(candidate: ModelSet, store: Path) -> None:
    short = {"name": "sufficiency/rows", "question": "?", "says": "not enough evidence", "threshold": "4,000"}
    verdict(candidate, store, verdict="not enough evidence", exit_code=7, gates=[short])
    assert "sufficiency/rows" in refused(candidate, store)


def test_a_verdict_against_another_champion_does_not_count(candidate: ModelSet, store: Path, made: Made) -> None:
    verdict(candidate, store)
    identity = made.manifest.identity.model_copy(update={"created": "2025-02-01T00:00:00Z"})
    other = save(made.manifest.model_copy(update={"identity": identity}), made.files, store)
    point(CHAMPION, other.name, store)
    told = refused(candidate, store)
    assert "against being flat" in told
    assert f"--model-set champion --challenger {candidate.id}" in told
    verdict(candidate, store, champion=other.name)
    assert promote(candidate, store, now_ms=NOW_MS).previous == other.name


def test_a_verdict_by_other_thresholds_does_not_count(candidate: ModelSet, store: Path) -> None:
    verdict(candidate, store, gate_sha256="0" * 64)
    assert "gate.yaml has changed" in refused(candidate, store)


def test_an_old_verdict_does_not_count(candidate: ModelSet, store: Path) -> None:
    verdict(candidate, store, made=utc(NOW_MS - 8 * DAY_MS))
    assert "8 days old" in refused(candidate, store)


def test_a_verdict_on_another_set_in_its_file_does_not_count(candidate: ModelSet, store: Path) -> None:
    kept = verdict(candidate, store)
    file = verdicts.file_of(candidate.id, store)
    file.write_text(file.read_text().replace(f'"challenger": "{kept.challenger}"', '"challenger": "another"', 1))
    assert "verdict on another" in refused(candidate, store)


def test_a_damaged_verdict_does_not_count(candidate: ModelSet, store: Path) -> None:
    verdict(candidate, store)
    verdicts.file_of(candidate.id, store).write_text("{")
    assert "no verdict" in refused(candidate, store)


def test_an_expired_set_is_not_promoted(candidate: ModelSet, store: Path) -> None:
    verdict(candidate, store, made=utc(NOW_MS + 10 * 365 * DAY_MS))
    with pytest.raises(PromotionRefused, match="expired"):
        promote(candidate, store, now_ms=NOW_MS + 10 * 365 * DAY_MS)


def test_force_promotes_and_the_log_says_who_and_why_and_what_was_missing(candidate: ModelSet, store: Path) -> None:
    made = promote(candidate, store, reason="rehearsal", forced=True, now_ms=NOW_MS)
    assert pointed(CHAMPION, store) == candidate.id
    line = json.loads((store / LOG).read_text())
    assert (line["by"], line["reason"], line["verdict"]) == ("force", "rehearsal", None)
    assert "there is no verdict" in line["missing"]
    assert "@" in made.who


def test_a_torn_line_hides_no_other(candidate: ModelSet, store: Path) -> None:
    promote(candidate, store, reason="one", forced=True, now_ms=NOW_MS)
    with (store / LOG).open("ab") as log:
        log.write(b'{"time": "2026')
    promote(candidate, store, reason="two", forced=True, now_ms=NOW_MS)
    log_now = history(store)
    assert [p.reason for p in log_now.promotions] == ["one", "two"]
    assert log_now.unreadable == (2,)


def test_the_starter_set_cannot_become_champion_even_by_force(tmp_path: Path) -> None:
    starter = ModelSet.load(resolve("starter"))
    with pytest.raises(PromotionRefused, match="starter set"):
        promote(starter, tmp_path / "sets", reason="please", forced=True)
    assert (ROOT / "starter" / LATEST).exists()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "models", *arguments]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_refuses_by_6_forces_with_a_reason_and_lists(candidate: ModelSet, store: Path) -> None:
    root = ("--root", str(store.parent))
    done = run("promote", candidate.id, *root)
    assert done.returncode == 6
    assert "python -m backtest --challenger" in done.stderr
    assert run("promote", candidate.id, "--force", *root).returncode == 2
    forced = run("promote", candidate.id, "--force", "--reason", "try", "--json", *root)
    assert forced.returncode == 0, forced.stderr
    assert json.loads(forced.stdout)["by"] == "force"
    listed = json.loads(run("promotions", "--json", *root).stdout)["promotions"]
    assert [p["reason"] for p in listed] == ["try"]
