"""`python -m market`: bring history home, check a history file, or write a synthetic one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from configs import schema_is_current, write_schema
from market import arguments, history, synthetic
from market.aggregate import AggregationError
from market.agreement import agreement
from market.candles import Candles
from market.download.command import download
from market.download.gather_command import gather_command
from market.download.recorded import TOLERATED
from market.exchange.faults.scenario import Scenario
from market.funding import Funding
from market.history import HistoryError, Problem
from market.instruments import InstrumentError
from market.timeframes import Timeframe, TimeframeError, utc_text

FAILURE, BAD_DATA, INTERRUPTED = 1, 7, 130
SCHEMA = Path(__file__).resolve().parent.parent / "configs" / "faults.schema.json"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def market() -> None:
    """Kline history: download it, look for damage in a file, or make one.

    \b
    Exit codes: 0 done, 1 a source did not answer or a file could not be written, 2 usage, 7 data missing or broken.
    """


market.add_command(download)
market.add_command(gather_command)


@market.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timeframe", callback=arguments.timeframe, help="What the candles must be; default: their most common spacing."
)
@click.option("--show", type=click.IntRange(min=0), default=10, show_default=True, help="Faults of each kind to print.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, with every fault.")
def check(file: Path, timeframe: Timeframe | None, show: int, as_json: bool) -> None:
    """Look for gaps, duplicates, disorder and impossible values in the parquet FILE.

    FILE holds candles (open_time, open, high, low, close, volume and, where known, quote_volume, trades, taker_base,
    taker_quote) or funding (funding_time, funding_rate). Each fault is reported with its UTC time. Gaps are reported
    and allowed, for exchanges have outages; anything else is damage, and the exit code is 7.

    \b
    Examples:
      python -m market check BTCUSDT-15m.parquet
      python -m market check BTCUSDT-15m.parquet --timeframe 15m --json | jq .gaps
    """
    try:
        if history.holds_funding(file):
            findings = _funding_findings(history.read_funding(file))
        else:
            findings = _candle_findings(history.read_unchecked(file, timeframe))
    except HistoryError as error:
        findings = {"sound": False, "error": str(error).splitlines()[0], "faults": _plain(error.problems)}
    if as_json:
        click.echo(json.dumps({"file": str(file)} | findings))
    else:
        _print_findings(file, findings, show)
    if not findings["sound"]:
        sys.exit(BAD_DATA)


@market.command()
@click.argument("longer", type=click.Path(path_type=Path))
@click.argument("shorter", type=click.Path(path_type=Path))
@click.option(
    "--tolerate",
    type=click.IntRange(min=0),
    default=TOLERATED,
    show_default=True,
    help="Candles that may differ before the exit code is 7.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(longer: Path, shorter: Path, tolerate: int, as_json: bool) -> None:
    """Check the candles of LONGER against those that SHORTER's of the same market add up to.

    \b
    Example:
      python -m market compare BTCUSDT-um-1h.parquet BTCUSDT-um-15m.parquet
    """
    try:
        found = agreement(history.read(longer), history.read(shorter))
    except (HistoryError, TimeframeError, AggregationError) as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_DATA)
    told = [str(disagreement) for disagreement in found.disagreements]
    for line in told:
        click.echo(line, err=True)
    if as_json:
        click.echo(json.dumps({"compared": found.compared, "differing": found.differing, "differences": told}))
    else:
        click.echo(f"{found.compared:,} candles compared, {found.differing:,} differ")
    if found.differing > tolerate:
        click.echo(
            f"{found.differing} of {found.compared} candles differ between {longer} and {shorter}, and {tolerate} are "
            f"tolerated; fetch the file that is wrong again, or raise --tolerate",
            err=True,
        )
        sys.exit(BAD_DATA)


@market.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Parquet file to write.")
@click.option("--bars", type=click.IntRange(min=1), default=20_000, show_default=True, help="Number of candles.")
@click.option("--timeframe", callback=arguments.timeframe, default="15m", show_default=True, help="1m, 15m, 1h, ...")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same market."
)
@click.option(
    "--signal",
    type=click.FloatRange(0, 1),
    default=synthetic.SIGNAL,
    show_default=True,
    help="Strength of the planted drift: 0 leaves nothing to learn; 0.5 an AUC of about 0.6 over 5 hours.",
)
@click.option("--symbol", default="BTCUSDT", show_default=True, help="Symbols of one seed are correlated.")
@click.option(
    "--start", callback=arguments.instant, default="2024-01-01", show_default=True, help="First open time, UTC."
)
@click.option(
    "--funding-out", type=click.Path(path_type=Path, dir_okay=False), help="Write the funding rates here too."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def synth(
    out: Path,
    bars: int,
    timeframe: Timeframe,
    seed: int,
    signal: float,
    symbol: str,
    start: int,
    funding_out: Path | None,
    as_json: bool,
) -> None:
    """Write the synthetic market's candles, and its funding, to parquet files.

    Seeded: regime-switching volatility, fat tails, gaps, volume, taker flow, and a drift of known strength that the
    past gives away. Files that exist are replaced.

    \b
    Examples:
      python -m market synth --out btc.parquet --bars 80000 --timeframe 15m --seed 7
      python -m market synth --out eth.parquet --symbol ETHUSDT --seed 7 --funding-out eth-funding.parquet
    """
    try:
        candles, funding = synthetic.generate(
            symbol, bars=bars, timeframe=timeframe, seed=seed, signal=signal, start_ms=start
        )
    except (synthetic.SyntheticError, InstrumentError) as error:
        raise click.UsageError(str(error)) from error
    try:
        history.write(candles, out)
        if funding_out is not None:
            history.write(funding, funding_out)
    except OSError as error:
        click.echo(f"cannot write {error.filename or out}: {error.strerror or error}", err=True)
        sys.exit(FAILURE)
    told = {"file": str(out), "symbol": symbol, "seed": seed, "signal": signal} | _extent(candles)
    if funding_out is not None:
        told |= {"funding_file": str(funding_out), "funding_instants": len(funding)}
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(f"{out}: {_extent_text(told)}, seed {seed}, signal {signal:g}")
        if funding_out is not None:
            click.echo(f"{funding_out}: {len(funding):,} funding instants")


@market.command()
@click.option("--check", is_flag=True, help="Only say whether it is current.")
def schema(check: bool) -> None:
    """Write the JSON Schema of the local exchange's fault scenarios."""
    if not check:
        write_schema(Scenario, SCHEMA)
    elif not schema_is_current(Scenario, SCHEMA):
        click.echo(f"{SCHEMA} is not current; run `make schema`", err=True)
        sys.exit(FAILURE)


def _candle_findings(candles: Candles) -> dict[str, Any]:
    report = history.check(candles)
    return {"sound": not report.damage} | _extent(candles) | {kind: _plain(found) for kind, found in report}


def _funding_findings(funding: Funding) -> dict[str, Any]:
    times = {"first": utc_text(int(funding.time[0])), "last": utc_text(int(funding.time[-1]))}
    return {"sound": True, "funding_instants": len(funding)} | times


def _extent(candles: Candles) -> dict[str, Any]:
    times = candles.open_time
    first, last = utc_text(int(times.min())), utc_text(int(times.max()))
    return {"candles": len(candles), "timeframe": str(candles.timeframe), "first": first, "last": last}


def _extent_text(findings: dict[str, Any]) -> str:
    span = f"from {findings['first']} to {findings['last']}"
    if "candles" in findings:
        return f"{findings['candles']:,} {findings['timeframe']} candles {span}"
    return f"{findings['funding_instants']:,} funding instants {span}"


def _plain(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"time": utc_text(p.time), "what": p.what} for p in problems]


def _print_findings(file: Path, findings: dict[str, Any], show: int) -> None:
    if "error" in findings:
        click.echo(findings["error"], err=True)
    else:
        click.echo(f"{file}: {_extent_text(findings)}")
    for kind in ("gaps", "duplicates", "disorder", "impossible", "faults"):
        found = findings.get(kind, [])
        if found:
            click.echo(f"{kind}: {len(found)}")
        for problem in found[:show]:
            click.echo(f"  {problem['time']}  {problem['what']}")
        if len(found) > show:
            click.echo(f"  and {len(found) - show} more; --show {len(found)} prints them")
    if findings["sound"]:
        click.echo("sound" + (", with gaps" if findings.get("gaps") else ""))
    elif "error" not in findings:
        click.echo("broken: fetch or repair the file before using it", err=True)


def main() -> None:
    """Run the command; interrupted, exit as shells expect."""
    try:
        market.main(prog_name="python -m market", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
