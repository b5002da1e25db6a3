"""What of a tested time the set was made from: figures of hours whose outcome it learned say nothing."""

from __future__ import annotations

from collections.abc import Sequence

from backtest.bars import SymbolFrame
from models.known_market import another_market
from models.manifest import Manifest, utc, utc_ms


def seen(manifest: Manifest, frames: Sequence[SymbolFrame], start_ms: int, end_ms: int) -> str | None:
    """What to say if the set was made from days [start, end) of one of the frames' markets, its test slice apart."""
    made = [r for name, r in manifest.data.splits.items() if name != "test"]
    until = max((utc_ms(r.end) for r in made), default=start_ms)
    known = min(until, end_ms) - max(min((utc_ms(r.start) for r in made), default=until), start_ms)
    mine = [f for f in frames if f.instrument.symbol in manifest.data.symbols]
    if known <= 0 or all(another_market(manifest, f.instrument.symbol, f.decision) for f in mine):
        return None
    return (
        f"the set was made from {known / (end_ms - start_ms):.0%} of the time tested, where it knows the answers: "
        f"test from {utc(until)[:10]} on"
    )
