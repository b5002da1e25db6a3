"""Plots: well-formed SVG that holds every series, small, without a date, and drawn only where there is something."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from training.quality import plots
from training.quality.figures import Figures
from training.quality.page import PLOTS

MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def drawn(of_small: Figures) -> dict[str, str]:
    return plots.draw(of_small)


def ids(svg: str) -> set[str]:
    return {element.get("id", "") for element in ElementTree.fromstring(svg).iter()}


def test_every_plot_is_small_well_formed_and_undated(drawn: dict[str, str]) -> None:
    assert set(drawn) == set(PLOTS)
    for svg in drawn.values():
        assert len(svg.encode()) < MOST_BYTES
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "<dc:date>" not in svg
        assert "<dc:creator>" not in svg


def test_each_holds_its_series(drawn: dict[str, str], of_small: Figures) -> None:
    members = {f"auc {section} {name}" for section in ("profitable_long", "direction") for name in ("stack", "lstm")}
    assert members | {"auc profitable_short volatility_and_clock"} <= ids(drawn["auc"])
    assert {f"calibration {s} {h}" for s in ("profitable_long", "profitable_short") for h in (5, 12)} <= ids(
        drawn["calibration"]
    )
    regimes = {
        f"regime {who} {a} {b}" for who in ("set", "har_and_calendar") for a in ("low", "high") for b in ("mid",)
    }
    assert regimes <= ids(drawn["regime"])
    assert {"ablation lstm focal", "ablation lstm augmentation"} <= ids(drawn["ablation"])
    assert "ablation lstm base" not in ids(drawn["ablation"]), "nothing differs from itself"
    quarters = of_small.quarters["profitable_long"]
    parts = {"test" if quarter.test else "folds" for quarter in quarters}
    assert parts
    assert {f"quarters profitable_long {who} {part}" for who in ("stack", "rival") for part in parts} <= ids(
        drawn["quarters"]
    )


def test_text_stays_text(drawn: dict[str, str]) -> None:
    for words in ("stack", "plain average", "LightGBM", "volatility and hour only", "long pays, 5 h"):
        assert words in drawn["auc"]


def test_what_was_not_ablated_is_not_drawn(of_zoo: Figures) -> None:
    assert "ablation" not in plots.draw(of_zoo)
