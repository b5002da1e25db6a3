"""Failures: what went wrong with a training command, in a line, and the exit code for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from configs import ConfigError
from market.history import HistoryError
from market.synthetic import SyntheticError
from models.features import FeatureError
from models.modelset import ModelSetError
from training.data import DataError

FAILURE, CONFIGURATION, DATA, INTERRUPTED = 1, 4, 7, 130


def fail(message: str, code: int) -> NoReturn:
    """Say it on stderr, and end."""
    click.echo(f"training: {message}", err=True)
    sys.exit(code)


@contextmanager
def failures() -> Iterator[None]:
    """Turn the errors of a run into a line and an exit code."""
    try:
        yield
    except (ConfigError, FeatureError) as error:
        fail(str(error), CONFIGURATION)
    except (DataError, HistoryError, SyntheticError) as error:
        fail(str(error), DATA)
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed; `make setup` installs what training needs", FAILURE)
    except (ModelSetError, OSError, RuntimeError) as error:
        fail(str(error), FAILURE)
