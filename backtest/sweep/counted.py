"""The sweep in the ledger of trials: added once, before anything is chosen by it, to all that came before.

The same sweep again (set, rules, grid, candles, account) tries nothing new, and adds nothing. Sweeps of the starter set
are demonstrations: its store comes with the code, and nothing that was tried on it was tried on a set of the user's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from backtest.bars import SymbolFrame, data_hash
from backtest.broker import Costs
from backtest.sweep.grid import Grid
from models import trials
from models.manifest import utc
from models.trials import Trial
from strategy.live_config import LiveConfig

WHAT = "sweep"


def trial(
    set_id: str,
    base: LiveConfig,
    grid: Grid,
    frames: Sequence[SymbolFrame],
    costs: Costs,
    cash: int,
    tried: int,
) -> Trial:
    """The line of a sweep, named by the hash of all it depends on."""
    rules = base.model_dump(mode="json")
    asked = [set_id, rules, grid.as_json(), costs.taker_ppm, costs.slippage_ppm, cash, data_hash(frames)]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    start, end = span(frames)
    return Trial(
        time=trials.now(),
        what=WHAT,
        name=f"sweep {digest.hexdigest()[:16]}",
        trials=tried,
        set_id=set_id,
        symbols=tuple(f.instrument.symbol for f in frames),
        test_start=utc(start),
        test_end=utc(end),
    )


def span(frames: Sequence[SymbolFrame]) -> tuple[int, int]:
    """What is played: from the first bar's open to the last bar's close, ms."""
    last = max(int(f.base.open_time[-1]) for f in frames)
    return min(int(f.base.open_time[0]) for f in frames), last + frames[0].base.timeframe.ms


def count(store: Path, this: Trial) -> int:
    """Trials in the store's ledger besides this one, which is added unless it is there already.

    Raises
    ------
    OSError
        If the ledger cannot be read or written; then nothing may be concluded from the sweep.
    """
    before = trials.read(store)
    if not any((t.what, t.name) == (this.what, this.name) for t in before.trials):
        trials.add(store, this)
        return before.count
    return before.count - this.trials
