"""`python -m daemon retrain` and `runs`: ask for a new model set, and look at what became of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import BinaryIO

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

from daemon.options import DATA, Told, ask, book_of, config_option, json_option, rehearsal_option, state_dir
from daemon.retraining import runs as rows
from daemon.retraining.job_folders import jobs_folder
from daemon.retraining.runs import Run
from market.timeframes import utc_text
from models.jobs.request import LOG

POLL_S = 0.3
PIECE = 1 << 16


@click.command()
@config_option
@rehearsal_option
@json_option
@click.option("--who", help="Who asks, for the audit [the user].")
def retrain(path: Path, as_json: bool, who: str | None) -> None:
    """Have the running daemon make a new model set; it trades on meanwhile. Prints the run's id.

    Refused while another run is under way. What became of it: `python -m daemon runs`.

    \b
    Exit codes: 0 asked for, 1 refused, 3 no daemon is running.
    """
    run = ask(path, "retrain", {"who": who} if who else {}, "retraining")["run"]
    click.echo(json.dumps(run) if as_json else run["id"])


@click.group("runs", invoke_without_command=True)
@config_option
@rehearsal_option
@json_option
@click.option("-n", "count", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@click.pass_context
def runs(context: click.Context, path: Path, as_json: bool, count: int) -> None:
    """Retrainings and how they went; works without a running daemon.

    \b
    Examples:
      python -m daemon runs --json | jq '.[0].state'
      python -m daemon runs logs -f 20261124t155000-3f9a
      python -m daemon runs cancel 20261124t155000-3f9a
    """
    if context.invoked_subcommand is not None:
        given = [name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
        if given or context.meta.get("rehearsal"):
            raise click.UsageError(f"write the options after `runs {context.invoked_subcommand}`, which they are for")
        return
    with book_of(path) as book:
        found = rows.newest(book, count)
    if as_json:
        click.echo(json.dumps([run.as_json() for run in found]))
    elif not found:
        click.echo("no runs yet; `python -m daemon retrain` asks for one")
    else:
        _show(found)


@runs.command()
@config_option
@rehearsal_option
@json_option
@click.argument("run_id", metavar="ID")
@click.option("--who", help="Who asks, for the audit [the user].")
def cancel(path: Path, as_json: bool, run_id: str, who: str | None) -> None:
    """Have the running daemon end the run ID and its job.

    \b
    Exit codes: 0 told, 1 it is over or was offered already, 3 no daemon is running, 7 there is no such run.
    """
    run = ask(path, "cancel-run", {"run": run_id} | ({"who": who} if who else {}), "retraining")["run"]
    click.echo(json.dumps(run) if as_json else f"{run['id']}: {run['state']}")


@runs.command()
@config_option
@rehearsal_option
@click.argument("run_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the run is over.")
def logs(path: Path, run_id: str, follow: bool) -> None:
    """Print the log of the run ID, as far as it has come here; works without a running daemon.

    \b
    Exit codes: 0 printed, 7 there is no such run.
    """
    folder = state_dir(path)
    with book_of(path) as book:
        if rows.find(book, run_id) is None:
            raise Told(f"there is no run {run_id}; `python -m daemon runs` names them", DATA)
        log = jobs_folder(folder) / run_id / LOG
        out = sys.stdout.buffer
        offset = 0
        while True:
            run = rows.find(book, run_id)
            over = run is None or run.state.over
            offset = _printed(log, offset, out)
            if over or not follow:
                break
            time.sleep(POLL_S)
    if not offset:
        click.echo(f"{log}: nothing yet", err=True)


COMMANDS = (retrain, runs)


def _printed(log: Path, offset: int, out: BinaryIO) -> int:
    """Print a file from there; gives its end."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            while part := file.read(PIECE):
                out.write(part)
                offset += len(part)
    except FileNotFoundError:
        return offset
    out.flush()
    return offset


def _show(found: list[Run]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("run", "cause", "who", "where", "state", "try", "asked", "took", "set, or why not"):
        table.add_column(name, overflow="fold")
    for run in found:
        said = run.set_id or next(iter((run.error or "").strip().splitlines()[-1:]), "")
        table.add_row(
            run.id, run.cause, run.who, run.backend, str(run.state), str(run.attempt), utc_text(run.asked_ms),
            _took(run), said,
        )  # fmt: skip
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False).print(table)


def _took(run: Run) -> str:
    seconds = ((run.ended_ms or rows.now_ms()) - run.asked_ms) // 1_000
    return "–" if run.refused else f"{seconds // 3_600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
