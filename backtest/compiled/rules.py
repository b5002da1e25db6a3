"""The rules as a compiler takes them: the very functions the daemon calls, made known to numba, and nothing beside.

What is compiled is kept in `market.cache`, in a folder named by a hash of all the source that goes into it: numba
itself looks at one file alone, and would go on with yesterday's rules.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numba
from numba.extending import register_jitable

from backtest import broker
from backtest.broker import Costs
from market import cache, fills, instruments, tiers, trades
from market.exchange import desk
from strategy import plan, regime, risk, signals, sizing
from strategy.live_config import Rules
from strategy.plan import STRICTNESS

F = TypeVar("F", bound=Callable[..., Any])

RULES: tuple[ModuleType, ...] = (fills, tiers, regime, risk, signals, sizing)
NUMBERED: tuple[ModuleType, ...] = (broker, desk, instruments, plan, trades)
"""Modules whose words and limits stand in the compiled code as numbers: a reason by its place, a largest quantity."""
NOT_SCALAR: set[object] = {tiers.brackets, tiers.checked, signals.probability}
"""Functions of those modules that make or read objects; the kernel never calls them."""
ENTRY = "play"
"""The kernel's one function that is called from outside."""
_KEPT = 4
"""Folders of compiled code that are kept, the newest."""


class Terms(NamedTuple):
    """Everything that a variant of the rules fixes, in int64 (see `Rules` and `Costs`); `longest` is the holding."""

    long_entry: int
    short_entry: int
    edge: int
    long_exit: int
    short_exit: int
    longest: int
    confirm: int
    leverage: tuple[int, int, int]
    stop_bps: tuple[int, int, int]
    widest_stop_bps: int
    margin_bps: int
    reserve_bps: int
    max_notional: int
    max_positions: int
    risk_bps: int
    stop_cooldown: int
    liquidation_cooldown: int
    daily_loss_bps: int
    daily_loss_then: int
    weekly_loss_bps: int
    weekly_loss_then: int
    drawdown_bps: int
    drawdown_then: int
    losing_streak: int
    losing_streak_then: int
    price_band_bps: int
    taker_ppm: int
    slippage_ppm: int


def terms(rules: Rules, costs: Costs, max_hold_bars: int) -> Terms:
    """Rules and costs as the kernel reads them; the rules' longest holding, where given, comes before the set's."""
    halts = rules.halts
    return Terms(
        long_entry=rules.long_entry,
        short_entry=rules.short_entry,
        edge=rules.edge,
        long_exit=rules.long_exit,
        short_exit=rules.short_exit,
        longest=rules.max_hold_bars or max_hold_bars,
        confirm=rules.confirm,
        leverage=rules.leverage,
        stop_bps=rules.stop_bps,
        widest_stop_bps=max(rules.stop_bps),
        margin_bps=rules.margin_bps,
        reserve_bps=rules.reserve_bps,
        max_notional=rules.max_notional,
        max_positions=rules.max_positions,
        risk_bps=rules.risk_bps,
        stop_cooldown=rules.stop_cooldown,
        liquidation_cooldown=rules.liquidation_cooldown,
        daily_loss_bps=halts.daily_loss_bps,
        daily_loss_then=STRICTNESS[halts.daily_loss_then],
        weekly_loss_bps=halts.weekly_loss_bps,
        weekly_loss_then=STRICTNESS[halts.weekly_loss_then],
        drawdown_bps=halts.drawdown_bps,
        drawdown_then=STRICTNESS[halts.drawdown_then],
        losing_streak=halts.losing_streak,
        losing_streak_then=STRICTNESS[halts.losing_streak_then],
        price_band_bps=rules.price_band_bps,
        taker_ppm=costs.taker_ppm,
        slippage_ppm=costs.slippage_ppm,
    )


def compiled(function: F) -> F:
    """The function compiled at its first call, from the cache where it was compiled before; it releases the GIL.

    All is one function in the end, without counting references (nothing is allocated): calls that hand over thirty
    numbers and ten arrays cost more than what they ask.
    """
    made: F = numba.njit(
        nogil=True, cache=_FOLDER is not None, error_model="numpy", forceinline=function.__name__ != ENTRY, _nrt=False
    )(function)
    return made


def _sources() -> list[Path]:
    here = Path(__file__).resolve().parent
    return [Path(inspect.getfile(module)) for module in RULES + NUMBERED] + sorted(here.glob("*.py"))


def _folder() -> Path | None:
    """Where this source's compiled code is kept; the oldest of other sources' folders are removed."""
    place = cache.folder("compiled")
    if place is None:
        return None
    digest = hashlib.sha256(numba.__version__.encode())
    for source in _sources():
        digest.update(source.read_bytes())
    made = place / digest.hexdigest()[:16]
    try:
        made.mkdir(exist_ok=True)
        made.touch()
        for old in sorted(place.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:  # somebody else's folder, or one that another process has just removed
        return made if os.access(made, os.W_OK) else None
    return made


for _module in RULES:
    for _function in vars(_module).values():
        if inspect.isfunction(_function) and _function.__module__ == _module.__name__ and _function not in NOT_SCALAR:
            register_jitable(_function)

_FOLDER = _folder()
if _FOLDER is not None:
    numba.config.CACHE_DIR = str(_FOLDER)
