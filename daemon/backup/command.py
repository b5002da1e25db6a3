"""``python -m daemon backup`` and ``restore``: what a state directory holds, into one file and back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from daemon.options import DATA, FAILURE, Told, config_of, config_option, json_option, rehearsal_option, state_dir


@click.command()
@config_option
@rehearsal_option
@json_option
@click.option("--out", type=click.Path(path_type=Path), help="File (.tar), or a folder.  [default: as configured]")
@click.option("--candles", is_flag=True, help="With the recorded candles, which can be downloaded again.")
def backup(path: Path, as_json: bool, out: Path | None, candles: bool) -> None:
    """Write one file with journal, lifecycle and deployment, each as of one instant, a daemon running or not.

    Configuration, keys and model sets are not in it.
    """
    from daemon.backup.archive import BackupError, DamagedError
    from daemon.backup.taking import take

    section = config_of(path).backup
    out = out or (section.folder if section else None)
    try:
        taken = take(state_dir(path), out, candles)
    except BackupError as error:
        raise Told(str(error), DATA if isinstance(error, DamagedError) else FAILURE) from error
    manifest = taken.manifest
    if as_json:
        told = {"file": str(taken.path), "manifest": manifest.model_dump(), "left_out": taken.left_out}
        click.echo(json.dumps(told))
        return
    size = sum(member.bytes for member in manifest.files.values())
    click.echo(
        f"{taken.path}: {', '.join(manifest.files)}; {size / 2**20:,.1f} MiB of deployment {manifest.deployment}"
    )
    for why in taken.left_out:
        click.echo(f"left out: {why}", err=True)


@click.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@config_option
@json_option
def restore(archive: Path, path: Path, as_json: bool) -> None:
    """Put a backup back into the state directory, while no daemon runs; what is there is moved aside, and kept."""
    from daemon.backup.archive import BackupError, DamagedError
    from daemon.backup.restoring import restore as put_back

    folder = state_dir(path)
    try:
        done = put_back(archive, folder)
    except BackupError as error:
        raise Told(str(error), DATA if isinstance(error, DamagedError) else FAILURE) from error
    manifest, aside = done.manifest, done.aside and str(done.aside)
    if as_json:
        told = {"state_dir": str(folder), "aside": aside, "other": done.other, "manifest": manifest.model_dump()}
        click.echo(json.dumps(told))
        return
    click.echo(f"{folder}: {', '.join(manifest.files)} as of {manifest.made} UTC, deployment {manifest.deployment}")
    if aside:
        click.echo(f"what was there is in {aside}")
    if done.other:
        click.echo(
            f"it was deployment {done.other}: orders that it left at the exchange are taken for another deployment's, "
            f"and trading halts; cancel them at the exchange, then `resume`"
        )
    click.echo("the next start reconciles with the exchange: positions, orders and executions are taken from there")


COMMANDS = (backup, restore)
