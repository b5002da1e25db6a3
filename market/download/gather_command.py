"""`python -m market gather`: history for a training or a judgement, fresh, checked and hashed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from market import arguments
from market.download import recorded
from market.download.api import Api
from market.download.archive import ARCHIVE, Archive
from market.download.gathering import Wanted, gather
from market.download.update import Source
from market.history import HistoryError
from market.priority import beside_option, give_way
from market.progress import Steps
from market.timeframes import Timeframe, TimeframeError

FAILURE = 1
NONE = "none"


def _timeframes(ctx: click.Context, param: click.Parameter, text: str) -> tuple[Timeframe, ...]:
    try:
        found = tuple(Timeframe.parse(part) for part in text.split(","))
        for shorter in found[1:]:
            found[0].ratio(shorter)
    except TimeframeError as error:
        raise click.BadParameter(str(error)) from error
    return found


@click.command("gather")
@click.option("--symbol", callback=arguments.symbol, default="BTCUSDT", show_default=True, help="The exchange's name.")
@click.option(
    "--timeframes", callback=_timeframes, default="1h", show_default=True, help="The decision's, then shorter ones."
)
@click.option(
    "--from", "start", callback=arguments.instant, required=True, metavar="TIME", help="First open time, UTC."
)
@click.option(
    "--source",
    type=click.Choice([*(source.value for source in Source), NONE]),
    default=Source.AUTO.value,
    show_default=True,
    help="auto: whole months from the archive, the rest from the exchange. none: nothing is downloaded.",
)
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where downloads are kept."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the files go.")
@click.option("--join", "state_dir", type=click.Path(path_type=Path), help="State directory whose recording is joined.")
@click.option("--companion", callback=arguments.symbol, help="Another symbol whose candles go along.")
@click.option("--funding", is_flag=True, help="Funding rates go along.")
@click.option(
    "--tolerate",
    type=click.IntRange(min=0),
    default=recorded.TOLERATED,
    show_default=True,
    help="Candles that two sources may disagree about before nothing is given.",
)
@click.option("--api-url", envvar="REGIMEN_API_URL", show_envvar=True, help="Another exchange that speaks the same.")
@click.option("--archive-url", envvar="REGIMEN_ARCHIVE_URL", show_envvar=True, default=ARCHIVE, show_default=True)
@beside_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def gather_command(
    symbol: str, timeframes: tuple[Timeframe, ...], start: int, source: str, folder: Path, out: Path,
    state_dir: Path | None, companion: str | None, funding: bool, tolerate: int, api_url: str | None, archive_url: str,
    beside: bool, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Bring history up to date, join what a daemon recorded, check them against one another, and hash the files.

    What is downloaded stays in the folder, and is only added to. What the daemon recorded goes into the files alone.

    \b
    Example:
      python -m market gather --timeframes 1h,15m --from 2020-01-01 --funding --folder var/history --out inputs \\
        --join var/daemon
    """
    if beside:
        give_way()
    wanted = Wanted(symbol, timeframes, start, folder, out, state_dir, companion, funding, tolerate)
    try:
        api = None if source in (Source.ARCHIVE, NONE) else Api(api_url)
        archive = None if source in (Source.API, NONE) else Archive(archive_url)
        made = gather(wanted, api, archive, Steps(quiet=quiet))
    except HistoryError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"cannot write {error.filename or out}: {error.strerror or error}", err=True)
        sys.exit(FAILURE)
    if as_json:
        told = {
            "data": [str(file) for file in made.data],
            "funding": made.funding and str(made.funding),
            "companion": made.companion and str(made.companion),
            "hashes": made.hashes,
            "told": made.told,
        }
        click.echo(json.dumps(told))
    else:
        for line in made.told:
            click.echo(line)
        for name, sha in made.hashes.items():
            click.echo(f"{sha}  {name}")
