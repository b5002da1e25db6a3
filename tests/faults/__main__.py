"""`python -m tests.faults`: every numbered fault, through the real daemon and the real exchange.

A line a scenario as it ends, then the table; exit code 1 if one was not survived.
"""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click
from rich.console import Console

from tests.faults import report
from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Stage, small_models
from tests.faults.verdict import Outcome, play
from tests.local_exchange import ROOT


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> set[int]:
    known = {scenario.number for scenario in SCENARIOS}
    try:
        wanted = {int(part) for part in (text or "").split(",") if part.strip()}
    except ValueError as error:
        raise click.BadParameter("write numbers, separated by commas, such as 17,18") from error
    if strangers := wanted - known:
        raise click.BadParameter(f"no scenario has the number {', '.join(map(str, sorted(strangers)))}")
    return wanted or known


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", callback=_numbers, help="Numbers of the faults to play, comma-separated [all].")
@click.option("--variant", default="", help="Only scenarios whose variant holds this text.")
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the market and of probabilities."
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="So many side by side.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Where to write [docs, if all are played]."
)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to keep journals and logs in.")
def main(only: set[int], variant: str, seed: int, jobs: int, out: Path | None, keep: Path | None) -> None:
    """Play faults against the daemon."""
    chosen = [s for s in SCENARIOS if s.number in only and variant in s.variant]
    console = Console()
    with tempfile.TemporaryDirectory(prefix="regimen-faults-") as made:
        folder = keep or Path(made)
        models = small_models(folder / "models")
        outcomes = _played(chosen, folder, models, seed, jobs, console)
    table = report.rows(outcomes)
    report.show(table, console)
    whole = len(chosen) == len(SCENARIOS)
    if out or whole:
        report.write(table, out or ROOT / "docs")
    sys.exit(0 if all(row.survived for row in table) else 1)


def _played(
    chosen: list[Scenario], folder: Path, models: Path, seed: int, jobs: int, console: Console
) -> list[Outcome]:
    """Outcomes in the order of the scenarios."""

    def one(index: int) -> Outcome:
        try:
            with Stage(folder / f"{chosen[index].number}-{index}", models, chosen[index], seed) as stage:
                return play(stage, chosen[index])
        except Exception as error:  # the others are played all the same, and this one is not survived
            return Outcome(chosen[index], [f"the scenario broke off: {error!r}"])

    outcomes: dict[int, Outcome] = {}
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(one, index): index for index in range(len(chosen))}
        for future in as_completed(futures):
            outcome = outcomes[futures[future]] = future.result()
            said = "survived" if outcome.survived else "NOT SURVIVED"
            line = f"[{len(outcomes)}/{len(chosen)}] {outcome.scenario.title}: {said}"
            line += f", {outcome.naked_s:.2f} s naked, {outcome.took_s:.0f} s"
            console.print("\n  ".join([line, *outcome.problems]), markup=False, highlight=False, soft_wrap=True)
    return [outcomes[index] for index in range(len(chosen))]


if __name__ == "__main__":
    main()
