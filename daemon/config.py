"""The schema of a daemon's configuration file, e.g. `configs/sandbox.yaml`: where it trades, what, and how it stops.

Secrets never stand in the file: it names environment variables, or systemd hands them over as credential files. Only
the sandbox, whose keys open nothing, may write them down.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

import configs
from configs import ConfigError
from daemon.backup.config import Backup
from daemon.credentials import secret
from daemon.desk import Foreign
from daemon.drift.config import Drift
from daemon.retraining.config import Retraining
from daemon.section import Seconds, Section
from daemon.swapping.config import Swapping
from market.timeframes import Timeframe
from models.modelset import STORE
from strategy.phases import Phase


class Mode(StrEnum):
    """What is at stake."""

    SANDBOX = "sandbox"
    """The local exchange: nothing."""
    PAPER = "paper"
    """The local exchange fed by a real one's prices: nothing."""
    LIVE = "live"
    """A real account; also needs `--live` on the command line."""


class OnStop(StrEnum):
    """What happens to open positions when the daemon is told to stop."""

    PROTECT = "protect"
    """They stay open, each with its stop resting at the exchange."""
    FLATTEN = "flatten"
    """They are closed at market."""


Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,20}USDT$")]


class Exchange(Section):
    """Where orders go."""

    id: Literal["binanceusdm", "bybit"] = Field("binanceusdm", description="The exchange, by its ccxt name.")
    url: str | None = Field(
        None, pattern=r"^http://[^/\s]+$", description="Base of a local exchange; empty for the real one."
    )
    key: str | None = Field(None, description="API key, in the sandbox alone.")
    secret: str | None = Field(None, description="API secret, in the sandbox alone.")
    key_name: str = Field(
        "REGIMEN_API_KEY", description="Environment variable, or systemd credential, that holds the API key."
    )
    secret_name: str = Field(
        "REGIMEN_API_SECRET", description="Environment variable, or systemd credential, that holds the API secret."
    )


class Deadlines(Section):
    """How long to wait, in seconds, before something is taken for failed."""

    first_data_s: Seconds = Field(30, description="First kline after subscribing.")
    first_kline_s: Seconds = Field(120, description="First kline after a start; without one the start has failed.")
    data_s: Seconds = Field(60, description="Next kline of each stream.")
    told_s: Seconds = Field(5, description="The user stream's word of an order that was acknowledged.")
    close_s: Seconds = Field(5, description="A candle's closing frame, once its successor has been seen.")
    batch_s: Seconds = Field(10, description="Candles of the other symbols that close at the same instant.")
    request_s: Seconds = Field(5, description="Reply to a request.")
    answer_s: Seconds = Field(3, description="Outcome of a setting of leverage before it is tried again.")
    stop_read_back_s: Seconds = Field(
        1,
        description="A position's stop to be read back; half-way another is placed, and after three, or twice the "
        "time, the position is closed.",
    )
    instruments_s: Seconds = Field(1_800, description="Reading the instruments' terms again.")
    reconcile_s: Seconds = Field(30, description="Asking the exchange for the whole truth again.")
    record_s: Seconds = Field(
        0.1, description="Recording of a stop or a closing order, before it goes out all the same; entries always wait."
    )
    journal_s: Seconds = Field(30, description="A journal that another program holds locked, before the daemon ends.")
    shutdown_s: Seconds = Field(30, description="Coming to rest, or closing positions, when told to stop.")


class Alerts(Section):
    """Whom to tell."""

    urls: tuple[str, ...] = Field((), description="Apprise URLs; `env:NAME` reads one from the environment.")
    level: Literal["info", "warning", "critical"] = Field("warning", description="Least level that is sent.")


class DaemonConfig(Section):
    """One way of running the daemon."""

    mode: Mode = Field(description="sandbox, paper or live.")
    exchange: Exchange = Exchange()
    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=50, description="Instruments, entries in this order.")
    timeframes: tuple[str, ...] = Field(("1h",), min_length=1, description="Klines to subscribe to.")
    decision_timeframe: str = Field("1h", description="A decision is made at each close of this timeframe.")
    model_set: str = Field("champion", pattern=r"^[\w.-]+$", description="champion, latest, starter, or a set's id.")
    model_sets: Path = Field(
        Path("../models"), description="Folder that holds the stores `sets` and `starter`; relative to this file."
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks run: the GPU if onnxruntime has one, else the CPU; cuda insists on it."
    )
    rules: Path = Field(Path("live_config.yaml"), description="The trading rules; relative to this file.")
    phase: Phase | None = Field(
        None,
        description="Caps that tighten the rules: paper, testnet, small_live or scale_up. "
        "Empty: small_live in mode live, elsewhere none.",
    )
    state_dir: Path = Field(Path("../var/daemon"), description="Folder of the journal; relative to this file.")
    deadlines: Deadlines = Deadlines()
    foreign_positions: Foreign = Field(
        Foreign.ADOPT, description="A position that no order of ours explains: adopt, ignore or close it."
    )
    on_stop: OnStop = Field(OnStop.PROTECT, description="protect leaves positions with their stops.")
    alerts: Alerts = Alerts()
    retraining: Retraining | None = Field(None, description="Training of new sets; empty: none.")
    swapping: Swapping = Swapping()
    drift: Drift | None = Field(None, description="Looking for drift; empty: nobody looks.")
    backup: Backup | None = Field(None, description="Backups of the state directory; empty: only by `backup`.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    _file: Path | None = PrivateAttr(None)
    _replaced: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("timeframes", "decision_timeframe")
    @classmethod
    def _readable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (value,) if isinstance(value, str) else value:
            if str(Timeframe.parse(text)) != text:
                raise ValueError(f"write {Timeframe.parse(text)} for {text}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DaemonConfig:
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("symbols: one is named twice")
        if self.decision_timeframe not in self.timeframes:
            raise ValueError(f"decision_timeframe {self.decision_timeframe} must be one of timeframes")
        if self.mode is Mode.LIVE and self.exchange.url:
            raise ValueError("exchange.url: mode live trades at the exchange itself; remove it, or set mode: sandbox")
        if self.mode is not Mode.LIVE and not self.exchange.url:
            raise ValueError(f"exchange.url: mode {self.mode} needs the address of a local exchange")
        if self.mode is Mode.LIVE and (self.exchange.key or self.exchange.secret):
            raise ValueError("exchange: keys of a real account do not belong in a file; use key_name and secret_name")
        if self.retraining and (wrong := self.retraining.misfit(self.decision_timeframe, self.exchange.id)):
            raise ValueError(wrong)
        return self

    def replaced(self, **values: Any) -> DaemonConfig:
        """The same with values that a command puts in the place of the file's; when it is read again they stay."""
        copy = self.model_copy(update=values)
        copy._replaced = self._replaced | values
        return copy

    def read_again(self) -> DaemonConfig:
        """What its file says now; raises ConfigError as `load_config` does."""
        if self._file is None:
            raise ConfigError(["this configuration was read from no file; there is nothing to read again"])
        return load_config(self._file).replaced(**self._replaced)

    @property
    def file(self) -> str:
        """The file that it stands in, for messages."""
        return str(self._file or "the configuration")

    @property
    def rehearsal_dir(self) -> Path:
        """Where a rehearsal keeps its journal: beside the state directory, which it leaves alone."""
        return self.state_dir.with_name(f"{self.state_dir.name}-rehearsal")

    @property
    def store(self) -> Path:
        """Where trained sets are, each in a folder of its id."""
        return self.model_sets / STORE

    @property
    def phase_in_force(self) -> Phase | None:
        """The phase chosen; a real account without one has the most careful."""
        return self.phase or (Phase.SMALL_LIVE if self.mode is Mode.LIVE else None)

    @property
    def decision(self) -> Timeframe:
        return Timeframe.parse(self.decision_timeframe)

    @property
    def finest(self) -> Timeframe:
        """Of all timeframes subscribed to."""
        return min(map(Timeframe.parse, self.timeframes))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every subscribed (symbol, timeframe), shorter timeframes first."""
        ordered = sorted(self.timeframes, key=lambda t: Timeframe.parse(t).ms)
        return tuple((s, t) for t in ordered for s in self.symbols)


def load_config(path: Path) -> DaemonConfig:
    """The configuration in a YAML file, its relative paths taken from the file's folder.

    Raises
    ------
    ConfigError
        Naming line and column of each mistake.
    """
    config = configs.load(path, DaemonConfig)
    folder = path.resolve().parent
    config._file = path
    return config.model_copy(
        update={
            "model_sets": (folder / config.model_sets.expanduser()).resolve(),
            "rules": (folder / config.rules.expanduser()).resolve(),
            "state_dir": (folder / config.state_dir.expanduser()).resolve(),
            "backup": config.backup and config.backup.located(folder),
            "retraining": config.retraining and config.retraining.located(folder),
            "swapping": config.swapping.located(folder),
        }
    )


def credentials(exchange: Exchange) -> tuple[str, str]:
    """API key and secret: from the file (sandbox), a systemd credential, or the environment.

    Raises
    ------
    ConfigError
        If one of them is nowhere.
    """
    return _secret(exchange.key, exchange.key_name), _secret(exchange.secret, exchange.secret_name)


def whence(config: DaemonConfig) -> str:
    """Where key and secret were taken from, for messages."""
    exchange = config.exchange
    pairs = (("key", exchange.key, exchange.key_name), ("secret", exchange.secret, exchange.secret_name))
    where = [f"exchange.{key} in {config.file}" if written else name for key, written, name in pairs]
    told = " and ".join(where)
    return told if exchange.key and exchange.secret else f"{told} (environment, or systemd credential)"


def alert_urls(alerts: Alerts) -> list[str]:
    """The alert channels, `env:NAME` replaced by what the variable holds."""
    return [_secret(None, url.removeprefix("env:")) if url.startswith("env:") else url for url in alerts.urls]


def _secret(written: str | None, name: str) -> str:
    return written or secret(name)
