"""The committed list of features is the code's own, and a changed formula cannot hide."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models import features
from models.features import schema


def test_the_committed_schema_is_current() -> None:
    assert schema.differences() == [], "run `python -m models schema`, after raising the version of a changed formula"


def test_the_schema_lists_about_eighty_features_with_their_needs() -> None:
    listed = json.loads(schema.FILE.read_text())
    assert 80 <= len(listed["features"]) <= 110
    assert listed["hash"] == features.schema_hash([e["name"] for e in listed["features"]])
    needs = {n for e in listed["features"] for n in e["needs"]}
    assert needs == {"volume", "quote_volume", "trades", "taker_base", "funding", "companion"}


def test_a_formula_that_changed_without_its_version_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    one, *rest = features.REGISTRY.features
    bent = features.Registry([replace(one, formula=lambda s: one.formula(s) * 1.001), *rest])
    monkeypatch.setattr(schema, "compute", bent.compute)
    assert [d.split()[0] for d in schema.differences()] == [one.name]
    assert "raise its version" in schema.differences()[0]


def test_a_feature_added_dropped_or_declared_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = json.loads(schema.FILE.read_text())
    listed["features"][0]["name"] = "gone"
    listed["features"][1]["lookback"] += 1
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(listed))
    monkeypatch.setattr(schema, "FILE", file)
    found = schema.differences()
    assert any("gone is not in the code" in d for d in found)
    assert any("is new" in d for d in found)
    assert any("declared otherwise" in d for d in found)
    file.unlink()
    assert schema.differences() == ["schema.json is missing"]
