"""Model sets on disk: whatever is not to the last byte what was made is refused, with what, where and the remedy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import modelset
from models.manifest import Manifest, canonical, derive_id, identify
from models.modelset import ModelSet, ModelSetError, digest, point, resolve, save
from tests.models.small_sets import Made

Change = Callable[[dict[str, Any]], None]


def refused(path: Path, words: str) -> ModelSetError:
    """The error with which the set at `path` is refused; it says what, where and the remedy."""
    with pytest.raises(ModelSetError, match=words) as caught:
        ModelSet.load(path)
    error = caught.value
    assert error.what
    assert error.remedy
    assert str(path.parent) in str(error.where)
    assert str(error) == f"{error.where}: {error.what}; {error.remedy}"
    return error


def rewritten(path: Path, change: Change, *, rename: bool = True, new_id: bool = True) -> Path:
    """The set with its manifest changed and hashed again, as a careful forger would; the folder renamed with it."""
    data = json.loads((path / "manifest.json").read_bytes())
    change(data)
    if new_id:
        data["id"] = derive_id(data)
    (path / "manifest.json").write_bytes(canonical(data))
    return path.rename(path.parent / data["id"]) if rename and new_id else path


def test_a_set_is_what_was_saved_and_its_name_carries_its_hash(stored_set: Path, made: Made) -> None:
    found = ModelSet.load(stored_set)
    assert found.manifest == identify(made.manifest)
    assert dict(found.contents) == made.files
    assert stored_set.name == found.id == derive_id(found.manifest.model_dump(mode="json"))
    assert found.id.startswith("20250101T000000-")
    assert found.bytes == sum(map(len, made.files.values()))


def test_the_same_content_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    one, two = (save(made.manifest, made.files, tmp_path / store) for store in "ab")
    assert one.name == two.name
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
    assert (tmp_path / "a" / "latest").read_text().strip() == one.name


def test_a_corrupt_file_is_refused(stored_set: Path) -> None:
    file = stored_set / "lstm.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert refused(stored_set, "SHA-256").where == file


def test_a_short_file_is_refused(stored_set: Path) -> None:
    file = stored_set / "regime.txt"
    file.write_bytes(file.read_bytes()[:-100])
    assert "bytes where the manifest says" in refused(stored_set, "bytes").what


def test_a_long_file_is_refused_without_being_read_whole(stored_set: Path) -> None:
    file = stored_set / "regime.txt"
    size = file.stat().st_size
    with file.open("ab") as opened:
        opened.truncate(size + 2**40)  # sparse: a terabyte that is not there
    refused(stored_set, "bytes where the manifest says")


def test_a_missing_file_is_refused(stored_set: Path) -> None:
    (stored_set / "lstm.onnx").unlink()
    assert refused(stored_set, "missing").where == stored_set / "lstm.onnx"


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "model.pkl", "weights.PT"])
def test_an_extra_file_is_refused(stored_set: Path, name: str) -> None:
    (stored_set / name).write_bytes(b"x")
    error = refused(stored_set, "not in the manifest")
    assert ("may run code" in error.what) == name.lower().endswith((".pkl", ".pt"))


def test_an_extra_folder_is_refused(stored_set: Path) -> None:
    (stored_set / "more").mkdir()
    refused(stored_set, "not in the manifest")


def test_a_link_in_place_of_a_file_is_refused(stored_set: Path, tmp_path: Path) -> None:
    file = stored_set / "lstm.onnx"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    refused(stored_set, "a link")


def test_a_pipe_in_place_of_a_file_does_not_hang_the_load(stored_set: Path) -> None:
    (stored_set / "lstm.onnx").unlink()
    os.mkfifo(stored_set / "lstm.onnx")
    refused(stored_set, "not a regular file")


def test_a_folder_in_place_of_a_file_is_refused(stored_set: Path) -> None:
    (stored_set / "lstm.onnx").unlink()
    (stored_set / "lstm.onnx").mkdir()
    refused(stored_set, "not a regular file|cannot be read")


def test_a_file_that_was_replaced_and_hashed_again_is_another_set_under_a_wrong_name(stored_set: Path) -> None:
    file = stored_set / "regime.txt"
    file.write_bytes(file.read_bytes().replace(b"shrinkage=", b"shrinkage= ", 1))

    def follow(data: dict[str, Any]) -> None:
        for member in data["models"]:
            if member["file"] == file.name:
                member.update(sha256=digest(file.read_bytes()), bytes=file.stat().st_size)

    rewritten(stored_set, follow, new_id=False)
    refused(stored_set, "does not fit its content")
    rewritten(stored_set, lambda data: None, rename=False)
    refused(stored_set, "folder is not named")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["ensemble"]["weights"].update({"5": 0.75, "12": 0.25}),
        lambda d: d["features"]["scaler"]["center"].__setitem__(0, 0.5),
        lambda d: d.update(expires="2099-01-01T00:00:00Z"),
        lambda d: d["identity"].update(git_commit="another"),
    ],
)
def test_no_word_of_the_manifest_can_change_under_the_same_id(stored_set: Path, change: Change) -> None:
    rewritten(stored_set, change, new_id=False)
    refused(stored_set, "does not fit its content")


def test_a_manifest_that_only_looks_otherwise_is_refused_too(stored_set: Path) -> None:
    file = stored_set / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()), indent=2))
    refused(stored_set, "canonical")


def test_a_renamed_set_is_refused(stored_set: Path) -> None:
    other = stored_set.rename(stored_set.parent / "20260101T000000-0123456789ab")
    refused(other, f"not named {stored_set.name}")


def test_a_newer_format_is_refused_with_the_advice_to_update(stored_set: Path) -> None:
    path = rewritten(stored_set, lambda d: d.update(format=2, novelty={"a": 1}))
    error = refused(path, "format 2 is newer than 1")
    assert "update the program" in error.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"[1,2]", "no manifest of ours"),
        (b'{"name":"bert","format":"safetensors"}', "no manifest of ours"),
        (b'{"mlflow_version":"2.0"}', "no manifest of ours"),
        (b'{"ensemble":{},"format":1,"id":"x"}', "cannot be hashed"),
        (b'{"ensemble":{},"format":1,"id":"x","identity":7}', "cannot be hashed"),
    ],
)
def test_a_foreign_manifest_is_refused(stored_set: Path, content: bytes, words: str) -> None:
    (stored_set / "manifest.json").write_bytes(content)
    refused(stored_set, words)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "freqai"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(b"x")
    error = refused(folder, "missing")
    assert "no model set of this program" in error.remedy
    refused(tmp_path / "nowhere", "no model set is here")
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file", "no model set is here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["models"][0].update(sha256="abc"), "models.0.sha256"),
        (lambda d: d["models"][0].update(file="../../etc/passwd"), "models.0.file"),
        (lambda d: d["models"][0].update(file="/etc/passwd"), "models.0.file"),
        (lambda d: d["models"][0].update(file=".."), "models.0.file"),
        (lambda d: d["models"][0].update(file="manifest.json"), "models"),
        (lambda d: d["models"][0].update(kind="pickle"), "models.0.kind"),
        (lambda d: d["models"][1].update(window=4), "one row"),
        (lambda d: d["ensemble"]["weights"].update({"5": 0.9}), "sum to"),
        (lambda d: d["ensemble"]["stackers"].pop("5/long"), "stackers are for"),
        (lambda d: d["ensemble"]["stackers"]["5/long"].update(members=["nobody", "lstm"]), "reads nobody"),
        (lambda d: d["ensemble"]["stackers"]["5/long"].update(coefficients=[1.0]), "1 coefficients"),
        (lambda d: d["ensemble"].update(regime="lstm"), "no model of the regime"),
        (lambda d: d["ensemble"].update(regime_edges=[0.02, 0.01]), "do not rise"),
        (lambda d: d["features"].update(scaler=None), "no scaler"),
        (lambda d: d["features"]["scaler"]["center"].pop(), "one centre"),
        (lambda d: d["features"].update(fill="zero"), "fill"),
        (lambda d: d["data"].update(rows="many"), "data.rows"),
        (lambda d: d["decision"].update(max_hold_bars=0), "max_hold_bars"),
        (lambda d: d.pop("expires"), "expires"),
        (lambda d: d["models"].clear(), "models"),
    ],
)
def test_a_manifest_that_does_not_make_sense_is_refused(stored_set: Path, change: Change, words: str) -> None:
    refused(rewritten(stored_set, change), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["features"]["names"].__setitem__(0, "sentiment"), "sentiment"),
        (lambda d: d["features"].update(schema_hash="0" * 64), "other definitions"),
        (lambda d: d["features"].update(lookback=10), "its features need 744"),
    ],
)
def test_a_set_for_other_features_is_refused(stored_set: Path, change: Change, words: str) -> None:
    error = refused(rewritten(stored_set, change), words)
    assert "train a set with this version" in error.remedy


def test_a_set_that_cannot_be_verified_is_never_published(made: Made, tmp_path: Path) -> None:
    broken = made.files | {"lstm.onnx": b"something else"}
    with pytest.raises(ModelSetError, match="bytes where the manifest says"):
        save(made.manifest, broken, tmp_path)
    assert list((tmp_path / "incoming").iterdir()) == []
    assert not (tmp_path / "latest").exists()
    assert modelset.stored(tmp_path) == []


def test_a_left_over_partial_is_no_set_and_does_not_hinder_the_next(made: Made, tmp_path: Path) -> None:
    partial = tmp_path / "incoming" / f"{identify(made.manifest).id}.partial"
    partial.mkdir(parents=True)
    (partial / "lstm.onnx").write_bytes(b"half")
    assert modelset.stored(tmp_path) == []
    assert ModelSet.load(save(made.manifest, made.files, tmp_path)).manifest.data.rows == 2000
    assert not partial.exists()


def test_a_set_is_never_written_over(made: Made, stored_set: Path) -> None:
    with pytest.raises(ModelSetError, match="already"):
        save(made.manifest, made.files, stored_set.parent)


def test_names_find_sets(made: Made, remake: Callable[..., Made], tmp_path: Path) -> None:
    sets, starter = tmp_path / "sets", tmp_path / "starter"
    built_in = save(made.manifest, made.files, starter)
    assert resolve("latest", tmp_path) == resolve("starter", tmp_path) == built_in
    with pytest.raises(ModelSetError, match="no champion set"):
        resolve("champion", tmp_path)
    trained = save(remake(expires="2031-01-01T00:00:00Z").manifest, made.files, sets)
    assert resolve("latest", tmp_path) == resolve(trained.name, tmp_path) == trained
    assert resolve("starter", tmp_path) == resolve(built_in.name, tmp_path) == built_in
    point("champion", trained.name, sets)
    assert resolve("champion", tmp_path) == trained


@pytest.mark.parametrize("name", ["lastest", "../sets", "20250101T000000-000000000000", "", ".", "/"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelSetError, match="no model set is called") as caught:
        resolve(name, tmp_path)
    if name == "lastest":
        assert "did you mean latest?" in str(caught.value)


def test_a_pointer_that_leads_nowhere_is_refused(stored_set: Path) -> None:
    root = stored_set.parent.parent
    shutil.rmtree(stored_set)
    with pytest.raises(ModelSetError, match="not there"):
        resolve("latest", root)
    (stored_set.parent / "latest").write_text("../../../etc")
    with pytest.raises(ModelSetError, match="which is no id"):
        resolve("latest", root)
    (stored_set.parent / "latest").unlink()
    (stored_set.parent / "latest").mkdir()
    with pytest.raises(ModelSetError, match="cannot be read"):
        resolve("latest", root)


def test_the_manifest_knows_how_many_candles_one_prediction_takes(made: Made) -> None:
    assert made.manifest.window == 8
    assert made.manifest.lookback == 744 + 7
    assert made.manifest.horizons == (5, 12)


def test_a_number_that_is_none_is_not_written(made: Made) -> None:
    content = made.manifest.model_dump()
    content["features"]["scaler"]["center"] = (float("nan"), *content["features"]["scaler"]["center"][1:])
    with pytest.raises(ValueError, match="finite"):
        Manifest.model_validate(content)
