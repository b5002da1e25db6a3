"""Inputs: what a set reads of the histories that are played, finer candles and a companion's among them."""

from __future__ import annotations

from collections.abc import Mapping

from backtest.bars import BacktestError
from market.aggregate import aggregate
from market.candles import Candles
from market.funding import Funding
from market.timeframes import Timeframe
from models.inputs import Inputs, made_finer
from models.manifest import Manifest


def inputs_of(
    manifest: Manifest,
    symbol: str,
    base: Candles,
    funding: Funding | None = None,
    finer: Candles | None = None,
    others: Mapping[str, Candles] | None = None,
) -> Inputs:
    """What a set reads of a symbol's history.

    Parameters
    ----------
    base : Candles
        As they are played; decision candles are made of them, and finer ones where they are fine enough.
    finer : Candles, optional
        Of the same symbol, for a base that is too coarse.
    others : mapping, optional
        Symbol -> candles of it, of any timeframe that makes the decision's.

    Raises
    ------
    BacktestError
        If the set compares the symbol with one that is not there, or cannot do without the finer candles.
    """
    decision = Timeframe.parse(manifest.data.timeframe)
    return Inputs(
        aggregate(base, decision),
        funding,
        _finer(manifest, symbol, base if finer is None else finer),
        _companion(manifest, symbol, decision, others or {}),
    )


def finer_missing(manifest: Manifest, symbol: str, base: Candles) -> str:
    """What to say where finer candles that a set reads are not there."""
    named = ", ".join(m.name for m in manifest.models if m.timeframe is not None)
    wanted = manifest.finer_timeframe
    return (
        f"{symbol}: {named} of {manifest.id} reads {wanted} candles, and none can be made of {base.timeframe} ones: "
        f"give them by --finer FILE"
    )


def _finer(manifest: Manifest, symbol: str, source: Candles) -> Candles | None:
    timeframe = manifest.finer_timeframe
    if timeframe is None:
        return None
    made = made_finer(source, timeframe)
    if made is None and manifest.ensemble.dead_member == "refuse":
        raise BacktestError(finer_missing(manifest, symbol, source))
    return made


def _companion(manifest: Manifest, symbol: str, decision: Timeframe, others: Mapping[str, Candles]) -> Candles | None:
    wanted = manifest.companion_of(symbol)
    if wanted is None:
        return None
    if wanted not in others:
        raise BacktestError(
            f"{symbol}: {manifest.id} compares it with {wanted}, whose candles are not there: give them by "
            f"--companion FILE, or play both"
        )
    return aggregate(others[wanted], decision)
