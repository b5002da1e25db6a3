"""The training command: `python -m training run --spec configs/training/small.yaml`."""

from __future__ import annotations

import os
import sys
from importlib import import_module

# Read when OpenMP starts: threads that wait must not burn a core of a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import click

INTERRUPTED = 130
COMMANDS = {
    "run": ("training.run_command", "run"),
    "ablate": ("training.ablation.command", "ablate"),
    "check": ("training.check_command", "check"),
    "diagnose": ("training.diagnosis.command", "command"),
    "job": ("training.job", "job"),
    "quality": ("training.quality.command", "quality"),
    "schema": ("training.schema_command", "schema"),
}
"""Where each command is; a module is imported when its command is asked for: how far a job is, is asked often."""


class _Commands(click.Group):
    """The commands, each found when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, command = COMMANDS[name]
        found: click.Command = getattr(import_module(module), command)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make model sets from kline history."""


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("training: interrupted; no set was written, and what was fitted is kept", err=True)
        sys.exit(INTERRUPTED)
