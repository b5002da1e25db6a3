"""The report on a terminal: a line for each check, and the verdict last."""

from __future__ import annotations

from rich.console import Console

from training.diagnosis.finding import BROKEN, NOT_KNOWN, OK, SUSPECT, Diagnosis

_COLOURS = {OK: "green", SUSPECT: "yellow", BROKEN: "bold red", NOT_KNOWN: "dim"}


def show(found: Diagnosis, console: Console) -> None:
    """Print a diagnosis."""
    console.print(f"{found.family} of {found.model_set}, asked about {found.source}\n", markup=False, soft_wrap=True)
    wide = max(len(each.check) for each in found.findings)
    for each in found.findings:
        console.print(f"{each.status:<10}", style=_COLOURS[each.status], end="")
        console.print(f"{each.check:<{wide}}  {each.sentence}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\n{found.verdict}", markup=False, soft_wrap=True)
