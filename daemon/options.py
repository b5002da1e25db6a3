"""What several of the daemon's commands share: their options, how they fail, and how they ask a running daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from configs import ConfigError
from daemon import control
from daemon.config import DaemonConfig, load_config

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FAILURE, NOT_RUNNING, CONFIGURATION, TIMEOUT, DATA = 1, 3, 4, 5, 7

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=CONFIGS / "sandbox.yaml", show_default=True,
    envvar="REGIMEN_CONFIG", help="Configuration file.",
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


def read_config(path: Path) -> DaemonConfig:
    """The configuration in a file; Told with each mistake's place."""
    try:
        return load_config(path)
    except ConfigError as error:
        raise Told("\n".join(error.lines), CONFIGURATION) from error


def ask(folder: Path, verb: str, hint: str = "") -> dict[str, Any]:
    """What the daemon of a state directory answers; Told if there is none, or it refuses."""
    try:
        reply = control.request(folder, verb)
    except control.NotRunning as error:
        raise Told(f"{error}{hint}", NOT_RUNNING) from error
    except control.NoAnswer as error:
        raise Told(str(error), TIMEOUT) from error
    if "error" in reply:
        raise Told(str(reply["error"]), FAILURE)
    return reply
