"""Options: what the backtest's commands ask alike, which history and which account, each handed over as one object."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from functools import wraps
from pathlib import Path
from typing import Any

import click

from backtest import sources
from backtest.broker import Costs
from market.arguments import instant
from market.instruments import InstrumentError, cash, cash_text
from market.timeframes import Timeframe
from models.manifest import Manifest

Command = Callable[..., None]

SYNTHETIC = "synthetic market"

MOST_CASH = 10**18
"""Cash units to begin with: a ninth of what an int64 holds, and all that is reported of equity is one."""

ARGUMENTS = "backtest.arguments"
"""Where a click context's `meta` keeps the command line as it was given, for a report to tell."""


@dataclass(frozen=True)
class History:
    """Which candles are played: files with funding, detail and symbols, or the synthetic market; [start, end) in ms."""

    files: tuple[Path, ...]
    funding: tuple[Path, ...]
    detail: tuple[Path, ...]
    finer: tuple[Path, ...]
    companions: tuple[Path, ...]
    symbols: tuple[str, ...]
    start: int | None
    end: int | None
    days: int
    seed: int

    def __post_init__(self) -> None:
        files = {"funding": self.funding, "detail": self.detail, "finer": self.finer, "companion": self.companions}
        for name, given in files.items():
            if given and not self.files:
                raise click.UsageError(f"--{name} goes with --data; the synthetic market has its own")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise click.UsageError("--from is not before --to")

    def series(self, manifest: Manifest) -> list[sources.Series]:
        """The symbols' histories; the synthetic one begins as long before what is tested as the set looks back."""
        if self.files:
            return sources.from_files(self.files, self.funding, self.symbols, self.detail, self.finer, self.companions)
        compared = (manifest.companion_of(symbol) for symbol in self.symbols or (sources.SYNTHETIC_SYMBOL,))
        decision = Timeframe.parse(manifest.data.timeframe)
        companions = [symbol for symbol in compared if symbol is not None]
        return sources.from_synthetic(self.symbols, self.days, manifest.warmup, decision, self.seed, companions)

    def __str__(self) -> str:
        return ", ".join(f.name for f in self.files) or f"{SYNTHETIC}, seed {self.seed}"


@dataclass(frozen=True)
class Account:
    """What is traded with: cash at the start in cash units, and what an execution costs."""

    cash: int
    taker_fee: int
    slippage: int

    @property
    def costs(self) -> Costs:
        """Fee and slippage."""
        return Costs(self.taker_fee, self.slippage)


def _wallet(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """A sum to begin with, in cash units."""
    try:
        units = cash(text)
    except InstrumentError as error:
        raise click.BadParameter(str(error)) from error
    if units <= 0:
        raise click.BadParameter(f"{text} leaves nothing to trade with; write an amount above 0")
    if units > MOST_CASH:
        raise click.BadParameter(f"{text} leaves no room to grow in; write at most {cash_text(MOST_CASH)}")
    return units


def _ppm(ctx: click.Context, param: click.Parameter, text: str) -> int:
    """A small fraction, exact to 1e-6, in ppm: ``0.0005`` is 0.05 %."""
    try:
        ppm = Decimal(text) * 1_000_000
        fits = 0 <= ppm <= 100_000 and ppm % 1 == 0
    except InvalidOperation as error:
        raise click.BadParameter(f"{text!r} is no number; write a fraction such as 0.0005") from error
    if not fits:
        raise click.BadParameter(f"{text} is not between 0 and 0.1 in steps of 0.000001")
    return int(ppm)


def again(model_set: str, challenger: str | None = None) -> str:
    """The command line being run, with its sets by their ids, so that it still means the same tomorrow."""
    given = list(click.get_current_context().meta[ARGUMENTS])
    for option, set_id in (("--model-set", model_set), ("--challenger", challenger)):
        if set_id is None:
            continue
        if option in given:
            given[given.index(option) + 1] = set_id
        given = [f"{option}={set_id}" if word.startswith(f"{option}=") else word for word in given]
    return f"python -m backtest {shlex.join(given)}"


def page_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A file that can be written, tried before the long work."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise click.BadParameter(f"{path} cannot be written; name a file in a folder that exists and is yours to write")
    return path


_FILE = click.Path(path_type=Path)
_HISTORY = (
    click.option("--data", "files", multiple=True, type=_FILE,
                 help="Parquet file of klines; again for each further symbol. Without it, the synthetic market."),
    click.option("--funding", multiple=True, type=_FILE, help="Parquet file of funding, per --data."),
    click.option("--detail", multiple=True, type=_FILE,
                 help="Parquet file of shorter klines, per --data: in which order prices came inside its bars."),
    click.option("--finer", multiple=True, type=_FILE,
                 help="Parquet file of shorter klines, per --data, for a set that reads such and too long a --data."),
    click.option("--companion", "companions", multiple=True, type=_FILE,
                 help="Parquet file of a symbol that the set compares with and that is not played; named after it."),
    click.option("--symbol", "symbols", multiple=True, help="Symbol, per --data. Default: as the file is named."),
    click.option("--from", "start", callback=instant, metavar="TIME",
                 help="First instant tested, UTC. Default: the first prediction."),
    click.option("--to", "end", callback=instant, metavar="TIME",
                 help="First instant no longer tested, UTC. Default: the data's end."),
    click.option("--days", default=90, type=click.IntRange(1, 3650), show_default=True, help="Synthetic market: days."),
    click.option("--seed", default=11, type=int, show_default=True,
                 help="Synthetic market: seed (the starter set was made on 7)."),
)  # fmt: skip
_ACCOUNT = (
    click.option("--cash", default="10000", callback=_wallet, metavar="AMOUNT", show_default=True,
                 help="Cash at the start, quote currency."),
    click.option("--taker-fee", default="0.0005", callback=_ppm, metavar="FRACTION", show_default=True,
                 help="Fee, fraction of the notional."),
    click.option("--slippage", default="0.0001", callback=_ppm, metavar="FRACTION", show_default=True,
                 help="Slippage, fraction of the price."),
)  # fmt: skip


def history_options(command: Command) -> Command:
    """Ask for a history; the command gets it as `history`."""
    return _together(command, "history", History, _HISTORY)


def account_options(command: Command) -> Command:
    """Ask for an account; the command gets it as `account`."""
    return _together(command, "account", Account, _ACCOUNT)


def _together(command: Command, name: str, kind: Any, options: tuple[Callable[[Command], Command], ...]) -> Command:
    parts = [f.name for f in fields(kind)]

    @wraps(command)
    def gathered(**asked: Any) -> None:
        together = kind(**{part: asked.pop(part) for part in parts})
        command(**asked, **{name: together})

    made: Command = gathered
    for option in reversed(options):
        made = option(made)
    return made
