"""Options: what the commands on model sets ask alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from models.modelset import ROOT, ModelSet, resolve

Command = Callable[..., None]

root = click.option(
    "--root", default=ROOT, type=click.Path(path_type=Path), help="Folder with the stores sets and starter."
)
as_json = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
_FILE = click.Path(path_type=Path)
_HISTORY = (
    click.option("--model-set", "name", required=True, metavar="NAME",
                 help="latest, champion, starter, an id, or the path of a set's folder."),
    click.option("--data", required=True, metavar="FILE[,FILE15m]",
                 help="Parquet file of klines of the set's timeframe or a finer one; after a comma, the 15m klines "
                 "of a set that reads them."),
    click.option("--symbol", metavar="SYMBOL", help="Of the file. Default: as the file is named."),
    click.option("--funding", type=_FILE, help="Parquet file of funding, if the set reads it."),
    click.option("--companion", type=_FILE, help="Parquet file of the companion's klines, if the set compares two."),
)  # fmt: skip


def history(command: Command) -> Command:
    """Ask for a set, and a history for it: `name`, `data`, `symbol`, `funding`, `companion`."""
    asked: Any = command
    for option in reversed(_HISTORY):
        asked = option(asked)
    made: Command = asked
    return made


def path_of(name: str, root: Path) -> Path:
    """A set by name, or by the path of its folder."""
    return Path(name) if "/" in name else resolve(name, root)


def load(name: str, root: Path) -> ModelSet:
    """The verified set of that name."""
    return ModelSet.load(path_of(name, root))
