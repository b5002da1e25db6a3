"""`python -m tests.gate --seeds 20`: the gate on planted sets, many times; writes docs/gate.md and docs/gate.json."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when OpenMP starts
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import click

from tests.gate.campaign import WORDS, of_seed, page, summary
from tests.gate.planted import KINDS

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@click.command()
@click.option("--seeds", default=20, type=click.IntRange(1, 1000), show_default=True, help="Markets, from seed 1 on.")
@click.option("--jobs", default=os.cpu_count() or 1, type=click.IntRange(1, 64), help="Processes  [cores]")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON too.")
@click.option("--write/--no-write", default=True, help="Write docs/gate.md and docs/gate.json.")
def main(seeds: int, jobs: int, as_json: bool, write: bool) -> None:
    """Judge every planted kind on every seed; exit 1 if anything bad was promoted, or a right reason was missed."""
    began = time.perf_counter()
    rows = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(of_seed, seed) for seed in range(1, seeds + 1)]
        for done, future in enumerate(as_completed(waiting), 1):
            found = future.result()
            rows += found
            wrong = [f"{r.kind} {WORDS[r.code]} ({r.reason})" for r in found if not r.right]
            click.echo(f"seed {found[0].seed} ({done} of {seeds}): {'; '.join(wrong) or 'all right'}", err=True)
    rows.sort(key=lambda r: (r.seed, [k.name for k in KINDS].index(r.kind)))
    told = summary(rows, seeds, time.perf_counter() - began)
    if write:
        (DOCS / "gate.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        (DOCS / "gate.md").write_text(page(told), encoding="utf-8")
    click.echo(json.dumps(told, indent=2) if as_json else page(told))
    sys.exit(1 if told["false_promotions"]["count"] else 0)


if __name__ == "__main__":
    main()
