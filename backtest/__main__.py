"""`python -m backtest`: judge a model set by the daemon's own decisions over history."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from backtest.bars import BacktestError
from backtest.judge import judge
from backtest.options import ARGUMENTS
from backtest.schema_command import schema
from backtest.sweep.command import sweep
from configs import ConfigError
from market.history import HistoryError
from market.instruments import InstrumentError
from models.modelset import ModelSetError

BAD_DATA = 7
INTERRUPTED = 130
COMMANDS = (judge, sweep, schema)


class _JudgeUnlessTold(click.Group):
    """Without the name of a command it is `judge`: `python -m backtest --model-set latest`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = tuple(args)
        if not args or args[0] not in self.commands:
            args = [judge.name or "judge", *args]
        return super().parse_args(ctx, args)


backtest = _JudgeUnlessTold(
    commands=list(COMMANDS), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)


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


def _complain(error: Exception, code: int) -> None:
    click.echo(f"backtest: {error}" if "\n" not in str(error) else str(error), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
