"""The daemon's configuration: what it takes, and how it says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from configs import ConfigError
from configs.schema import schema_is_current
from daemon.__main__ import CONFIGS, SCHEMAS
from daemon.config import Alerts, alert_urls, credentials, load_config
from strategy.phases import Phase

URL = "http://127.0.0.1:1"
Configure = Callable[..., Path]


@pytest.mark.parametrize("name", ["sandbox.yaml", "parity.yaml"])
def test_the_configurations_that_come_along_are_valid(name: str) -> None:
    config = load_config(CONFIGS / name)
    assert config.mode == "sandbox"
    assert config.rules.is_file()


def test_a_real_account_without_a_phase_has_the_most_careful_caps(configure: Configure) -> None:
    live = {"mode": "live", "exchange": {}}
    assert load_config(configure(None, **live)).phase_in_force is Phase.SMALL_LIVE
    assert load_config(configure(None, **live, phase="scale_up")).phase_in_force is Phase.SCALE_UP
    assert load_config(configure(URL)).phase_in_force is None
    assert load_config(configure(URL, phase="paper")).phase_in_force is Phase.PAPER


@pytest.mark.parametrize(("model", "file"), SCHEMAS)
def test_the_json_schemas_are_current(model: type, file: Path) -> None:
    assert schema_is_current(model, file)


def test_paths_are_taken_from_the_files_folder(configure: Configure, tmp_path: Path) -> None:
    assert load_config(configure(URL)).state_dir == tmp_path / "state"


def test_an_unknown_key_is_named_with_its_line_and_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "daemon.yaml"
    path.write_text(f"mode: sandbox\nexchange: {{url: {URL}}}\nsymbols: [BTCUSDT]\nsymbls: [ETHUSDT]\n")
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert error.value.lines == [f"{path}:4:1: symbls: unknown key, did you mean 'symbols'?"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mode": "live"}, "trades at the exchange itself"),
        ({"mode": "live", "exchange": {"key": "k", "secret": "s"}}, "do not belong in a file"),
        ({"exchange": {}}, "needs the address of a local exchange"),
        ({"symbols": ["BTCUSDT", "BTCUSDT"]}, "named twice"),
        ({"symbols": ["btc"]}, "symbols"),
        ({"timeframes": ["15m"]}, "must be one of timeframes"),
        ({"timeframes": ["7m", "1h"]}, "does not divide a day"),
        ({"deadlines": {"data_s": -1}}, "deadlines.data_s"),
        ({"on_stop": "pray"}, "must be one of protect, flatten"),
    ],
)
def test_what_does_not_fit_together_is_refused(configure: Configure, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(configure(URL, **changes))


def test_secrets_come_from_a_credential_file_before_the_environment(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = load_config(configure(URL, exchange={"url": URL})).exchange
    monkeypatch.setenv("REGIMEN_API_KEY", "from the environment")
    monkeypatch.setenv("REGIMEN_API_SECRET", "from the environment")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "REGIMEN_API_SECRET").write_text("from a file\n")
    assert credentials(exchange) == ("from the environment", "from a file")


def test_a_secret_that_is_nowhere_is_named(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGIMEN_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="REGIMEN_API_KEY is not set"):
        credentials(load_config(configure(URL, exchange={"url": URL})).exchange)


def test_an_alert_url_may_be_held_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "json://127.0.0.1")
    assert alert_urls(Alerts(urls=("env:PAGER", "json://localhost"))) == ["json://127.0.0.1", "json://localhost"]
