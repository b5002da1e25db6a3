"""`python -m training job`: training that was asked for by a folder."""

from __future__ import annotations

from pathlib import Path

import click

from models.jobs import probe as machine
from models.jobs.command import group, how_option, said
from models.jobs.supervision import How

job = group("training")


@job.command()
@click.argument("jobs", type=click.Path(path_type=Path), metavar="JOBS")
@how_option
@said("training")
def probe(jobs: Path, how: How) -> None:
    """Say what this machine has, if it can train into the folder JOBS; exit code 1 if it cannot."""
    click.echo(machine.probe(jobs, how))
