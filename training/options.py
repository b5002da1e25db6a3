"""Options: what the training commands ask alike, which history and how many threads, as objects of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from market import catalogue, cluster
from training.data import Bars, DataError, from_files, synthetic_market
from training.executors import SERIAL, Executor
from training.spec import SYMBOL, TrainingSpec

Command = Callable[..., None]
MOST_THREADS = 4
"""More threads do not help models this small."""


@dataclass(frozen=True)
class History:
    """Which candles are trained on: files, or the synthetic market."""

    data: Path | None
    finer: Path | None
    funding: Path | None
    companion: Path | None
    synthetic: bool
    symbol: str | None

    def read(self, spec: TrainingSpec) -> tuple[TrainingSpec, Bars]:
        """The bars, and the spec with the symbols that the files are of.

        Raises
        ------
        HistoryError, DataError, SyntheticError
            As `training.data` does.
        """
        finer = None if spec.lstm15m is None else spec.lstm15m.timeframe
        named = catalogue.symbol_of(self.data) if self.data is not None else None
        symbol = self.symbol
        if symbol is None and named is not None and named != spec.data.symbol:
            click.echo(
                f"training: {self.data} is named after {named}; training on that (--symbol says otherwise)", err=True
            )
            symbol = named
        told = spec.data if symbol is None else spec.data.model_copy(update={"symbol": symbol})
        for file in (self.finer, self.funding):
            of = catalogue.symbol_of(file) if file is not None else None
            if of is not None and of != told.symbol:
                raise DataError(f"{file} is named after {of}, and {told.symbol} is trained on; give that symbol's own")
        if self.synthetic:
            # whatever the spec says: what is learnt here says nothing of a real venue
            told = told.model_copy(update={"venue": "synthetic"})
        if self.companion is not None:
            other = catalogue.symbol_of(self.companion)
            if other is None or other == told.symbol:
                raise click.BadParameter(
                    f"{self.companion}: name a file that begins with another symbol than {told.symbol}",
                    param_hint="--companion",
                )
            told = told.model_copy(update={"companion": other})
        elif told.companion is not None and not self.synthetic:
            click.echo(
                f"training: the spec's companion {told.companion} is left out: give its klines by --companion", err=True
            )
        spec = spec.model_copy(update={"data": told})
        if self.data is None:
            return spec, synthetic_market(told, finer, told.companion)
        return spec, from_files(told, self.data, self.funding, self.finer, self.companion, finer)


def history(command: Command) -> Command:
    """Give a command the options that name a history, handed over as one `history: History`."""

    @click.option(
        "--data", metavar="FILE[,FILE]", help="Kline history (parquet); after a comma shorter klines, for lstm15m."
    )
    @click.option("--funding", type=click.Path(path_type=Path), help="Funding history, where features read it.")
    @click.option(
        "--companion", type=click.Path(path_type=Path), help="Klines of another symbol, for cross-asset features."
    )
    @click.option("--synthetic", is_flag=True, help="Train on the synthetic market the spec describes.")
    @click.option("--symbol", help="Instrument of the history, instead of the spec's.")
    @wraps(command)
    def with_history(
        *args: Any,
        data: str | None,
        funding: Path | None,
        companion: Path | None,
        synthetic: bool,
        symbol: str | None,
        **others: Any,
    ) -> None:
        if synthetic == (data is not None):
            raise click.UsageError("give either --data FILE or --synthetic")
        if synthetic and (funding is not None or companion is not None):
            raise click.UsageError("--funding and --companion go with --data; the synthetic market brings its own")
        if symbol is not None and not re.fullmatch(SYMBOL, symbol):
            raise click.BadParameter(f"{symbol!r} is no symbol; write one like BTCUSDT", param_hint="--symbol")
        files = [Path(part) for part in data.split(",")] if data is not None else []
        if len(files) > 2 or any(not part.name for part in files):
            raise click.BadParameter(f"{data!r} is not one file, or two with a comma between", param_hint="--data")
        base, finer = [*files, None, None][:2]
        command(*args, history=History(base, finer, funding, companion, synthetic, symbol), **others)

    return with_history


def device(command: Command) -> Command:
    """Give a command --device."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where networks are trained; auto: the GPU if there is one.",
    )(command)


def threads_for(executor: Executor) -> int:
    """CPU threads of a unit, unless the command says how many: all cores here, one in each of many workers."""
    return min(MOST_THREADS, cluster.cores()) if executor.kind == SERIAL else 1
