"""`python -m tests.lifecycle`: the loop closes, from the schedule to the rollback, over ssh and over Ray.

Prints the timeline and the figures; exit code 0 if all was proven, 1 if not, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

from tests.lifecycle import places, timeline
from tests.lifecycle.planted import NotMade
from tests.lifecycle.proof import Asked, Proof, prove
from tests.lifecycle.stage import Unproven

FAILURE, INTERRUPTED = 1, 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--over", type=click.Choice(["ssh", "ray", "both"]), default="both", show_default=True)
@click.option(
    "--pace", type=click.FloatRange(0.2, 10), default=2.0, show_default=True, help="Candles a second of the market."
)
@click.option("--short", is_flag=True, help="One set alone: trained, judged, swapped and kept.")
@click.option("--keep", type=click.Path(path_type=Path), help="Empty folder to keep state, sets and logs in.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(over: str, pace: float, short: bool, keep: Path | None, as_json: bool) -> None:
    """Prove the lifecycle of model sets: nothing is mocked.

    A daemon trades on the local exchange. Its schedule fires; a set is trained elsewhere, comes back, is judged,
    shadowed, swapped in between two candles, watched and kept. A bad set is refused by the gate. A set that decays is
    swapped in and rolled back by the watcher. No candle may be missed.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started ends with it
    wanted = ["ssh", "ray"] if over == "both" else [over]
    for name in wanted:
        if reason := places.why_not(name):
            raise click.UsageError(f"over {name}: {reason}")
    proofs: list[Proof] = []
    with tempfile.TemporaryDirectory(prefix="regimen-lifecycle-") as made:
        for name in wanted:
            folder = (keep or Path(made)) / name
            if folder.exists() and any(folder.iterdir()):
                raise click.UsageError(f"{folder} is not empty; name another --keep")
            try:
                proofs.append(prove(Asked(name, not short, pace), folder, _tell))
            except (Unproven, NotMade) as error:
                click.echo(f"lifecycle over {name}: {error}", err=True)
                sys.exit(FAILURE)
            except KeyboardInterrupt:
                click.echo("lifecycle: interrupted", err=True)
                sys.exit(INTERRUPTED)
            if not as_json:
                _show(proofs[-1])
    if as_json:
        click.echo(json.dumps(together(proofs)))
    sys.exit(FAILURE if any(proof.lacks for proof in proofs) else 0)


def together(proofs: list[Proof]) -> dict[str, Any]:
    """One object of all runs: sums and extremes first, then each."""
    delays = [proof.candles.longest_ms for proof in proofs if proof.candles.longest_ms is not None]
    told: dict[str, Any] = {
        "candles_missed": sum(proof.candles.missed for proof in proofs),
        "decision_delay_ms_max": max(delays, default=None),
        "promoted": [s for proof in proofs for s in proof.promoted],
        "refused": [s for proof in proofs for s in proof.refused],
        "rolled_back": [s for proof in proofs for s in proof.rolled_back],
        "timeline": [moment.as_dict() | {"over": proof.over} for proof in proofs for moment in proof.moments],
    }
    runs = [{k: v for k, v in proof.as_dict().items() if k != "timeline"} for proof in proofs]
    return told | {"runs": runs}


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _show(proof: Proof) -> None:
    click.echo(f"over {proof.over}:")
    for moment in proof.moments:
        click.echo(timeline.line(moment))
    told = proof.as_dict()
    for name in ("first_champion", "promoted", "kept", "refused", "rolled_back"):
        value = told[name]
        click.echo(f"{name.replace('_', ' '):16} {value if isinstance(value, str) else ', '.join(value) or 'none'}")
    click.echo(f"candles          {proof.candles.decided}, missed {proof.candles.missed}")
    middle, most = proof.candles.delay_ms(0.5), proof.candles.longest_ms
    click.echo(f"decision delay   median {middle} ms, p99 {proof.candles.delay_ms(0.99)} ms, longest {most} ms")
    click.echo(f"took             {proof.seconds:.0f} s")
    for what in proof.lacks:
        click.echo(f"NOT PROVEN: {what}")


if __name__ == "__main__":
    main()
