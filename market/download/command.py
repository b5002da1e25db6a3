"""`python -m market history`: bring candles and funding up to date, or join what a daemon recorded."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from market import arguments, history
from market.catalogue import symbol_of
from market.download import recorded
from market.download.api import Api
from market.download.archive import ARCHIVE, Archive
from market.download.update import Outcome, Source, update_candles, update_funding, whole_span
from market.history import HistoryError
from market.progress import Steps
from market.timeframes import Timeframe, utc_text

FAILURE = 1
SHOWN = 10


@click.command("history")
@click.option("--symbol", callback=arguments.symbol, default="BTCUSDT", show_default=True, help="The exchange's name.")
@click.option("--timeframe", callback=arguments.timeframe, default="1h", show_default=True, help="1m, 15m, 1h, ...")
@click.option("--from", "start", callback=arguments.instant, metavar="TIME", help="First open time, UTC [the first].")
@click.option("--to", "end", callback=arguments.instant, metavar="TIME", help="First time no longer wanted [now].")
@click.option(
    "--source",
    type=click.Choice([source.value for source in Source]),
    default=Source.AUTO.value,
    show_default=True,
    help="auto: whole months from the archive, the rest from the exchange.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Parquet file to update [SYMBOL-um-TIMEFRAME.parquet].",
)
@click.option("--funding-out", type=click.Path(path_type=Path, dir_okay=False), help="Update funding rates here too.")
@click.option(
    "--join",
    "state_dir",
    type=click.Path(path_type=Path),
    help="Download nothing: join the candles that the daemon of this state directory recorded.",
)
@click.option(
    "--tolerate",
    type=click.IntRange(min=0),
    default=recorded.TOLERATED,
    show_default=True,
    help="With --join: candles that may differ from the file's before nothing is joined.",
)
@click.option("--api-url", envvar="REGIMEN_API_URL", show_envvar=True, help="Another exchange that speaks the same.")
@click.option("--archive-url", envvar="REGIMEN_ARCHIVE_URL", show_envvar=True, default=ARCHIVE, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def download(
    symbol: str,
    timeframe: Timeframe,
    start: int | None,
    end: int | None,
    source: str,
    out: Path | None,
    funding_out: Path | None,
    state_dir: Path | None,
    tolerate: int,
    api_url: str | None,
    archive_url: str,
    as_json: bool,
) -> None:
    """Download klines, and funding, of a USDT-M perpetual into parquet files: only what they lack.

    Quote volume, trades and taker flow are kept. Archive files are used only if their SHA-256 is right. What a file
    holds is never changed; a download that was cut goes on from there. The candle that is forming is never written,
    and stretches that no source has are named.

    \b
    Examples:
      python -m market history --symbol BTCUSDT --timeframe 15m --from 2020-01-01 --funding-out BTCUSDT-funding.parquet
      python -m market history --symbol ETHUSDT --source archive --from 2023-01-01 --to 2024-01-01
      python -m market history --symbol BTCUSDT --join var/daemon --out BTCUSDT-um-1h.parquet
    """
    out = out or Path(f"{symbol}-um-{timeframe}.parquet")
    for path in (out, funding_out):
        if path is not None and (named := symbol_of(path)) not in (None, symbol):
            raise click.UsageError(f"{path} is named after {named}, and --symbol is {symbol}; give another file")
        if path is not None and not path.parent.is_dir():
            raise click.UsageError(f"no folder {path.parent}; make it first")
    _check_times(start, end)
    if source == Source.ARCHIVE and start is None:
        raise click.UsageError("--source archive needs --from: the archive does not say where it starts")
    steps = Steps()
    try:
        if state_dir is not None:
            told = _join(state_dir, symbol, timeframe, out, tolerate, steps)
        else:
            api = None if source == Source.ARCHIVE else Api(api_url)
            archive = None if source == Source.API else Archive(archive_url)
            span = whole_span(symbol, timeframe, start, end, api)
            told = _candles_told(out, *update_candles(out, symbol, timeframe, span, api, archive, steps))
            if funding_out is not None:
                rates, outcome = update_funding(funding_out, symbol, span, api, archive, steps)
                told["funding"] = _told(funding_out, outcome) | {"instants": 0 if rates is None else len(rates)}
    except HistoryError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"cannot write {error.filename or out}: {error.strerror or error}", err=True)
        sys.exit(FAILURE)
    told = {"symbol": symbol, "timeframe": str(timeframe)} | told
    if as_json:
        click.echo(json.dumps(told))
    else:
        _print(told)


def _check_times(start: int | None, end: int | None) -> None:
    """A stretch that no source can have is judged before one is asked."""
    if start is None:
        return
    if end is not None and start >= end:
        raise click.UsageError(f"--from {utc_text(start)} is not before --to {utc_text(end)}")
    if start > time.time_ns() // 1_000_000:
        raise click.UsageError(f"--from {utc_text(start)} is in the future")


def _join(state_dir: Path, symbol: str, timeframe: Timeframe, out: Path, tolerate: int, steps: Steps) -> dict[str, Any]:
    held = history.read(out, timeframe) if out.exists() else None
    candles, live = recorded.read(state_dir, symbol, timeframe)
    joined = recorded.join(held, candles, live)
    for difference in joined.differences:
        click.echo(str(difference), err=True)
    if joined.differing > tolerate:
        raise HistoryError(
            f"{joined.differing} of {joined.compared} candles that both have differ, and {tolerate} are tolerated: "
            f"nothing was joined. Check that {out} is of the same exchange and market, or raise --tolerate"
        )
    if joined.added:
        history.write(joined.candles, out)
    gaps = [str(gap) for gap in history.check(joined.candles).gaps]
    return {
        "file": str(out), "candles": len(joined.candles), "recorded": len(candles), "joined": joined.added,
        "compared": joined.compared, "differing": joined.differing, "known_to_one_side": joined.partial,
        "differences": [str(d) for d in joined.differences], "missing": gaps,
    }  # fmt: skip


def _candles_told(out: Path, candles: Any, outcome: Outcome) -> dict[str, Any]:
    told = _told(out, outcome) | {"candles": 0 if candles is None else len(candles)}
    if candles is not None:
        times = candles.open_time
        told |= {"first": utc_text(int(times[0])), "last": utc_text(int(times[-1]))}
    return told


def _told(path: Path, outcome: Outcome) -> dict[str, Any]:
    spans = [str(span) for span in outcome.missing]
    return {"file": str(path), "archived": outcome.archived, "asked": outcome.asked, "missing": spans}


def _print(told: dict[str, Any]) -> None:
    if "joined" in told:
        click.echo(
            f"{told['file']}: {told['candles']:,} {told['timeframe']} candles, {told['joined']:,} of them joined; "
            f"{told['compared']:,} compared, {told['differing']:,} differ"
        )
    else:
        span = f" from {told['first']} to {told['last']}" if "first" in told else ""
        click.echo(f"{told['file']}: {told['candles']:,} {told['timeframe']} candles{span}; {_came(told)}")
    _print_missing(told["missing"])
    if funding := told.get("funding"):
        click.echo(f"{funding['file']}: {funding['instants']:,} funding instants; {_came(funding)}")
        _print_missing(funding["missing"])


def _came(told: dict[str, Any]) -> str:
    return f"{told['archived']:,} new from the archive, {told['asked']:,} from the exchange"


def _print_missing(spans: list[str]) -> None:
    for span in spans[:SHOWN]:
        click.echo(f"  missing: {span}")
    if len(spans) > SHOWN:
        click.echo(f"  and {len(spans) - SHOWN} more; --json names all")
