"""Drift: how often an alarm is false, how soon a shift is seen, and what a year of a real market would have done.

    python benchmarks/drift.py quiet                   fresh stretches of the market the starter set was made on
    python benchmarks/drift.py shifted                 the same, with something gone wrong after a month
    python benchmarks/drift.py real --set DIR --data FILE [--funding FILE]    the year after a set was made

Every look is the daemon's: `models.drift.judging.judge` over the rows up to it, and `daemon.drift.ladder`. The starter
set carries no reference; it is made here as training makes it, of the same rows. Without a command: a short `quiet`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daemon.drift.config import Drift
from daemon.drift.ladder import Ladder
from daemon.events import DriftLevel
from market import history, synthetic
from market.candles import Candles, Floats
from market.funding import Funding
from market.timeframes import Timeframe, utc_text
from models import walkforward
from models.drift.judging import Judgement, Watched, judge, kept
from models.drift.making import Outcomes, Rows, make
from models.drift.reference import PERIOD, Reference, outputs_of, read
from models.inference import Predictor
from models.known_market import regrown
from models.logits import sigmoid
from models.manifest import utc_ms
from models.modelset import resolve

HOUR = Timeframe.parse("1h")
SYMBOL = "BTCUSDT"
CONFIG = Drift()
Shift = Callable[[Candles], Candles]


@dataclass(frozen=True)
class Served:
    """What a set read and said of a market, row by row; NaN where there is no answer."""

    candles: Candles
    matrix: Floats
    outputs: Floats

    def until(self, row: int, many: int) -> Watched:
        """The rows up to and including `row`, as the monitor has them."""
        part = slice(max(0, row + 1 - many), row + 1)
        candles = self.candles
        return Watched(
            candles.open_time[part], candles.close[part], self.matrix[part], self.outputs[part], part.stop - part.start
        )


def served(predictor: Predictor, candles: Candles, funding: Funding | None) -> Served:
    """The set asked about every candle."""
    matrix = predictor.matrix(candles, funding)
    rows = np.flatnonzero(predictor.ready(candles, matrix))
    told, names = predictor.answers(matrix, rows, threads=2).named(), outputs_of(predictor.manifest)
    outputs = np.full((len(candles), len(names)), np.nan)
    outputs[rows] = np.column_stack([told[name] for name in names])
    return Served(candles, matrix, outputs)


def reference_of(predictor: Predictor) -> Reference:
    """The set's own, or for one of the synthetic market the one that training would make now."""
    found = read(predictor.model_set)
    if found is not None:
        return found
    manifest = predictor.manifest
    market = regrown(manifest, SYMBOL, manifest.data.rows)
    if market is None:
        raise click.ClickException(f"{predictor.id} has no reference, and its market cannot be made again")
    whole, splits = served(predictor, market.candles, market.funding), manifest.data.splits
    times = market.candles.open_time

    def within(name: str) -> np.ndarray[Any, Any]:
        part = splits[name]
        return np.flatnonzero((times >= utc_ms(part.start)) & (times <= utc_ms(part.end)))

    train, unseen = within("train"), np.concatenate([within("calibrate"), within("test")])
    unseen = unseen[np.isfinite(whole.outputs[unseen]).all(axis=1)]
    record, cost = walkforward.read(predictor.model_set), manifest.data.labels.cost
    heads = tuple(record.logits["stack"])
    return make(
        Rows(times[train], manifest.features.names, whole.matrix[train]),
        Rows(times[unseen], outputs_of(manifest), whole.outputs[unseen]),
        Outcomes(
            record.open_time,
            {key: sigmoid(record.logits["stack"][key]) for key in heads},
            {
                key: record.profitable(int(key.partition("/")[0]), 1 if key.endswith("long") else -1, cost)
                for key in heads
            },
        ),
        block=168,
        seed=1,
    )


@dataclass(frozen=True)
class Look:
    """One look of a monitor."""

    row: int
    judgement: Judgement
    level: DriftLevel


def looks(predictor: Predictor, reference: Reference, market: Served, first: int, last: int) -> Iterator[Look]:
    """A monitor that looks from row `first` to `last`."""
    ladder, many = Ladder(), kept(CONFIG.window, predictor.manifest)
    for row in range(first, last, CONFIG.every):
        found = judge(reference, predictor.manifest, market.until(row, many), CONFIG.window)
        ladder = ladder.look(bool(found.beyond), CONFIG.in_a_row, CONFIG.calm_in_a_row)
        yield Look(row, found, ladder.level)


def fresh(predictor: Predictor, seed: int, rows: int, shift: Shift | None = None, at: int = 0) -> tuple[Served, int]:
    """So many answered rows of a market that nobody saw, shifted from row `at` of them on; and the first row."""
    lookback = predictor.lookback
    candles, funding = synthetic.generate(SYMBOL, bars=lookback + rows, timeframe=HOUR, seed=seed)
    if shift is not None:
        cut = lookback + at
        candles = joined(candles[:cut], shift(candles)[cut:])
    return served(predictor, candles, funding), lookback


def joined(before: Candles, after: Candles) -> Candles:
    """Two stretches as one, the second at the price at which the first ends."""
    factor = before.close[-1] / after.open[0]
    prices = {name: getattr(after, name) * factor for name in ("open", "high", "low", "close")}
    moved = replace(after, **prices)
    names = ("open_time", *prices, "volume", "quote_volume", "trades", "taker_base", "taker_quote")
    return Candles(before.timeframe, *(np.concatenate([getattr(before, n), getattr(moved, n)]) for n in names))


def doubled(candles: Candles) -> Candles:
    """Every move twice as large."""
    first = np.log(candles.open[0])
    prices = {n: np.exp(first + 2 * (np.log(getattr(candles, n)) - first)) for n in ("open", "high", "low", "close")}
    return replace(candles, **prices)


def turned(candles: Candles) -> Candles:
    """Who bought sells: taker flow with its sign turned, so that what it gives away is the opposite."""
    return replace(
        candles,
        taker_base=candles.volume - candles.taker_base,
        taker_quote=candles.quote_volume - candles.taker_quote,
    )


def silent_flow(candles: Candles) -> Candles:
    """A column that died at the exchange: taker flow of half the volume, always."""
    return replace(candles, taker_base=candles.volume / 2, taker_quote=candles.quote_volume / 2)


def unchanged(candles: Candles) -> Candles:
    return candles


SHIFTS: dict[str, Shift] = {
    "volatility doubled": doubled,
    "taker flow dead": silent_flow,
    "taker flow turned": turned,
    "answers constant": unchanged,
    "answers missing": unchanged,
}


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """How often an alarm is false, and how soon a shift is seen."""
    if context.invoked_subcommand is None:
        context.invoke(quiet, seeds=4, first=1000, as_json=False)


@main.command()
@click.option("--seeds", type=click.IntRange(1), default=40, show_default=True, help="Stretches of 90 days.")
@click.option("--first", type=click.IntRange(0), default=1000, show_default=True, help="Seed of the first.")
@click.option("--json", "as_json", is_flag=True)
def quiet(seeds: int, first: int, as_json: bool) -> None:
    """Fresh 90 days of the same process: in how many is anything beyond its limit, and in how many a level reached."""
    predictor = Predictor.load(resolve("starter"))
    reference = reference_of(predictor)
    alarmed, shrunk, names = 0, 0, Counter[str]()
    for seed in range(first, first + seeds):
        rows = CONFIG.window + max(predictor.manifest.horizons) + PERIOD
        market, start = fresh(predictor, seed, rows)
        found = list(looks(predictor, reference, market, start + rows - PERIOD, start + rows))
        beyond = {f.name for look in found for f in look.judgement.beyond}
        alarmed, shrunk = alarmed + bool(beyond), shrunk + any(look.level is not DriftLevel.NONE for look in found)
        names.update(beyond)
        click.echo(f"seed {seed}: {', '.join(sorted(beyond)) or 'quiet'}", err=True)
    told = {
        "seeds": seeds, "stated_rate": reference.rate, "alarmed": alarmed / seeds, "shrunk": shrunk / seeds,
        "statistics": dict(names.most_common(5)),
    }  # fmt: skip
    click.echo(
        json.dumps(told) if as_json
        else f"of {seeds} quiet stretches of {PERIOD} candles {alarmed} had anything beyond a limit (stated: at most "
        f"{reference.rate:.0%}), {shrunk} a level"
    )  # fmt: skip


@main.command()
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--first", type=click.IntRange(0), default=2000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def shifted(seeds: int, first: int, as_json: bool) -> None:
    """Something goes wrong after the window has been filled: candles until a limit is passed, and until each level."""
    predictor = Predictor.load(resolve("starter"))
    reference, told = reference_of(predictor), {}
    before, after = CONFIG.window + max(predictor.manifest.horizons) + 24, 1_440
    for name, shift in SHIFTS.items():
        found: list[dict[str, int | None]] = []
        said = Counter[str]()
        for seed in range(first, first + seeds):
            market, start = fresh(predictor, seed, before + after, None if shift is unchanged else shift, before)
            if name == "answers constant":
                market.outputs[start + before :] = market.outputs[start + before - 1]
            if name == "answers missing":
                market.outputs[start + before :] = np.nan
            seen: dict[str, int | None] = dict.fromkeys(("limit", "shrink", "stop", "retrain"))
            for look in looks(predictor, reference, market, start + before, start + before + after):
                since = look.row - (start + before) + 1
                if look.judgement.beyond and seen["limit"] is None:
                    seen["limit"] = since
                    said.update([look.judgement.beyond[0].name])
                if look.level is not DriftLevel.NONE and seen[look.level] is None:
                    seen[look.level] = since
            found.append(seen)
            click.echo(f"{name}, seed {seed}: {seen}", err=True)
        told[name] = {
            "candles": {level: [each[level] for each in found] for level in found[0]}, "first": dict(said),
        }  # fmt: skip
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, figures in told.items():
        medians = {level: _median(values) for level, values in figures["candles"].items()}
        click.echo(f"{name:20} " + "  ".join(f"{level} {value}" for level, value in medians.items()))


@main.command()
@click.option("--set", "folder", type=click.Path(path_type=Path, exists=True), required=True, help="The set's folder.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--funding", type=click.Path(path_type=Path, exists=True))
@click.option("--days", type=click.IntRange(30), default=365, show_default=True, help="After the set was made.")
@click.option("--json", "as_json", is_flag=True)
def real(folder: Path, data: Path, funding: Path | None, days: int, as_json: bool) -> None:
    """The time after a set was made, looked at with that one set: what would have been done."""
    predictor = Predictor.load(folder)
    reference, manifest = reference_of(predictor), predictor.manifest
    candles = history.read(data)
    end = utc_ms(manifest.data.splits["test"].end)
    reach = predictor.lookback + kept(CONFIG.window, manifest)
    candles = candles.between(end - reach * HOUR.ms, end + days * 24 * HOUR.ms)
    market = served(predictor, candles, history.read_funding(funding) if funding else None)
    first = int(np.searchsorted(candles.open_time, end))
    found = list(looks(predictor, reference, market, first, len(candles)))
    beyond = Counter[str]()
    groups = Counter[str]()
    for look in found:
        beyond.update({f.name for f in look.judgement.beyond})
        groups.update({f.group for f in look.judgement.beyond})
    changes = [(a, b) for a, b in zip([None, *found], found, strict=False) if b.level != (a.level if a else "none")]
    told = {
        "set": predictor.id,
        "from": utc_text(int(candles.open_time[first])),
        "looks": len(found),
        "looks_beyond": sum(bool(look.judgement.beyond) for look in found) / len(found),
        "by_group": {group: many / len(found) for group, many in groups.items()},
        "levels": {level: sum(look.level is level for look in found) / len(found) for level in DriftLevel},
        "changes": [(utc_text(int(candles.open_time[b.row])), str(b.level)) for _, b in changes],
        "statistics": {name: many / len(found) for name, many in beyond.most_common(12)},
    }
    click.echo(json.dumps(told, indent=None if as_json else 1))


def _median(values: list[int | None]) -> str:
    known = [v for v in values if v is not None]
    if len(known) * 2 <= len(values):
        return f"not in {len(values) - len(known)} of {len(values)}"
    return f"{int(np.median(known))}" + (f" ({len(values) - len(known)} not)" if len(known) < len(values) else "")


if __name__ == "__main__":
    main()
