"""`python -m training check`: whether a spec can be trained, said in a second and before anything is."""

from __future__ import annotations

import json
from pathlib import Path

import click

from configs import load
from training.failures import failures
from training.spec import TrainingSpec


@click.command()
@click.option("--spec", "spec_file", required=True, type=click.Path(path_type=Path), help="The spec (YAML).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def check(spec_file: Path, as_json: bool) -> None:
    """Read a spec as a run would: every key, value and name of a feature. Needs no torch, and no history.

    \b
    Exit codes: 0 it can be trained, 2 usage, 4 the spec is wrong.
    """
    with failures():
        spec = load(spec_file, TrainingSpec)
    finer = None if spec.lstm15m is None else spec.lstm15m.timeframe
    members = ["lightgbm", *spec.networks, *([] if finer is None else ["lstm15m"])]
    if as_json:
        told = {
            "name": spec.name, "members": members, "venue": spec.data.venue, "timeframe": spec.data.timeframe,
            "finer": finer, "cost": spec.labels.cost,
        }  # fmt: skip
        click.echo(json.dumps(told))
        return
    beside = "" if finer is None else f", and {finer} ones beside them"
    click.echo(f"{spec.name}: {', '.join(members)}, on {spec.data.timeframe} candles of {spec.data.venue}{beside}")
