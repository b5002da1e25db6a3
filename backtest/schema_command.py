"""`python -m backtest schema`: the JSON Schema of the gate's thresholds, kept beside them."""

from __future__ import annotations

import sys

import click

from backtest.gate.config import SCHEMA, GateConfig
from configs import schema_is_current, write_schema

FAILURE = 1


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the file is current (exit 1 if not).")
def schema(check: bool) -> None:
    """Write the JSON Schema of configs/gate.yaml beside it."""
    if not check:
        write_schema(GateConfig, SCHEMA)
    elif not schema_is_current(GateConfig, SCHEMA):
        click.echo(f"backtest: {SCHEMA} is not current; run `python -m backtest schema`", err=True)
        sys.exit(FAILURE)
