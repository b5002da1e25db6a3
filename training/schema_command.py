"""`python -m training schema`: the JSON Schema of specs, for editors and for those who wonder what may be written."""

from __future__ import annotations

from pathlib import Path

import click

from configs import schema_is_current, write_schema
from training.failures import FAILURE, fail
from training.spec import TrainingSpec

SCHEMA = Path(__file__).resolve().parent.parent / "configs" / "training" / "training.schema.json"


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the file is current (exit 1 if not).")
def schema(check: bool) -> None:
    """Write the JSON Schema of training specs beside them."""
    if not check:
        write_schema(TrainingSpec, SCHEMA)
    elif not schema_is_current(TrainingSpec, SCHEMA):
        fail(f"{SCHEMA} is not current; run `python -m training schema`", FAILURE)
