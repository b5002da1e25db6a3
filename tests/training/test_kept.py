"""Kept results: what was trained once is there for the next run, whole or not at all."""

from __future__ import annotations

import logging
import multiprocessing
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.kept import Kept, key

CONTENT = {
    "logits": np.array([[0.25, np.nan], [-1.5, 3.0]], dtype=np.float32),
    "rows": np.arange(3),
    "names": np.array(["a", "bc"]),
    "onnx": b"\x08\x01\x00network",
    "facts": {"epochs": 3, "auc": None, "loss": [0.7, 0.6]},
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(one == other)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def the_file(folder: Path) -> Path:
    (file,) = folder.glob("*.npz")
    return file


def test_what_was_kept_comes_back(kept: Kept) -> None:
    kept.put(key({"fold": 1}), CONTENT)
    found = kept.get(key({"fold": 1}))
    assert found is not None
    assert set(found) == set(CONTENT)
    assert all(same(found[name], value) for name, value in CONTENT.items())
    assert kept.get(key({"fold": 2})) is None


def test_numpy_opens_a_kept_file_without_pickle(kept: Kept, tmp_path: Path) -> None:
    kept.put(key({"fold": 1}), CONTENT)
    with np.load(the_file(tmp_path), allow_pickle=False) as opened:
        assert same(opened["logits"], CONTENT["logits"])


def test_the_same_content_is_the_same_file_whenever_it_is_kept(kept: Kept, tmp_path: Path) -> None:
    kept.put(key({"fold": 1}), CONTENT)
    first = the_file(tmp_path)
    kept.put(key({"fold": 1}), CONTENT)
    assert the_file(tmp_path) == first


def test_the_newest_content_replaces_what_was_there(kept: Kept, tmp_path: Path) -> None:
    kept.put(key({"fold": 1}), {"auc": 0.5})
    kept.put(key({"fold": 1}), {"auc": 0.6})
    assert kept.get(key({"fold": 1})) == {"auc": 0.6}
    the_file(tmp_path)


def test_a_key_tells_all_that_differs_apart() -> None:
    array = np.arange(6, dtype=np.float64)
    parts = [
        {"a": 1},
        {"b": 1},
        {"a": 1.0},
        {"a": "1"},
        {"a": True},
        {"a": None},
        {"a": b"1"},
        {"a": array},
        {"a": array.astype(np.float32)},
        {"a": array.reshape(2, 3)},
        {"a": array[::-1]},
        {"a": {"seed": 1}},
        {"a": [1]},
    ]
    assert len({key(each) for each in parts}) == len(parts)
    assert key({"a": 1, "b": array}) == key({"b": array.copy(), "a": 1})


@pytest.mark.parametrize("odd", [{1: "fold"}, {"a": {1: 2}}, object(), np.array([object()]), {"a": {1, 2}}])
def test_what_has_no_lasting_bytes_is_refused(kept: Kept, odd: Any) -> None:
    with pytest.raises(TypeError):
        key({"odd": odd})
    with pytest.raises(TypeError):
        kept.put(key({"fold": 1}), {"odd": odd})
    assert kept.get(key({"fold": 1})) is None


@pytest.mark.parametrize("damage", ["a byte", "cut", "empty", "another's"])
def test_a_damaged_file_counts_as_missing_and_the_log_says_so(
    kept: Kept, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept.put(key({"fold": 1}), CONTENT)
    file = the_file(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "a byte":
        content[len(content) // 2] ^= 1
    elif damage == "cut":
        del content[-40:]
    elif damage == "empty":
        content.clear()
    else:
        with zipfile.ZipFile(file, "w") as other:
            other.writestr("content.json", '{"auc": 0.99}')
        content = bytearray(file.read_bytes())
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert kept.get(key({"fold": 1})) is None
    assert "damaged" in caplog.text
    assert str(file) in caplog.text
    kept.put(key({"fold": 1}), CONTENT)
    assert kept.get(key({"fold": 1})) is not None


def test_what_was_not_asked_for_the_longest_makes_room(tmp_path: Path) -> None:
    kept = Kept(tmp_path, limit=3_500)
    keys = [key({"fold": n}) for n in range(4)]
    for n, each in enumerate(keys[:3]):
        kept.put(each, {"noise": np.zeros(100)})
        (file,) = tmp_path.glob(f"{each}.*")
        os.utime(file, (n + 1, n + 1))
    assert kept.get(keys[0]) is not None  # asked for again: the second is the oldest now
    kept.put(keys[3], {"noise": np.zeros(100)})
    assert [kept.get(each) is not None for each in keys] == [True, False, True, True]


def test_what_is_larger_than_the_limit_is_kept_alone(tmp_path: Path) -> None:
    kept = Kept(tmp_path, limit=10)
    kept.put(key({"fold": 1}), CONTENT)
    kept.put(key({"fold": 2}), CONTENT)
    assert kept.get(key({"fold": 1})) is None
    assert kept.get(key({"fold": 2})) is not None


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    old, young = tmp_path / "1.partial", tmp_path / "2.partial"
    for partial in (old, young):
        partial.write_bytes(b"half")
    os.utime(old, (1, 1))
    Kept(tmp_path).put(key({"fold": 1}), CONTENT)
    assert not old.exists()
    assert young.exists()


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path))
    assert Kept().folder == tmp_path / "training"


def test_where_nothing_can_be_kept_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "file"))
    kept = Kept()
    kept.put(key({"fold": 1}), CONTENT)
    assert kept.get(key({"fold": 1})) is None


def test_a_key_of_another_making_is_refused(kept: Kept) -> None:
    with pytest.raises(ValueError, match="no key"):
        kept.get("../../etc/passwd")


def _keep_and_ask(folder: Path, name: int) -> None:
    kept = Kept(folder, limit=20_000)
    for n in range(60):
        each = key({"fold": n % 6})
        kept.put(each, {"noise": np.full(200, n % 6), "by": name})
        found = kept.get(each)
        assert found is None or np.all(found["noise"] == n % 6)


def test_runs_beside_each_other_share_a_folder(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    runs = [spawn.Process(target=_keep_and_ask, args=(tmp_path, name)) for name in range(2)]
    for each in runs:
        each.start()
    _keep_and_ask(tmp_path, 2)
    for each in runs:
        each.join(60)
    assert [each.exitcode for each in runs] == [0, 0]
    assert not list(tmp_path.glob("*.partial"))
