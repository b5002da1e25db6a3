"""The history a set is evaluated or audited on: any klines file in our column form, as the set reads it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market import catalogue, history
from market.aggregate import AggregationError, aggregate
from market.candles import Candles
from market.funding import Funding
from market.timeframes import Timeframe, TimeframeError
from models import features
from models.manifest import Manifest

FINER = Timeframe.parse("15m")
_SYMBOL = re.compile(r"[A-Z0-9]{3,30}")
"""Of the second file, for sets with a member that reads it."""
_CHUNK = 2**20


class DataError(Exception):
    """A history this set cannot be evaluated on; the message says why, and what to do."""

    exit_code = 7


@dataclass(frozen=True)
class History:
    """One symbol's history as a set reads it.

    Attributes
    ----------
    symbol : str
        The instrument.
    file : Path
        Where the candles are from.
    sha256 : str
        Of that file's bytes.
    candles : Candles
        At the set's timeframe.
    funding : Funding or None
        None where no file was given.
    notes : tuple of str
        What was done to get here, to be told.
    """

    symbol: str
    file: Path
    sha256: str
    candles: Candles
    funding: Funding | None
    notes: tuple[str, ...] = ()


def read(manifest: Manifest, data: str, symbol: str | None = None, funding: Path | None = None) -> History:
    """Read a history for a set.

    Parameters
    ----------
    manifest : Manifest
        Of the set.
    data : str
        A parquet file of klines of the set's timeframe, or of a finer one; after a comma, one of 15m klines.
    symbol : str, optional
        Without it, as the file is named.
    funding : Path, optional
        A parquet file of funding instants.

    Raises
    ------
    HistoryError
        If a file is missing or damaged.
    DataError
        If the candles cannot be made into the set's, or lack a column that its features read.
    """
    file, finer = _files(data)
    named = symbol or catalogue.symbol_of(file)
    if named is None:
        raise DataError(f"{file}: its name does not begin with a symbol such as BTCUSDT; say it by --symbol")
    if not _SYMBOL.fullmatch(named):
        raise DataError(f"{named!r} is no symbol; write it as the exchange does, such as BTCUSDT")
    base, timeframe = history.read(file), Timeframe.parse(manifest.data.timeframe)
    notes = []
    try:
        candles = aggregate(base, timeframe)
    except (TimeframeError, AggregationError) as error:
        raise DataError(f"{file}: {error}; this set reads {timeframe} candles: give a file of them") from error
    if base.timeframe != timeframe:
        notes.append(
            f"{file.name}: {len(base):,} candles of {base.timeframe} made into {len(candles):,} of {timeframe}"
        )
    if finer is not None:
        detail = history.read(finer, FINER)
        notes.append(
            f"{finer.name}: {len(detail):,} sound candles of {FINER}, not read: no member of this set looks at them"
        )
    rates = None if funding is None else history.read_funding(funding)
    _check_columns(manifest, candles, rates, file, funding)
    return History(named, file, _sha256(file), candles, rates, tuple(notes))


def missing_columns(manifest: Manifest, candles: Candles, funding: Funding | None) -> dict[str, list[str]]:
    """Columns that features of the set read and no candle of the history has -> those features."""
    found: dict[str, list[str]] = {}
    for feature in features.REGISTRY.chosen(manifest.features.names):
        for column in feature.needs:
            if not _has(candles, funding, column):
                found.setdefault(column, []).append(feature.name)
    return found


def _has(candles: Candles, funding: Funding | None, column: str) -> bool:
    if column == "funding":
        return funding is not None and len(funding) > 0
    return not np.isnan(getattr(candles, column)).all()


def _check_columns(
    manifest: Manifest, candles: Candles, rates: Funding | None, file: Path, funding: Path | None
) -> None:
    missing = missing_columns(manifest, candles, rates)
    if not missing:
        return
    told = [
        f"  {column}: read by {', '.join(names)} ({len(names)} of {len(manifest.features.names)} features)"
        for column, names in missing.items()
    ]
    remedies = []
    if set(missing) - {"funding"}:
        remedies.append(
            "give a file with these columns, as the exchange's own kline archives have them "
            "(`python -m market history` fetches them), or a set trained without the features that read them"
        )
    if "funding" in missing:
        remedies.append(
            "give the symbol's funding by --funding FILE" if funding is None else "its funding file is empty"
        )
    raise DataError(
        "\n".join([f"{file}: columns that set {manifest.id} reads are missing", *told, "; ".join(remedies)])
    )


def _files(data: str) -> tuple[Path, Path | None]:
    """The file, and the finer one after a comma."""
    if Path(data).exists() or "," not in data:
        return Path(data), None
    first, *rest = (Path(part.strip()) for part in data.split(","))
    if len(rest) > 1:
        raise DataError(f"{data}: {len(rest) + 1} files; give one of klines, and after a comma at most one of {FINER}")
    return first, rest[0]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()
