"""Overlap: which bars may be judged. What a set was made of says nothing of what it is worth.

Kept apart are the slices it was fitted, stopped and calibrated on, with the purge its labels reach, on either side. Its
own test slice may be judged, and is named. Another symbol of the same time moves with the first: that is told too.
"""

from __future__ import annotations

from dataclasses import dataclass

from market.timeframes import Timeframe, utc_text
from models.evaluation.data import DataError, History
from models.known_market import another_market
from models.manifest import Manifest, utc_ms

TEST = "test"
NONE, OWN_TEST, OTHER_SYMBOL = "none", "its own test slice", "other symbol, same time"


@dataclass(frozen=True)
class Judged:
    """The bars to judge, [start, end) by open time in UTC ms, and what they have to do with what the set was made of.

    Attributes
    ----------
    overlap : str
        ``none``, ``its own test slice``, ``other symbol, same time``, or the slices that overlap with leave.
    warnings : tuple of str
        To be told.
    """

    start: int
    end: int
    overlap: str
    warnings: tuple[str, ...] = ()


def judged(manifest: Manifest, history: History, start: int | None, end: int | None, allow: bool = False) -> Judged:
    """Decide which bars of a history may be judged.

    Parameters
    ----------
    manifest : Manifest
        Of the set.
    start, end : int, optional
        The range asked for, UTC ms. Without a start: all bars, or those after what the set was made of if the history
        holds both.
    allow : bool
        Judge whatever was asked for.

    Raises
    ------
    DataError
        If the range is empty, or overlaps without leave.
    """
    candles, timeframe = history.candles, Timeframe.parse(manifest.data.timeframe)
    if not len(candles):
        raise DataError(f"{history.file}: holds no whole candle of {timeframe}; give a longer file")
    first, last = int(candles.open_time[0]), int(candles.open_time[-1]) + timeframe.ms
    asked = (first if start is None else max(start, first), last if end is None else min(end, last))
    if asked[0] >= asked[1]:
        raise DataError(
            f"{history.file}: no candle in the range asked for; it holds {utc_text(first)} to {utc_text(last)}: "
            f"choose --from and --to within"
        )
    met = _overlapping(manifest, *asked)
    fitted = tuple(name for name in met if name != TEST)
    if met and another_market(manifest, history.symbol, candles):
        told = f"{manifest.id} was made on the synthetic market, and this is another: nothing of it was seen"
        return Judged(*asked, NONE, (told,))
    if history.symbol not in manifest.data.symbols:
        return _of_another_symbol(manifest, history, asked, fitted)
    if not fitted:
        return _unseen(asked, met)
    if allow:
        told = f"{', '.join(fitted)} of {manifest.id} overlap with what is judged: these figures flatter"
        return Judged(*asked, f"{', '.join(fitted)} (allowed)", (told,))
    after = _end_of_making(manifest)
    slices = "; ".join(f"{n} ({manifest.data.splits[n].start} to {manifest.data.splits[n].end})" for n in fitted)
    seen = f"{history.file}: {history.symbol} {utc_text(asked[0])} to {utc_text(asked[1])} overlaps what {manifest.id}"
    if start is not None or after >= asked[1]:
        later = "give later data" if after >= last else f"judge --from {utc_text(after).removesuffix('Z')}"
        raise DataError(
            f"{seen} was made of, with a purge of {manifest.data.purge} bars: {slices}; {later}, or say "
            f"--allow-overlap to see figures that flatter"
        )
    told = f"judged from {utc_text(after)}: the bars before are what {manifest.id} was made of"
    found = _unseen((after, asked[1]), _overlapping(manifest, after, asked[1]))
    return Judged(found.start, found.end, found.overlap, (told, *found.warnings))


def _of_another_symbol(manifest: Manifest, history: History, asked: tuple[int, int], fitted: tuple[str, ...]) -> Judged:
    if not fitted:
        return Judged(*asked, NONE)
    told = (
        f"{history.symbol} is judged over a time from which the set learned {', '.join(manifest.data.symbols)} "
        f"({', '.join(fitted)}): coins move together, so these figures may flatter"
    )
    return Judged(*asked, OTHER_SYMBOL, (told,))


def _unseen(asked: tuple[int, int], met: tuple[str, ...]) -> Judged:
    if TEST not in met:
        return Judged(*asked, NONE)
    return Judged(*asked, OWN_TEST, ("the range holds the set's own test slice: it was judged on it when it was made",))


def _overlapping(manifest: Manifest, start: int, end: int) -> tuple[str, ...]:
    """Slices whose bars lie within a purge of [start, end), in time order; the test slice without a purge."""
    reach = manifest.data.purge * Timeframe.parse(manifest.data.timeframe).ms
    return tuple(
        name
        for name, part in sorted(manifest.data.splits.items(), key=lambda split: split[1].start)
        for purge in (0 if name == TEST else reach,)
        if start < utc_ms(part.end) + purge and end > utc_ms(part.start) - purge
    )


def _end_of_making(manifest: Manifest) -> int:
    """The first instant a purge after everything the set was fitted, stopped or calibrated on."""
    reach = manifest.data.purge * Timeframe.parse(manifest.data.timeframe).ms
    return max(utc_ms(part.end) for name, part in manifest.data.splits.items() if name != TEST) + reach
