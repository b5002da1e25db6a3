"""``python -m daemon migrate``: bring the files of a state directory up to date before a start, or only look."""

from __future__ import annotations

import json
from pathlib import Path

import click

from daemon.options import FAILURE, Told, config_option, json_option, rehearsal_option, state_dir


@click.command()
@config_option
@rehearsal_option
@json_option
@click.option("--check", is_flag=True, help="Only look; 1 if a start would have something to do, or be refused.")
@click.option(
    "--before-start", is_flag=True,
    help="For a unit, before `run`: of a file that a daemon can do without, trouble is told and no failure.",
)  # fmt: skip
def migrate(path: Path, as_json: bool, check: bool, before_start: bool) -> None:
    """Bring the databases of the state directory up to date, as each start does; each is copied first.

    A database of a newer version is refused, and nothing is touched.
    """
    from daemon.backup.archive import BackupError
    from daemon.backup.restoring import finish
    from daemon.migrations.database import MigrationError
    from daemon.migrations.standing import NEEDED, State, Upgraded, look, upgrade_all, upgrade_before_start

    if check and before_start:
        raise click.UsageError("--check only looks, and --before-start migrates; give one of them")
    folder = state_dir(path)
    done: list[Upgraded] = []
    trouble: list[str] = []
    try:
        if not check:
            finish(folder)
        if before_start:
            done, trouble = upgrade_before_start(folder)
        elif not check:
            done = upgrade_all(folder)
    except (MigrationError, BackupError) as error:
        raise Told(str(error), FAILURE) from error
    for text in trouble:
        click.echo(f"warning: {text}; left as it is, `run` decides whether it starts with the loop off", err=True)
    found = look(folder, NEEDED) if before_start else look(folder)
    if as_json:
        upgraded = [{"file": str(u.path), "from": u.old, "to": u.new, "copy": str(u.copy)} for u in done]
        click.echo(json.dumps({"databases": [s.told() for s in found], "upgraded": upgraded, "trouble": trouble}))
    else:
        for each in done:
            click.echo(f"{each.path}: brought from version {each.old} to {each.new}; as it was: {each.copy}")
        for standing in found:
            click.echo(f"{standing.database.name}: {standing.text}")
    if any(s.state not in (State.CURRENT, State.MISSING) for s in found):
        click.get_current_context().exit(FAILURE)


COMMANDS = (migrate,)
