"""The rules file: what may stand in it, and the exact numbers it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import configs
from configs import ConfigError
from strategy.live_config import LiveConfig, load_rules

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        configs.parse(text, LiveConfig, "rules.yaml")
    return error.value.lines


def test_the_file_shows_the_defaults() -> None:
    assert configs.load(CONFIGS / "live_config.yaml", LiveConfig) == LiveConfig()


def test_the_file_explains_every_key() -> None:
    text = (CONFIGS / "live_config.yaml").read_text()
    shown = yaml.safe_load(text)
    for name, section in LiveConfig().model_dump().items():
        assert name in shown
        assert not isinstance(section, dict) or set(shown[name]) == set(section)
    for line in text.splitlines():
        assert not line or "#" in line or "regimes" in line or ("leverage" in line and "stop" in line), line


def test_the_json_schema_beside_it_is_current() -> None:
    assert configs.schema_is_current(LiveConfig, CONFIGS / "live_config.schema.json"), "run: make schema"


@pytest.mark.parametrize("name", ["live_config", "demo_config", "parity_rules"])
def test_every_rules_file_in_the_repository_loads(name: str) -> None:
    assert load_rules(CONFIGS / f"{name}.yaml").name


def test_regimes_low_mid_high_give_leverage_10_5_2_and_stops_2_3_5_per_cent() -> None:
    rules = LiveConfig().rules()
    assert rules.leverage == (10, 5, 2)
    assert rules.stop_bps == (200, 300, 500)


def test_shares_become_bps_exactly() -> None:
    for bps in range(1, 5_000, 7):
        rules = configs.parse(f"caps: {{risk: {bps / 10_000!r}}}", LiveConfig).rules()
        assert rules.risk_bps == bps


def test_a_share_finer_than_a_bps_is_refused_and_not_rounded() -> None:
    assert errors("caps:\n  risk: 0.06001\n") == [
        "rules.yaml:2:9: caps.risk: 0.06001 is finer than 0.0001; round it to four digits"
    ]


def test_a_typing_error_stops_the_start_with_a_suggestion() -> None:
    assert errors("entry:\n  logn: 0.6\n") == ["rules.yaml:2:3: entry.logn: unknown key, did you mean 'long'?"]
    assert errors("regimes:\n  mid: {leverage: ten, stop: 0.03}\n") == [
        "rules.yaml:2:19: regimes.mid.leverage: expected a whole number, found text 'ten'"
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("exit: {long: 0.6}", "exit.long (0.6) is above entry.long (0.54)"),
        ("regimes: {low: {leverage: 2, stop: 0.09}}", "a stop must not be wider in a calmer regime"),
        ("size: {margin: 0.9}", "does not fit beside size.reserve"),
        ("regimes: {low: {leverage: 0, stop: 0.02}}", "greater than or equal to 1"),
        ("regimes: {low: {leverage: 2}}", "regimes.low.stop: missing"),
        ("size: {max_notional: 1e12}", "less than or equal to 4000000"),
        ("entry: {long: 0}", "greater than 0"),
    ],
)
def test_rules_that_cannot_work_are_refused(text: str, what: str) -> None:
    (line,) = errors(text)
    assert what in line
