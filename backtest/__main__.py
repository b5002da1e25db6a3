"""`python -m backtest`: judge a model set by the daemon's own decisions over history."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from backtest.bars import BacktestError
from backtest.options import ARGUMENTS
from configs import ConfigError
from market.history import HistoryError
from market.instruments import InstrumentError
from models.modelset import ModelSetError

FAILURE = 1
BAD_DATA = 7
INTERRUPTED = 130
JUDGE = "judge"
COMMANDS = {
    JUDGE: "backtest.judge",
    "sweep": "backtest.sweep.command",
    "rules": "backtest.rules_study.command",
    "job": "backtest.job",
    "schema": "backtest.schema_command",
}
"""Where each command is; a module is imported when its command is asked for, since each brings much of its own."""


class _JudgeUnlessTold(click.Group):
    """Without the name of a command it is `judge`: `python -m backtest --model-set latest`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        if not args or args[0] not in COMMANDS:
            args = [JUDGE, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command: click.Command | None = getattr(import_module(COMMANDS[name]), name) if name in COMMANDS else None
        return command


backtest = _JudgeUnlessTold(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, turning each kind of error into its exit code; without arguments, the process's own."""
    try:
        backtest.main(arguments, prog_name="python -m backtest", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigError as error:
        _complain(error, ConfigError.exit_code)
    except (HistoryError, BacktestError, InstrumentError, ModelSetError) as error:
        _complain(error, BAD_DATA)
    except OSError as error:  # what was asked for cannot be written
        _complain(error, FAILURE)


def _complain(error: Exception, code: int) -> None:
    click.echo(f"backtest: {error}" if "\n" not in str(error) else str(error), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
