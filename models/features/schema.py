"""The committed list of features: `schema.json`, one entry each, with its value on a fixed little market.

The value gives a changed formula away: it must come with a raised version, so that sets trained on the old one are
refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from market.candles import VALUES, Candles
from market.funding import Funding
from market.timeframes import Timeframe
from models.features import REGISTRY, compute, required_lookback, schema_hash

FILE = Path(__file__).with_name("schema.json")
_DIGITS = 9


def sample_market(bars: int) -> tuple[Candles, Funding]:
    """A small market of waves without a period in common, the same on every machine: nothing is drawn."""
    timeframe = Timeframe.parse("1h")
    at = np.arange(bars, dtype=np.float64)
    start = 1_600_000_000_000 // timeframe.ms * timeframe.ms
    level = 0.03 * np.sin(at / 37.7) + 0.01 * np.sin(at / 5.3) + 0.004 * np.sin(at * 1.9) + 0.2 * np.sin(at / 411.1)
    close = 1000 * np.exp(level)
    opened = np.concatenate([close[:1], close[:-1]]) * (1 + 0.0002 * np.sin(at * 2.3))
    reach = 1 + 0.002 * (1.3 + np.sin(at / 3.1)) + 0.001 * np.cos(at * 0.7)
    volume = 50 * (1.5 + np.sin(at / 3.8)) * (1.2 + np.cos(at * 1.3))
    taker = volume * (0.5 + 0.2 * np.sin(at / 2.9))
    candles = Candles(
        timeframe,
        start + timeframe.ms * np.arange(bars, dtype=np.int64),
        opened,
        np.maximum(opened, close) * reach,
        np.minimum(opened, close) / reach,
        close,
        volume,
        volume * (opened + close) / 2,
        np.round(volume * (3 + np.sin(at / 7.1))),
        taker,
        taker * close,
    )
    instants = start + 8 * timeframe.ms * np.arange(bars // 8 + 1, dtype=np.int64)
    rates = np.rint(10_000 * (1 + 2 * np.sin(np.arange(len(instants)) / 6.7))).astype(np.int64)
    return candles, Funding(instants, rates)


def _companion(candles: Candles) -> Candles:
    """Another market of the same hours, that moves a little with the first."""
    at = np.arange(len(candles), dtype=np.float64)
    factor = candles.close**-0.4 * np.exp(0.01 * np.sin(at / 29.3) + 0.003 * np.sin(at * 1.1))
    prices = (getattr(candles, name) * factor for name in VALUES[:4])
    return Candles(candles.timeframe, candles.open_time, *prices, *(getattr(candles, name) for name in VALUES[4:]))


def schema_text() -> str:
    """What `schema.json` must hold: each feature with its lookback, needs, version and example, and the hash of all."""
    names = tuple(feature.name for feature in REGISTRY.features)
    candles, funding = sample_market(2 * required_lookback())
    values = compute(candles, funding, names, companion=_companion(candles))[-1]
    entries = [
        feature.entry() | {"example": float(f"{value:.{_DIGITS}g}")}
        for feature, value in zip(REGISTRY.features, values, strict=True)
    ]
    lines = ",\n".join(f"    {json.dumps(entry)}" for entry in entries)
    return (
        f'{{\n  "hash": "{schema_hash(names)}",\n  "lookback": {required_lookback(names)},\n'
        f'  "features": [\n{lines}\n  ]\n}}\n'
    )


def differences() -> list[str]:
    """What in `schema.json` is not as the code says, in words; nothing if it is current."""
    if not FILE.is_file():
        return [f"{FILE.name} is missing"]
    written, now = json.loads(FILE.read_text(encoding="utf-8")), json.loads(schema_text())
    before = {e["name"]: e for e in written["features"]}
    after = {e["name"]: e for e in now["features"]}
    found = [f"{name} is not in the code any more" for name in before.keys() - after.keys()]
    found += [f"{name} is new" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        same = {k: old[k] for k in old if k != "example"} == {k: new[k] for k in new if k != "example"}
        if not same:
            found.append(f"{name} is declared otherwise")
        elif not np.isclose(old["example"], new["example"], rtol=1e-6, atol=1e-9):
            found.append(f"{name} gives {new['example']} and gave {old['example']}: raise its version")
    if not found and (list(before) != list(after) or written["hash"] != now["hash"]):
        found.append("the order or the hash differs")
    return sorted(found)


def write() -> None:
    """Bring `schema.json` up to date."""
    FILE.write_text(schema_text(), encoding="utf-8")
