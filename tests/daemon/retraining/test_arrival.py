"""A set that comes back: taken whole and as it was made, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.retraining.arrival import arrive, arrived, place
from daemon.retraining.backend import BackendError
from market import synthetic
from models.jobs.request import Result
from models.modelset import ModelSet, digest, save
from tests.models.small_sets import HOUR, Market, make_set


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set as a job leaves it, in the job's own store."""
    made = make_set(Market(*synthetic.generate("BTCUSDT", bars=2000, timeframe=HOUR, seed=7)))
    return save(made.manifest, made.files, tmp_path_factory.mktemp("job") / "sets")


def result_of(there: Path, **changed: object) -> Result:
    files = {file.name: digest(file.read_bytes()) for file in there.iterdir()}
    told = {"id": "run-1", "outcome": "done", "set_id": there.name, "files": files}
    return Result.model_validate(
        {**told, "started": "2026-11-24T15:00:00Z", "ended": "2026-11-24T15:10:00Z", **changed}
    )


def brought(there: Path, result: Result, store: Path) -> Path:
    return Path(shutil.copytree(there, place(result, store)))


def test_a_set_that_came_back_whole_is_in_the_store_under_its_id(there: Path, tmp_path: Path) -> None:
    result = result_of(there)
    assert arrived(result, tmp_path) is None
    partial = brought(there, result, tmp_path)
    folder = arrive(partial, result, tmp_path)
    assert folder == tmp_path / there.name == arrived(result, tmp_path)
    assert ModelSet.load(folder).contents == ModelSet.load(there).contents
    assert not partial.exists()
    assert not (tmp_path / "latest").exists()  # nobody has judged it


def test_a_set_that_comes_back_twice_is_one_set(there: Path, tmp_path: Path) -> None:
    result = result_of(there)
    for _ in range(2):
        assert arrive(brought(there, result, tmp_path), result, tmp_path) == tmp_path / there.name
    assert not any((tmp_path / "incoming").iterdir())


def _cut(folder: Path) -> None:
    file = folder / "lstm.onnx"
    file.write_bytes(file.read_bytes()[:-1])


def _turn(folder: Path) -> None:
    file = folder / "regime.txt"
    file.write_bytes(file.read_bytes().replace(b"tree", b"trEe", 1))


def _add(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"x")


def _lose(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [(_cut, "bytes where the manifest says"), (_turn, "SHA-256"), (_add, "extra.pkl"), (_lose, "missing")],
)
def test_a_set_that_was_harmed_on_its_way_is_refused_and_leaves_nothing(
    there: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    result = result_of(there)
    partial = brought(there, result, tmp_path)
    harm(partial)
    with pytest.raises(BackendError, match=words) as caught:
        arrive(partial, result, tmp_path)
    assert caught.value.lasting
    assert arrived(result, tmp_path) is None
    assert not partial.exists()


def test_another_set_than_the_job_made_is_refused(there: Path, tmp_path: Path) -> None:
    files = dict(result_of(there).files)
    others = (
        (result_of(there, set_id="20250101T000000-0123456789ab"), "came back"),
        (result_of(there, files=files | {"regime.txt": "0" * 64}), "regime.txt"),
        (result_of(there, files={k: v for k, v in files.items() if k != "manifest.json"}), "manifest.json"),
        (result_of(there, files=files | {"more.txt": "0" * 64}), "more.txt"),
    )
    for result, words in others:
        with pytest.raises(BackendError, match=words):
            arrive(brought(there, result, tmp_path), result, tmp_path)
    assert not (tmp_path / there.name).exists()


def test_a_job_that_made_no_set_or_names_none_has_no_place_in_the_store(there: Path, tmp_path: Path) -> None:
    for result, words in (
        (result_of(there, outcome="failed", set_id=None, text="the disk is full"), "the disk is full"),
        (result_of(there, set_id="../../escape"), "no id"),
    ):
        with pytest.raises(BackendError, match=words):
            place(result, tmp_path)


def test_a_set_of_this_id_that_is_broken_is_not_taken_for_the_one_that_came_back(there: Path, tmp_path: Path) -> None:
    result = result_of(there)
    _turn(arrive(brought(there, result, tmp_path), result, tmp_path))
    with pytest.raises(BackendError, match="there already, and is broken"):
        arrive(brought(there, result, tmp_path), result, tmp_path)
