"""`python -m models promote` and `promotions`: which set trades, and who let it."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich import box
from rich.table import Table

from market.screen import screen
from models import options, promotion
from models.modelset import STORE, ModelSetError
from models.promotion import Promotion


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Do without a passing verdict; --reason is then required, and kept.")
@click.option("--reason", help="Why, for the log of promotions.")
@options.root
@options.as_json
def promote(name: str, force: bool, reason: str | None, root: Path, as_json: bool) -> None:
    """Let the set NAME trade: make it the champion.

    It takes a passing verdict of the gate for exactly this set, the present champion (or none) and the present
    configs/gate.yaml: `python -m backtest --model-set champion --challenger NAME`.

    Exit codes: 0 promoted, 2 usage, 6 refused (what is missing is said), 7 model set missing or broken.
    """
    if force and not (reason and reason.strip()):
        raise click.UsageError('--force is kept in the log with its reason: give --reason "why"')
    made = promotion.promote(options.load(name, root), root / STORE, reason, force)
    if as_json:
        click.echo(json.dumps(made.model_dump(mode="json"), indent=2))
        return
    before = f", in the place of {made.previous}" if made.previous else ", the first"
    click.echo(f"{made.model_set} is champion now{before}")
    if made.by == "force":
        click.echo(f"forced by {made.who}, and written down: {made.missing or 'a verdict would have done'}", err=True)


@click.command()
@options.root
@options.as_json
def promotions(root: Path, as_json: bool) -> None:
    """List every promotion, the newest last: when, who, what, and by which verdict or for which reason."""
    log = promotion.history(root / STORE)
    if as_json:
        told = [p.model_dump(mode="json") for p in log.promotions]
        click.echo(json.dumps({"promotions": told, "unreadable_lines": list(log.unreadable)}, indent=2))
    elif not log.promotions:
        click.echo("nothing was ever promoted; the daemon stays flat on real venues")
    else:
        _show(log.promotions)
    if log.unreadable:
        where = root / STORE / promotion.LOG
        lines = ", ".join(map(str, log.unreadable))
        raise ModelSetError(f"lines that cannot be read: {lines}", where, "a crash tore them; the others stand")


def _show(made: tuple[Promotion, ...]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("when", "set", "in the place of", "by", "who", "reason"):
        table.add_column(name, overflow="fold", no_wrap=name in ("when", "set"))
    for p in made:
        by = {"force": "FORCE", "rollback": "ROLLBACK"}.get(p.by, f"verdict of {p.verdict}")
        table.add_row(p.time, p.model_set or "-", p.previous or "-", by, p.who, p.reason or "")
    screen().print(table)


COMMANDS = (promote, promotions)
