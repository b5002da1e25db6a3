"""`python -m models audit look-ahead|recursion`: do signals depend on the future, or on where history begins?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from market.progress import Steps
from models import audit, options
from models.audit import Audit
from models.evaluation import data as histories
from models.inference import Predictor

FOUND = 1
_SHOWN = 10
_times = click.option(
    "--times", default=50, type=click.IntRange(1, 100_000), show_default=True, help="Bars audited, drawn at random."
)
_seed = click.option("--seed", default=0, type=int, show_default=True, help="Of the bars drawn.")


@click.group("audit")
def commands() -> None:
    """Audit a set for look-ahead and for dependence on warm-up.

    Exit codes: 0 clean, 1 something found, 2 usage, 7 model set or data missing or broken, 130 interrupted.
    """


@commands.command("look-ahead")
@options.history
@_times
@_seed
@options.root
@options.as_json
def look_ahead(**asked: Any) -> None:
    """Cut history off at random bars, change everything after them, and demand unchanged signals.

    \b
    Examples
      python -m models audit look-ahead --model-set latest --data BTCUSDT-1h.parquet
      python -m models audit look-ahead --model-set champion --data ETHUSDT-15m.parquet --times 200 --json
    """
    _run(audit.look_ahead, **asked)


@commands.command()
@options.history
@_times
@_seed
@options.root
@options.as_json
def recursion(**asked: Any) -> None:
    """Begin history at other bars, and demand features within 1e-9 and unchanged signals.

    Every feature is also computed from its own declared lookback alone, and the set asked as the daemon asks it.

    \b
    Examples
      python -m models audit recursion --model-set latest --data BTCUSDT-1h.parquet
      python -m models audit recursion --model-set starter --data ETHUSDT-1h.parquet --json
    """
    _run(audit.recursion, **asked)


def _run(
    audited: Callable[..., Audit],
    name: str,
    data: str,
    symbol: str | None,
    funding: Path | None,
    companion: Path | None,
    times: int,
    seed: int,
    root: Path,
    as_json: bool,
) -> None:
    model_set = options.load(name, root)
    steps = Steps(Console(stderr=True, highlight=False))
    with steps.running(2):
        with steps.step("read the set and the history") as step:
            predictor = Predictor.load(model_set)
            history = histories.read(model_set.manifest, data, symbol, funding, companion)
            step.note("; ".join((f"{len(history.candles):,} candles of {history.candles.timeframe}", *history.notes)))
        with steps.step("audit") as step:
            found = audited(
                predictor, history.symbol, history.candles, history.funding, times, seed,
                lambda done, of: step.doing(f"bar {done} of {of}"), finer=history.finer, companion=history.companion,
            )  # fmt: skip
            step.note(f"{found.bars} bars, {found.comparisons:,} values compared")
    if as_json:
        click.echo(json.dumps(found.as_json() | {"data": {"file": str(history.file), "sha256": history.sha256}}))
    else:
        _show(found)
    if not found.clean:
        sys.exit(FOUND)


def _show(found: Audit) -> None:
    if found.clean:
        largest = found.largest.difference if found.largest else 0.0
        click.echo(f"{found.name}: clean, {found.bars} bars, largest difference {largest:.2g}")
        return
    click.echo(f"{found.name}: FOUND, {len(found.offences)} values differ; worst: {found.worst}")
    worst_first = sorted(found.offences.values(), key=lambda o: -o.difference)
    for offence in [o for o in worst_first if o is not found.worst][: _SHOWN - 1]:
        click.echo(f"  {offence}")
    if len(found.offences) > _SHOWN:
        click.echo(f"  and {len(found.offences) - _SHOWN} more; --json lists all")
