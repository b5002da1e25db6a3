"""The history a set is evaluated or audited on: any klines file in our column form, as the set reads it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from market import catalogue, history
from market.aggregate import AggregationError, aggregate
from market.candles import Candles
from market.funding import Funding
from market.timeframes import Timeframe, TimeframeError
from models import features
from models.inputs import Inputs, made_finer
from models.manifest import Manifest

FINER = Timeframe.parse("15m")
"""Of the second file, for sets with no member that reads it."""
_SYMBOL = re.compile(r"[A-Z0-9]{3,30}")
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
    finer : Candles or None
        At the finer timeframe the set reads; None where it reads none, or there are none.
    companion : Candles or None
        The companion symbol's, at the set's timeframe; None where the set compares nothing.
    besides : dict
        ``finer``, ``companion`` -> the file and its SHA-256, where one was read.
    """

    symbol: str
    file: Path
    sha256: str
    candles: Candles
    funding: Funding | None
    notes: tuple[str, ...] = ()
    finer: Candles | None = None
    companion: Candles | None = None
    besides: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def inputs(self) -> Inputs:
        """What the set may read of it."""
        return Inputs(self.candles, self.funding, self.finer, self.companion)


def read(
    manifest: Manifest,
    data: str,
    symbol: str | None = None,
    funding: Path | None = None,
    companion: Path | None = None,
) -> History:
    """Read a history for a set.

    Parameters
    ----------
    manifest : Manifest
        Of the set.
    data : str
        A parquet file of klines of the set's timeframe, or of a finer one; after a comma, one of the klines that its
        finer members read, where they cannot be made of the first.
    symbol : str, optional
        Without it, as the file is named.
    funding : Path, optional
        A parquet file of funding instants.
    companion : Path, optional
        A parquet file of the companion symbol's klines, for a set that compares two.

    Raises
    ------
    HistoryError
        If a file is missing or damaged.
    DataError
        If the candles cannot be made into the set's, or lack a column that its features read; if what it reads besides
        is not there, and it cannot do without.
    """
    file, second = _files(data)
    named = symbol or catalogue.symbol_of(file)
    if named is None:
        raise DataError(f"{file}: its name does not begin with a symbol such as BTCUSDT; say it by --symbol")
    if not _SYMBOL.fullmatch(named):
        raise DataError(f"{named!r} is no symbol; write it as the exchange does, such as BTCUSDT")
    base, timeframe = history.read(file), Timeframe.parse(manifest.data.timeframe)
    notes = []
    candles = _made(file, base, timeframe)
    if base.timeframe != timeframe:
        notes.append(
            f"{file.name}: {len(base):,} candles of {base.timeframe} made into {len(candles):,} of {timeframe}"
        )
    finer = _finer(manifest, named, file, base, second, notes)
    other = _companion(manifest, named, companion, notes)
    rates = None if funding is None else history.read_funding(funding)
    _check_columns(manifest, candles, rates, file, funding)
    besides = {
        what: {"file": str(path), "sha256": _sha256(path)}
        for what, path, found in (("finer", second, finer), ("companion", companion, other))
        if path is not None and found is not None
    }
    return History(named, file, _sha256(file), candles, rates, tuple(notes), finer, other, besides)


def _made(file: Path, base: Candles, timeframe: Timeframe) -> Candles:
    """Candles of the set's timeframe."""
    try:
        return aggregate(base, timeframe)
    except (TimeframeError, AggregationError) as error:
        raise DataError(f"{file}: {error}; this set reads {timeframe} candles: give a file of them") from error


def _finer(
    manifest: Manifest, symbol: str, file: Path, base: Candles, second: Path | None, notes: list[str]
) -> Candles | None:
    """What the set's finer members read: from the second file, or made of the first if that is fine enough."""
    timeframe = manifest.finer_timeframe
    if timeframe is None:
        if second is not None:
            detail = history.read(second, FINER)
            told = f"{second.name}: {len(detail):,} sound candles of {FINER}"
            notes.append(f"{told}, not read: no member of this set looks at them")
        return None
    if second is not None:
        _check_symbol(second, symbol, "klines")
    made = made_finer(base if second is None else history.read(second), timeframe)
    if made is not None:
        return made
    named = ", ".join(m.name for m in manifest.models if m.timeframe is not None)
    told = f"{second or file}: no {timeframe} candles can be made of it, and {named} reads them"
    if second is not None or manifest.ensemble.dead_member == "refuse":
        raise DataError(f"{told}: give them after a comma, --data {file},FILE")
    notes.append(f"{named} is dead: it reads {timeframe} klines, to be given after a comma; answered without it")
    return None


def _companion(manifest: Manifest, symbol: str, companion: Path | None, notes: list[str]) -> Candles | None:
    """The candles of the symbol that this one is compared with."""
    wanted, timeframe = manifest.companion_of(symbol), Timeframe.parse(manifest.data.timeframe)
    if wanted is None:
        if companion is not None:
            notes.append(f"{companion.name}: not read, for no feature of this set compares two symbols")
        return None
    if companion is None:
        compared = [f.name for f in _chosen(manifest) if features.COMPANION in f.needs]
        raise DataError(
            f"set {manifest.id} compares {symbol} with {wanted} ({', '.join(compared)}): give {wanted}'s klines by "
            f"--companion FILE"
        )
    _check_symbol(companion, wanted, "klines")
    return _made(companion, history.read(companion), timeframe)


def _check_symbol(file: Path, symbol: str, what: str) -> None:
    other = catalogue.symbol_of(file)
    if other not in (None, symbol):
        raise DataError(f"{file}: the {what} of {other}, by its name, where {symbol}'s are read; give {symbol}'s own")


def _chosen(manifest: Manifest) -> tuple[features.Feature, ...]:
    return features.REGISTRY.chosen(manifest.features.names)


def missing_columns(manifest: Manifest, candles: Candles, funding: Funding | None) -> dict[str, list[str]]:
    """Columns that features of the set read and no candle of the history has -> those features."""
    found: dict[str, list[str]] = {}
    for feature in _chosen(manifest):
        for column in feature.needs:
            if column != features.COMPANION and not _has(candles, funding, column):
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
