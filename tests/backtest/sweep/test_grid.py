"""Grids: what is varied, and every mistake in one with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

import configs
from backtest.sweep.grid import MOST, Grid
from configs import ConfigError
from strategy.live_config import Entry, LiveConfig

ROOT = Path(__file__).resolve().parents[3]
BASE = LiveConfig()


def mistakes(*specs: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        Grid.of(specs, BASE)
    return error.value.lines


def test_every_combination_is_a_variant_around_the_base_rules() -> None:
    grid = Grid.of(["entry.long=0.50,0.52,0.6", "regimes.mid.leverage=3,5"], BASE)
    assert [tuple(v.parameters.values()) for v in grid.variants] == [
        (0.5, 3), (0.5, 5), (0.52, 3), (0.52, 5), (0.6, 3), (0.6, 5)
    ]  # fmt: skip
    assert (
        grid.variants[2].rules
        == LiveConfig.model_validate(
            {"entry": {"long": 0.52}, "regimes": {"mid": {"leverage": 3, "stop": 0.03}}}
        ).rules()
    )
    assert grid.dropped == {}


def test_a_range_holds_both_ends_exactly() -> None:
    grid = Grid.of(["entry.long=0.50:0.60:0.01"], BASE)
    assert [v.parameters["entry.long"] for v in grid.variants] == [round(0.50 + at / 100, 2) for at in range(11)]
    grid = Grid.of(["regimes.low.leverage=3:9:2"], BASE)
    assert [v.rules.leverage[0] for v in grid.variants] == [3, 5, 7, 9]


def test_words_in_braces_vary_together() -> None:
    grid = Grid.of(["regimes.{low,mid,high}.leverage=10/5/2,4", "exit.{long,short}=0.3,0.4"], BASE)
    assert [(v.rules.leverage, v.rules.long_exit, v.rules.short_exit) for v in grid.variants] == [
        ((10, 5, 2), 300_000_000, 300_000_000),
        ((10, 5, 2), 400_000_000, 400_000_000),
        ((4, 4, 4), 300_000_000, 300_000_000),
        ((4, 4, 4), 400_000_000, 400_000_000),
    ]


def test_what_the_rules_forbid_is_dropped_and_counted_by_why() -> None:
    grid = Grid.of(["entry.long=0.50,0.60", "exit.long=0.45,0.55", "regimes.mid.stop=0.03,0.06"], BASE)
    assert len(grid.variants) == 3
    assert grid.dropped == {
        "exit.long is above entry.long: an entry would close at once": 2,
        "regimes: a stop must not be wider in a calmer regime (low <= mid <= high)": 3,
    }


def test_files_and_options_vary_together(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("halts.drawdown: [null, {limit: 0.1, then: halted}]\nsize.margin: 0.05\n")
    grid = Grid.of([str(file), "entry.edge=0,0.02"], BASE)
    assert [(v.rules.halts.drawdown_bps, v.rules.margin_bps, v.rules.edge) for v in grid.variants] == [
        (0, 500, 0),
        (0, 500, 20_000_000),
        (1_000, 500, 0),
        (1_000, 500, 20_000_000),
    ]


def test_a_mistake_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(
        "entry.lnog: [0.5]\n"
        "entry.long: [0.5, oops]\n"
        "regimes.{low,mid}.leverage: [[10, 5, 2], 500]\n"
        "exit.long: 0.6:0.5:0.1\n"
        "exit.short: [0.4, 0.4]\n"
        "halts.drawdown: [{limit: 0.2, then: halted, at: once}]\n"
        "size.margin: []\n"
        "regimes.low: [fast]\n"
    )
    assert mistakes(str(file)) == [
        f"{file}:{line}"
        for line in (
            "1:1: entry.lnog: unknown key, did you mean 'long'?",
            "2:19: entry.long: expected a number, found text 'oops'",
            "3:30: regimes.{low,mid}.leverage: 3 values for 2 keys; give each one",
            "3:42: regimes.low.leverage: should be less than or equal to 125, found 500",
            "3:42: regimes.mid.leverage: should be less than or equal to 125, found 500",
            "4:12: exit.long: range 0.6:0.5:0.1 has no values; write from:to:step, rising",
            "5:13: exit.short: a value is given twice: a variant tried twice is one",
            "6:45: halts.drawdown.at: unknown key",
            "7:14: size.margin: no values to vary it over; write a list such as [0.50, 0.52]",
            "8:15: regimes.low: expected keys with values, found text 'fast'",
        )
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("entry.lnog=0.5", "--grid entry.lnog=0.5: entry.lnog: unknown key, did you mean 'long'?"),
        ("entry.long=x", "--grid entry.long=x: entry.long: expected a number, found text 'x'"),
        ("entry.long=", "--grid entry.long=: entry.long: no values to vary it over; write a list such as [0.50, 0.52]"),
        ("entry.long=0:1:0", "--grid entry.long=0:1:0: entry.long: range 0:1:0 has no values; "
         "write from:to:step, rising"),
        ("no-such-file.yaml", "no-such-file.yaml: no such file; name an existing configuration file"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_named_by_its_option(spec: str, said: str) -> None:
    assert mistakes(spec) == [said]


def test_a_key_is_varied_once(tmp_path: Path) -> None:
    assert "twice" in mistakes("entry.long=0.5", "entry.{long,short}=0.6")[0]
    assert "twice" in mistakes("regimes.low.stop=0.01", "regimes.low={leverage: 3, stop: 0.02}")[0]
    file = tmp_path / "grid.yaml"
    file.write_text("entry.long: [0.5]\nentry.long: [0.6]\n")
    assert mistakes(str(file)) == [f"{file}:2:1: entry.long: given twice, first in line 1"]


def test_a_grid_without_end_or_without_variants_is_refused() -> None:
    assert f"{MOST:,}" in mistakes("entry.long=0.0001:0.9:0.0001", "entry.short=0.001:0.9:0.001")[0]
    assert "none of the grid's 1 combinations" in mistakes("exit.long=0.99")[0]


@pytest.mark.parametrize("rules", ["live_config.yaml", "demo_config.yaml"])
def test_the_example_has_a_thousand_variants_all_different(rules: str) -> None:
    base = configs.load(ROOT / "configs" / rules, LiveConfig)
    grid = Grid.of([str(ROOT / "configs" / "sweep.yaml")], base)
    assert len(grid.variants) == len({v.rules for v in grid.variants}) == 1_000
    assert grid.dropped == {}


def test_what_is_not_varied_stays_as_the_base_has_it() -> None:
    base = LiveConfig(name="mine", entry=Entry(long=0.6, short=0.6, edge=0.05))
    (only,) = Grid.of(["entry.long=0.7"], base).variants
    assert (only.rules.name, only.rules.short_entry, only.rules.edge) == ("mine", 600_000_000, 50_000_000)
