"""`python -m tests.crash`: kill the daemon at every step, restart it, and see that nothing is naked, doubled or lost.

Prints a table by kill point and exits 0, or 1 if an invariant was violated. An interrupted campaign goes on where it
was with `--resume`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import click
from rich.console import Console

from tests.crash.campaign import Kill, Season, choose, save, saved, store
from tests.crash.lives import HarnessError
from tests.crash.points import Plan
from tests.crash.tally import summary, table

ROOT = Path(__file__).resolve().parent.parent.parent
SEASON = 50
"""Kills on one market: fees shrink a wallet that is always in the market, and an empty one enters nothing."""


class Campaign:
    """Seasons side by side, sharing the list of kills that are left."""

    def __init__(self, folder: Path, symbols: tuple[str, ...], seed: int, kills: list[Kill], count: int) -> None:
        self.folder, self.symbols, self.seed, self.kills, self.count = folder, symbols, seed, kills, count
        self.points: dict[str, int] = {}
        self.failure: BaseException | None = None
        self._left = iter([n for n in range(count) if n not in {k.number for k in kills}])
        self._lock = threading.Lock()
        self._seasons = 0
        self.models = folder / "models"

    def prepare(self) -> None:
        """Make the model set, and learn the points by living through them once."""
        store(self.models)
        season = self._season()
        try:
            self.points = season.rehearse()
        finally:
            season.close()

    def run(self, jobs: int) -> None:
        """Kill until the count is reached.

        Raises
        ------
        HarnessError
            If a season could not go on; what was done is kept.
        """
        threads = [threading.Thread(target=self._work) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            while self.failure is None and (first := next(self._numbers(), None)) is not None:
                season = self._season()
                try:
                    season.kills(self._few(first), self._done)
                finally:
                    season.close()
        except BaseException as error:
            self.failure = self.failure or error

    def _few(self, first: int) -> Iterator[tuple[int, Plan]]:
        for number in islice(chain([first], self._numbers()), SEASON):
            yield number, choose(self.seed, number, self.points)

    def _numbers(self) -> Iterator[int]:
        while True:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                return
            yield number

    def _season(self) -> Season:
        with self._lock:
            self._seasons += 1
            number = self._seasons
        folder = self.folder / f"season-{number}"
        return Season(folder, self.models, self.symbols, self.seed * 1_000 + number)

    def _done(self, kill: Kill) -> None:
        with self._lock:
            self.kills.append(kill)
            save(kill, self.folder / "kills.jsonl")
            violated = sum(bool(k.violations) for k in self.kills)
            told = f"{len(self.kills)}/{self.count} kills, {violated} with violations; {kill.point} ({kill.mischief})"
            if sys.stderr.isatty():
                print(f"\r\x1b[K{told[:110]}", end="", file=sys.stderr, flush=True)
            elif len(self.kills) % 25 == 0:
                print(told, file=sys.stderr, flush=True)
            for what in kill.violations:
                print(
                    f"\nkill {kill.number} at {kill.point}, then {kill.mischief}: {what}", file=sys.stderr, flush=True
                )


def described(kill: Kill) -> str:
    """A kill in words."""
    return f"kill {kill.number} at {kill.point}, then {kill.mischief}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", "-N", "kills", default=500, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the points and the markets.")
@click.option("--symbols", default="BTCUSDT,ETHUSDT", show_default=True, help="Comma-separated.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 16), help="Exchanges side by side.")
@click.option("--folder", type=click.Path(path_type=Path), help="Work folder [var/crash-SEED].")
@click.option("--resume", is_flag=True, help="Go on with the campaign in the folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(kills: int, seed: int, symbols: str, jobs: int, folder: Path | None, resume: bool, as_json: bool) -> None:
    """Kill the daemon at every step, restart it, and see that nothing is naked, doubled or lost."""
    folder = folder or ROOT / "var" / f"crash-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "kills.jsonl"
    if not resume:
        record.unlink(missing_ok=True)
    os.environ |= {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
    campaign = Campaign(folder, tuple(symbols.split(",")), seed, saved(record), kills)
    began = time.monotonic()
    try:
        campaign.prepare()
        campaign.run(jobs)
    except HarnessError as error:
        raise click.ClickException(
            f"{error}; {len(campaign.kills)} kills are on record, go on with --resume"
        ) from error
    told = summary(campaign.kills, seed, time.monotonic() - began)
    if as_json:
        click.echo(json.dumps(told))
    else:
        print(file=sys.stderr)
        Console(width=None if sys.stdout.isatty() else 150).print(table(campaign.kills))
        for kill in campaign.kills:
            if kill.violations:
                click.echo(f"{described(kill)}: {'; '.join(kill.violations)}")
    sys.exit(1 if told["violations"] else 0)


if __name__ == "__main__":
    main()
