"""``python -m daemon swap ID``, ``rollback``, ``swaps`` and ``audit``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from daemon import control
from daemon.options import (
    REFUSED,
    TIMEOUT,
    Told,
    ask,
    book_of,
    config_option,
    json_option,
    rehearsal_option,
    state_dir,
)
from daemon.swapping.rows import Swaps
from daemon.swapping.stages import OVER, Stage
from market.screen import screen
from market.timeframes import utc_text

LOOK_S = 0.5
wait_option = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="Wait so many seconds for the outcome."
)


@click.command()
@click.argument("name", metavar="ID")
@config_option
@rehearsal_option
@json_option
@wait_option
@click.option("--force", is_flag=True, help="Do without a verdict of the gate; --reason is then required, and kept.")
@click.option("--reason", help="Why, for the audit.")
def swap(name: str, path: Path, as_json: bool, wait_s: float, force: bool, reason: str | None) -> None:
    """Bring the set ID (or latest) into service: verified, judged, shadowed, swapped between two candles, watched.

    Returns once it is queued; `status` shows how far it is, `audit` every step.

    \b
    Exit codes: 0 queued (with --wait: in service), 3 no daemon is running, 5 not there in time, 6 refused (without
    --wait only if it is in service already), 7 there is no such set.
    """
    if force and not (reason and reason.strip()):
        raise click.UsageError('--force is kept in the audit with its reason: give --reason "why"')
    reply = ask(path, "swap", {"set": name, "force": force, "reason": reason})
    _tell(path, reply, as_json, wait_s, (Stage.WATCHED, *OVER))


@click.command()
@config_option
@rehearsal_option
@json_option
@wait_option
@click.option("--reason", help="Why, for the audit.")
def rollback(path: Path, as_json: bool, wait_s: float, reason: str | None) -> None:
    """Have the set before the present one answer again, from the next candle on; the champion pointer goes back too."""
    _tell(path, ask(path, "rollback", {"reason": reason}), as_json, wait_s, OVER)


@click.command()
@config_option
@rehearsal_option
@json_option
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="How many, newest first.")
def swaps(path: Path, as_json: bool, count: int) -> None:
    """The last sets that were to come into service, how far each came, and why; works without a running daemon."""
    reply = _answered(path, count)
    if reply is None:
        with book_of(path) as book:
            reply = {"under_way": None, "swaps": [swap.as_dict() for swap in Swaps(book).newest(count)]}
    if as_json:
        click.echo(json.dumps(reply))
        return
    for row in reply["swaps"]:
        ended = f", ended {utc_text(row['ended_ms'])}" if row["ended_ms"] else ""
        click.echo(f"{row['set_id']} {row['stage']}: {row['reason']} (asked by {row['who']}{ended})")
    if not reply["swaps"]:
        click.echo("no set was ever offered")


@click.command()
@config_option
@rehearsal_option
@json_option
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
def audit(path: Path, as_json: bool, count: int) -> None:
    """Every step of retraining, swaps and reloads, who asked and which verdict; works without a running daemon."""
    with book_of(path) as book:
        rows = book.audited(count)
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("when", "step", "set", "who", "what"):
        table.add_column(name, overflow="fold")
    for row in rows:
        what = row["text"] + (f" [{row['verdict']}]" if row["verdict"] else "")
        table.add_row(utc_text(row["at_ms"]), row["step"], row["set_id"] or row["run_id"] or "", row["who"], what)
    screen().print(table, markup=False)


def _answered(path: Path, count: int) -> dict[str, Any] | None:
    """What a running daemon says of its swaps; None where none runs, or it has not reached its exchange yet."""
    try:
        reply = control.request(state_dir(path), "swaps", args={"count": count})
    except (control.NotRunning, control.NoAnswer):
        return None
    return None if "error" in reply else reply


def _tell(path: Path, reply: dict[str, Any], as_json: bool, wait_s: float, ends: tuple[Stage, ...]) -> None:
    """Print what was taken, or how it ended if that is waited for; a refusal ends the command with its code."""
    deadline, row = time.monotonic() + wait_s, reply
    while wait_s and row["stage"] not in ends and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        told = ask(path, "swaps", {"count": 50})["swaps"]
        row = next((r for r in told if r["id"] == reply["id"]), row)
    row = reply | row
    if as_json:
        click.echo(json.dumps(row))
    else:
        click.echo(f"{row['set_id']}: {row['stage']}" + (f"; {row['reason']}" if row["reason"] else ""))
        if row["stage"] not in (Stage.REFUSED, Stage.SUPERSEDED):
            click.echo(reply["after_a_restart"], err=True)
    if wait_s and row["stage"] in (Stage.REFUSED, Stage.SUPERSEDED):
        raise Told(f"{row['set_id']} was {row['stage']}: {row['reason']}", REFUSED)
    if wait_s and row["stage"] not in ends:
        raise Told(f"after {wait_s:g} s it is still {row['stage']}; look at `python -m daemon audit`", TIMEOUT)


COMMANDS = (swap, rollback, swaps, audit)
