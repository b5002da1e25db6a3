"""The commands on jobs, which `python -m training` and `python -m backtest` offer alike: ``job run|start|status|…``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from market.priority import beside_option, give_way
from models.jobs import supervision
from models.jobs.folder import JobError, prune, request_of
from models.jobs.running import carry_out

FAILURE, TIMEOUT, INTERRUPTED = 1, 5, 130
_CODES = {"done": 0, "failed": FAILURE, "timeout": TIMEOUT, "canceled": INTERRUPTED, "interrupted": INTERRUPTED}
_folder = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
_keep = click.option("--keep", type=click.IntRange(1), help="Remove finished jobs beside it, but for so many.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
how_option = click.option(
    "--how",
    type=click.Choice(supervision.WAYS),
    default="process",
    show_default=True,
    help="process: a session of its own. systemd: a transient unit of the user's systemd. unit: left to a path unit.",
)


def group(module: str) -> click.Group:
    """The group `job` of the program `module`, ``training`` or ``backtest``."""

    @click.group(name="job")
    def job() -> None:
        """Carry out work that was asked for by a folder: request.json in, log and result.json out.

        \b
        Exit codes: 0 done, 1 failed, 2 usage, 5 timed out, 130 canceled or interrupted.
        """

    @job.command()
    @_folder
    @_keep
    @beside_option
    @_json
    @said(module)
    def run(folder: Path, keep: int | None, beside: bool, as_json: bool) -> None:
        """Do what DIR/request.json says, here and now; Ctrl-C cancels it, SIGTERM interrupts it."""
        _own(module, folder)
        if keep is not None:
            prune(folder.resolve().parent, keep)
        if beside:
            give_way()
        result = carry_out(folder)
        if as_json:  # else nothing: this is written to the log, which is all there when the result is
            _tell(supervision.state(folder), as_json)
        sys.exit(_CODES[result.outcome])

    @job.command()
    @_folder
    @how_option
    @_keep
    @beside_option
    @_json
    @said(module)
    def start(folder: Path, how: supervision.How, keep: int | None, beside: bool, as_json: bool) -> None:
        """Have it done beside this command, which ends when the work is taken; once is enough."""
        _own(module, folder)
        if keep is not None:
            prune(folder.resolve().parent, keep)
        supervision.start(folder, how, beside=beside)
        _tell(supervision.state(folder), as_json)

    @job.command()
    @_folder
    @_json
    @said(module)
    def status(folder: Path, as_json: bool) -> None:
        """How far it is."""
        _tell(supervision.state(folder), as_json)

    @job.command()
    @_folder
    @_json
    @said(module)
    def cancel(folder: Path, as_json: bool) -> None:
        """Tell it to end, if it is not over."""
        supervision.cancel(folder)
        _tell(supervision.state(folder), as_json)

    @job.command()
    @click.argument("jobs", type=click.Path(path_type=Path), metavar="JOBS")
    @beside_option
    @said(module)
    def pending(jobs: Path, beside: bool) -> None:
        """Do what waits in the folder JOBS, one after another: what the path unit's service runs."""
        if beside:
            give_way()
        for line in supervision.pending(jobs, module):
            click.echo(line)

    return job


def said(module: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say what went wrong with a job in a line, and end with its code."""

    def with_errors(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def careful(*args: Any, **others: Any) -> None:
            try:
                command(*args, **others)
            except (JobError, OSError) as error:
                click.echo(f"{module}: {error}", err=True)
                sys.exit(FAILURE)

        return careful

    return with_errors


def _own(module: str, folder: Path) -> None:
    """Refuse work that the other program does."""
    owner = supervision.MODULES[request_of(folder).work.kind]
    if owner != module:
        raise click.UsageError(f"{folder} is work for `python -m {owner} job`")


def _tell(state: supervision.State, as_json: bool) -> None:
    click.echo(supervision.as_json(state) if as_json else f"{state.phase}{': ' if state.text else ''}{state.text}")
