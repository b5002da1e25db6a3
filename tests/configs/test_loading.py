"""A configuration file is read strictly, and every mistake is named with its place."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

import configs
from configs import ConfigError


class Mode(StrEnum):
    PAPER = "paper"
    LIVE = "live"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Exchange(Strict):
    url: str = "http://localhost"
    timeout: float = 5.0


class Example(Strict):
    mode: Mode
    symbols: tuple[str, ...] = ()
    leverage: int = Field(default=5, ge=1, le=125)
    threshold: float = 0.5
    on_stop: Literal["protect", "flatten"] = "protect"
    exchange: Exchange = Exchange()
    venues: dict[str, Exchange] = {}
    horizons: dict[int, float] = {}
    state: Path | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _symbols_once(self) -> Example:
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol is listed twice")
        return self


def lines_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        configs.parse(text, Example, "c.yaml")
    return error.value.lines


def test_a_good_file_becomes_the_model(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(
        "mode: paper\nsymbols: [BTCUSDT, ETHUSDT]\nthreshold: 5e-1\nhorizons: {5: 0.5, 12: 1}\nstate: var/state\n"
        "venues:\n  a: {timeout: 2}\n"
    )
    config = configs.load(file, Example)
    assert config.mode is Mode.PAPER
    assert config.symbols == ("BTCUSDT", "ETHUSDT")
    assert config.threshold == 0.5
    assert config.horizons == {5: 0.5, 12: 1.0}
    assert config.state == Path("var/state")
    assert config.venues["a"].timeout == 2.0


def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() -> None:
    assert lines_of("mode: paper\nleverag: 3\n") == ["c.yaml:2:1: leverag: unknown key, did you mean 'leverage'?"]


def test_an_unknown_key_deep_in_the_file_is_suggested_from_its_own_level() -> None:
    text = "mode: paper\nexchange:\n  timeot: 1\nvenues:\n  one:\n    ulr: x\n"
    assert lines_of(text) == [
        "c.yaml:3:3: exchange.timeot: unknown key, did you mean 'timeout'?",
        "c.yaml:6:5: venues.one.ulr: unknown key, did you mean 'url'?",
    ]


def test_a_wrong_type_is_refused_and_not_converted() -> None:
    assert lines_of("mode: paper\nleverage: '3'\n") == [
        "c.yaml:2:11: leverage: expected a whole number, found text '3'"
    ]
    assert lines_of("mode: paper\nleverage: 2.5\n") == ["c.yaml:2:11: leverage: expected a whole number, found 2.5"]
    assert lines_of("mode: paper\nenabled: yes\n") == ["c.yaml:2:10: enabled: expected true or false, found text 'yes'"]
    assert lines_of("mode: paper\nsymbols: BTC\n") == ["c.yaml:2:10: symbols: expected a list, found text 'BTC'"]
    assert lines_of("mode: paper\nsymbols:\n  - BTC\n  - 7\n") == ["c.yaml:4:5: symbols.1: expected text, found 7"]


def test_a_value_out_of_range_says_the_range() -> None:
    assert lines_of("mode: paper\nleverage: 200\n") == [
        "c.yaml:2:11: leverage: should be less than or equal to 125, found 200"
    ]


def test_a_wrong_choice_lists_the_choices_and_the_nearest() -> None:
    assert lines_of("mode: papper\n") == [
        "c.yaml:1:7: mode: must be one of paper, live, found text 'papper', did you mean 'paper'?"
    ]
    assert "did you mean 'flatten'?" in lines_of("mode: live\non_stop: flaten\n")[0]


def test_every_mistake_is_reported_at_once_in_file_order() -> None:
    lines = lines_of("leverage: 0\nmode: paper\nthreshold: high\n")
    assert [line.split(":")[1] for line in lines] == ["1", "3"]


def test_a_missing_key_is_named() -> None:
    assert lines_of("leverage: 3\n") == ["c.yaml:1:1: mode: missing; it has no default"]


def test_a_rule_over_several_keys_is_reported() -> None:
    assert lines_of("mode: paper\nsymbols: [A, A]\n") == ["c.yaml:1:1: a symbol is listed twice"]


def test_a_key_given_twice_is_refused() -> None:
    assert lines_of("mode: paper\nmode: live\n") == ["c.yaml:2:1: mode: given twice, first in line 1"]


def test_broken_yaml_says_where() -> None:
    (line,) = lines_of("mode: paper\nsymbols: [BTC\nleverage: 3\n")
    assert line.startswith("c.yaml:3:9: broken YAML: ")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert lines_of(text) == ["c.yaml:1:1: the file is empty; it must hold the keys of Example"]


@pytest.mark.parametrize("text", ["just text\n", "- a\n- b\n", "3\n"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    assert lines_of(text)[0].startswith("c.yaml:1:1: expected keys with values, found ")


@pytest.mark.parametrize(
    "text",
    [
        "mode: paper\n---\nmode: live\n",
        "mode: !!python/object/apply:os.system [id]\n",
        "mode: &a [*a]\n",
        "mode: \x07\n",
        "{[a]: b}\n",
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e]\n",
        "a: " + "[" * 3000,
        "leverage: " + "9" * 5000,
        "threshold: 1e999",
        "leverage: !!int ten",
    ],
    ids=[
        "two documents",
        "python tag",
        "self reference",
        "control character",
        "key is a list",
        "laughs",
        "deep",
        "five thousand digits",
        "infinite",
        "tag that does not fit",
    ],
)
def test_hostile_yaml_is_an_error_and_not_a_crash(text: str) -> None:
    assert "broken YAML" in lines_of(text)[0]


def test_missing_file_folder_and_binary_are_errors_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; name an existing"):
        configs.load(tmp_path / "none.yaml", Example)
    with pytest.raises(ConfigError, match="cannot be read"):
        configs.load(tmp_path, Example)
    (tmp_path / "binary.yaml").write_bytes(b"mode: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        configs.load(tmp_path / "binary.yaml", Example)


def test_a_secret_is_not_echoed() -> None:
    (line,) = lines_of("mode: paper\nexchange: {url: 77123}\n")
    assert "77123" not in line


def test_the_exit_code_is_four() -> None:
    assert ConfigError(["x"]).exit_code == 4
    assert str(ConfigError(["a", "b"])) == "a\nb"


def test_a_schema_file_is_current_until_the_model_changes(tmp_path: Path) -> None:
    file = tmp_path / "example.schema.json"
    assert not configs.schema_is_current(Example, file)
    configs.write_schema(Example, file)
    assert configs.schema_is_current(Example, file)
    assert not configs.schema_is_current(Exchange, file)
