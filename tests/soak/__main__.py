"""`python -m tests.soak`: a million frames at full speed in a storm of faults.

Prints frames a second and the memory of the daemon, and exits 0, or 1 if an exception went unhandled, memory grew, or
a candle was missed, doubled or wrong.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from tests.daemon.journal_replay import differences
from tests.soak.findings import candles, counts, curve, growth, unhandled
from tests.soak.soak import Soak, Soaked, SoakError

ROOT = Path(__file__).resolve().parent.parent.parent
GROWTH = 0.05


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--frames", "-N", "frames", default=1_000_000, show_default=True, type=click.IntRange(1_000), help="Kline frames."
)
@click.option("--symbols", default=10, show_default=True, type=click.IntRange(1, 15), help="How many.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the markets and the faults.")
@click.option("--folder", type=click.Path(path_type=Path), help="Work folder [var/soak].")
@click.option("--picture", type=click.Path(path_type=Path), help="Where the memory curve goes [FOLDER/memory.svg].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(frames: int, symbols: int, seed: int, folder: Path | None, picture: Path | None, as_json: bool) -> None:
    """A million frames at full speed in a storm of faults: nothing unhandled, nothing missed, nothing grows."""
    folder = folder or ROOT / "var" / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    soak = Soak(folder, symbols, frames, seed)
    try:
        seen = soak.run(lambda so_far: _progress(so_far, frames))
        told = _findings(soak, seen)
    except SoakError as error:
        raise click.ClickException(str(error)) from error
    finally:
        soak.close()
    (picture or folder / "memory.svg").write_text(curve(seen.memory))
    told |= {"seed": seed, "symbols": symbols, "whole_seconds": round(time.monotonic() - began, 1)}
    if as_json:
        click.echo(json.dumps(told))
    else:
        _print(told, picture or folder / "memory.svg")
    sys.exit(1 if told["wrong"] else 0)


def _findings(soak: Soak, seen: Soaked) -> dict[str, Any]:
    grown, errors = growth(seen.memory), unhandled(soak.log)
    wrong = [*candles(soak.state, soak.place.url), *seen.unrest, *errors]
    wrong += [f"the journal replays otherwise: {told[:300]}" for told in differences(soak.config)]
    if grown >= GROWTH:
        wrong.append(f"memory grew by {grown:.1%} after the warm-up; {GROWTH:.0%} is the most")
    if seen.exit_code != 0:
        wrong.append(f"the daemon ended with {seen.exit_code}; see {soak.log}")
    return {
        "frames": seen.frames,
        "frames_a_second": round(seen.frames / seen.seconds),
        "seconds": round(seen.seconds, 1),
        "memory_mb": {"warm": _warm(seen), "last": seen.memory[-1][1], "growth": round(grown, 4)},
        "strikes": sum(seen.strikes.values()),
        "strikes_by_fault": seen.strikes,
        "unhandled_exceptions": len(errors),
        "events": counts(soak.state),
        "summary": seen.summary,
        "wrong": wrong,
        "memory": seen.memory,
    }


def _warm(seen: Soaked) -> float:
    return next(mb for frames, mb in seen.memory if frames >= 0.25 * seen.frames)


def _progress(so_far: Soaked, frames: int) -> None:
    rate = so_far.frames / so_far.seconds
    text = f"{so_far.frames:>9,} of {frames:,} frames, {rate:,.0f} a second, {so_far.memory[-1][1]:.0f} MB"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif len(so_far.memory) % 10 == 0:
        print(text, file=sys.stderr, flush=True)


def _print(told: dict[str, Any], picture: Path) -> None:
    memory, events = told["memory_mb"], told["events"]
    click.echo(f"\nframes             {told['frames']:,} of {told['symbols']} symbols in {told['seconds']:,.0f} s")
    click.echo(f"frames a second    {told['frames_a_second']:,}")
    click.echo(f"faults struck      {told['strikes']:,}")
    click.echo(f"candles            {events.get('CandleClosed', 0):,} told, executions {events.get('Filled', 0):,}")
    click.echo(
        f"memory             {memory['warm']:.1f} MB warm, {memory['last']:.1f} MB at the end ({memory['growth']:+.1%})"
    )
    click.echo(f"unhandled          {told['unhandled_exceptions']}")
    click.echo(f"memory curve       {picture}")
    for line in told["wrong"][:50]:
        click.echo(f"WRONG              {line}")


if __name__ == "__main__":
    main()
