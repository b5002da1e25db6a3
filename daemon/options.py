"""Options: what the daemon's commands ask alike, where they find its state, and how they say what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from configs import ConfigError
from daemon import control
from daemon.config import DaemonConfig, load_config

if TYPE_CHECKING:
    from daemon.lifecycle.book import Book

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
JOURNAL = "journal.sqlite"
FAILURE, NOT_RUNNING, CONFIGURATION, TIMEOUT, REFUSED, DATA = 1, 3, 4, 5, 6, 7

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=CONFIGS / "sandbox.yaml", show_default=True,
    envvar="REGIMEN_CONFIG", help="Configuration file.",
)  # fmt: skip
rehearsal_option = click.option(
    "--rehearsal", is_flag=True, expose_value=False, callback=lambda context, _, on: context.meta.update(rehearsal=on),
    help="Of the last rehearsal (make run), which has a state directory of its own.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


class Told(click.ClickException):
    """A failure that says what, where and what to do, with its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(line, err=True)


def config_of(path: Path) -> DaemonConfig:
    """The configuration in a file; what is wrong in it ends the command."""
    try:
        return load_config(path)
    except ConfigError as error:
        raise Told("\n".join(error.lines), CONFIGURATION) from error


def state_dir(path: Path) -> Path:
    """The state directory that is asked about: the configuration's, or with --rehearsal the rehearsal's beside it."""
    config = config_of(path)
    return config.rehearsal_dir if click.get_current_context().meta.get("rehearsal") else config.state_dir


def rehearsed(path: Path) -> str:
    """A hint, where a rehearsal was beside the state directory."""
    folder = config_of(path).rehearsal_dir
    asked = click.get_current_context().meta.get("rehearsal")
    return (
        "" if asked or not (folder / JOURNAL).exists() else f"\n{folder} is a rehearsal's: --rehearsal asks about that"
    )


def ask(path: Path, verb: str, args: dict[str, Any] | None = None, section: str = "") -> dict[str, Any]:
    """What a running daemon answers; that none runs, or that it refuses, ends the command.

    `section` is the one of the configuration without which a daemon does not know the verb.
    """
    try:
        reply = control.request(state_dir(path), verb, args=args)
    except control.NotRunning as error:
        raise Told(f"{error}{rehearsed(path)}", NOT_RUNNING) from error
    except control.NoAnswer as error:
        raise Told(str(error), TIMEOUT) from error
    if section and str(reply.get("error")).startswith(control.UNKNOWN):
        raise Told(f"this daemon does no such thing: its configuration has no section {section}", FAILURE)
    if reply.get("error"):  # a run's row names the error it has not had
        raise Told(str(reply["error"]), int(reply.get("code", FAILURE)))
    return reply


@contextmanager
def book_of(path: Path) -> Iterator[Book]:
    """The lifecycle's book of a configuration's state directory; that there is none to be used ends the command."""
    from daemon.lifecycle.book import Book
    from daemon.lifecycle.schema import DATABASE, FILE
    from daemon.migrations.standing import State, stands

    folder = state_dir(path)
    if not (folder / FILE).is_file():
        raise Told(f"{folder} holds no {FILE}; no daemon ever ran there{rehearsed(path)}", DATA)
    if (standing := stands(DATABASE, folder / FILE)).state in (State.NEWER, State.UNREADABLE):
        raise Told(standing.text, FAILURE)
    book = Book(folder)
    try:
        yield book
    finally:
        book.close()
