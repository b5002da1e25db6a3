"""The section `retraining` of a daemon's configuration: when, where and on what new sets are trained."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from daemon.retraining.cron import trigger
from daemon.retraining.places import Local, Ray, Ssh
from daemon.section import Section
from market.download.recorded import TOLERATED
from market.timeframes import Timeframe

Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,20}USDT$")]
Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/[^\s]*)?$")]


class History(Section):
    """What a set is trained on."""

    folder: Path = Field(
        Path("../var/history"), description="Where downloaded history is kept between runs; relative to this file."
    )
    symbol: Symbol | None = Field(None, description="Instrument a set is trained on; empty: the first of symbols.")
    timeframes: tuple[str, ...] = Field(
        ("1h",), min_length=1, max_length=2, description="The decision's klines, then finer ones if the spec reads any."
    )
    since: date = Field(date(2020, 1, 1), description="First day of history, UTC.")
    funding: bool = Field(True, description="Whether funding rates go along.")
    companion: Symbol | None = Field(None, description="Another symbol whose klines go along.")
    source: Literal["auto", "api", "archive", "none"] = Field(
        "auto",
        description="auto: whole months from the archive, the rest from the exchange. none: nothing is downloaded, "
        "and what lies in the folder is joined with what the daemon recorded.",
    )
    api_url: Address | None = Field(
        None, description="Base of another exchange that speaks the same; empty: exchange.url, or the real one."
    )
    archive_url: Address | None = Field(None, description="Base of another archive; empty: the exchange's public one.")
    tolerate: int = Field(
        TOLERATED, ge=0, description="Candles that two sources may disagree about before a run is stopped."
    )

    @field_validator("timeframes")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        lengths = [Timeframe.parse(text) for text in value]
        if len(lengths) == 2:
            if lengths[1].ms >= lengths[0].ms:
                raise ValueError(f"the decision's klines first, then shorter ones: {lengths[1]} is not shorter")
            lengths[0].ratio(lengths[1])
        return tuple(map(str, lengths))


class Retraining(Section):
    """When, where and on what new sets are trained; without the section none are."""

    spec: Path = Field(description="What to train, such as training/cpu.yaml; relative to this file.")
    schedule: str | None = Field(
        None, description="When a set is made: minute, hour, day of month, month, day of week, in UTC; empty: never."
    )
    expiry_days: float | None = Field(
        7.0, gt=0, le=365, description="A set is replaced when it expires within so many days; empty: it is not."
    )
    on_drift: bool = Field(True, description="Whether drift that asks for a new set gets one.")
    least_hours: float = Field(
        6.0, ge=0, le=8_760, description="Between two runs that nobody asked for by hand, at least so many hours."
    )
    history: History = History()
    backend: Literal["local", "ssh", "ray"] = Field("local", description="Where jobs run.")
    local: Local = Local()
    ssh: Ssh | None = Field(None, description="The machine that backend: ssh reaches.")
    ray: Ray | None = Field(None, description="The cluster that backend: ray reaches; executor: ray uses all of it.")
    executor: Literal["serial", "process", "ray"] = Field("process", description="How a job spreads its fits.")
    workers: int | None = Field(None, ge=1, description="Fits at once; empty: as many as the place has cores.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where networks are trained.")
    timeout_s: int = Field(
        6 * 3_600,
        ge=1,
        le=7 * 86_400,
        description="A job that runs longer is ended, and failed.",
    )
    waiting_s: int = Field(
        86_400, ge=1, le=30 * 86_400, description="A job that nobody has begun after so long is withdrawn, and failed."
    )
    attempts: int = Field(4, ge=1, le=20, description="A run is given up after so many, whatever went wrong.")
    backoff_first_s: float = Field(60, gt=0, le=86_400, description="Pause before the second attempt; it doubles.")
    backoff_cap_s: float = Field(3_600, gt=0, le=86_400, description="Longest pause between attempts.")
    keep_jobs: int = Field(3, ge=1, le=1_000, description="Runs whose inputs and results stay on disk; logs all stay.")

    @field_validator("schedule")
    @classmethod
    def _fires(cls, value: str | None) -> str | None:
        if value is not None:
            trigger(value)
        return value

    @model_validator(mode="after")
    def _pauses_grow(self) -> Retraining:
        if self.backoff_cap_s < self.backoff_first_s:
            raise ValueError(f"backoff_cap_s {self.backoff_cap_s:g} is less than backoff_first_s")
        return self

    def misfit(self, decision: str, exchange: str) -> str | None:
        """What speaks against this section in a daemon that decides at the timeframe `decision` on that exchange."""
        if self.history.timeframes[0] != decision:
            first = self.history.timeframes[0]
            return f"retraining.history.timeframes: begins with {first}, and decisions are made at {decision}"
        if exchange != "binanceusdm" and self.history.source != "none":
            return f"retraining.history.source: history is downloaded of binanceusdm alone; at {exchange} write none"
        return None

    def located(self, folder: Path) -> Retraining:
        """The section with its relative paths taken from `folder`."""
        kept = self.history.model_copy(update={"folder": (folder / self.history.folder.expanduser()).resolve()})
        spec, ssh = (folder / self.spec.expanduser()).resolve(), self.ssh and self.ssh.located(folder)
        ray = self.ray and self.ray.located(folder)
        return self.model_copy(update={"history": kept, "spec": spec, "ssh": ssh, "ray": ray})
