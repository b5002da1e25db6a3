"""Gathering: the history that a training or a judgement reads, brought up to date, checked against itself, and hashed.

Archive and exchange are the final word, and what they said is kept in the history folder. What a daemon heard itself is
joined to a copy of that, so that a wrong recording never becomes history and is compared anew each time.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from market import history
from market.agreement import agreement
from market.candles import Candles
from market.download import recorded
from market.download.api import Api
from market.download.archive import Archive
from market.download.update import update_candles, update_funding, whole_span
from market.history import HistoryError
from market.progress import Steps
from market.timeframes import Timeframe, utc_text

LOCK = ".lock"


@dataclass(frozen=True)
class Wanted:
    """What is gathered.

    Attributes
    ----------
    symbol, companion : str
        Whose candles, and another's that go along.
    timeframes : tuple of Timeframe
        The decision's, then shorter ones.
    start : int
        First open time, UTC ms.
    folder, out : Path
        Where downloads are kept between times, and where the files go.
    state_dir : Path, optional
        Of the daemon whose recording is joined.
    funding : bool
        Whether funding rates go along.
    tolerate : int
        Candles that two sources may disagree about.
    """

    symbol: str
    timeframes: tuple[Timeframe, ...]
    start: int
    folder: Path
    out: Path
    state_dir: Path | None = None
    companion: str | None = None
    funding: bool = False
    tolerate: int = recorded.TOLERATED


@dataclass
class Gathered:
    """The files, the hash of each, and what came of it in words."""

    data: list[Path] = field(default_factory=list)
    funding: Path | None = None
    companion: Path | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def gather(wanted: Wanted, api: Api | None, archive: Archive | None, steps: Steps) -> Gathered:
    """Bring it together, one at a time in a history folder; with neither source, of what lies there and was recorded.

    Raises
    ------
    HistoryError
        If a source fails or refuses, sources disagree beyond the tolerance, or a file is missing or damaged.
    OSError
        If a file cannot be written.
    """
    for made in (wanted.folder, wanted.out):
        made.mkdir(parents=True, exist_ok=True)
    with _alone(wanted.folder):
        return _Gathering(wanted, api, archive, steps).run()


class _Gathering:
    def __init__(self, wanted: Wanted, api: Api | None, archive: Archive | None, steps: Steps) -> None:
        self._wanted, self._api, self._archive, self._steps = wanted, api, archive, steps
        self._made = Gathered()

    def run(self) -> Gathered:
        wanted, made = self._wanted, self._made
        first = wanted.timeframes[0]
        longer = self._candles(wanted.symbol, first, made.data, wanted.funding)
        for timeframe in wanted.timeframes[1:]:
            self._compare(longer, self._candles(wanted.symbol, timeframe, made.data))
        if wanted.funding:
            kept = self._funding_file()
            if kept.is_file():
                made.funding = Path(shutil.copyfile(kept, wanted.out / kept.name))
                rates = history.read_funding(made.funding)
                made.told.append(f"{len(rates):,} funding instants to {utc_text(int(rates.time[-1]))}")
            else:
                made.told.append("no funding is known")
        if wanted.companion is not None:
            files: list[Path] = []
            self._candles(wanted.companion, first, files)
            (made.companion,) = files
        for file in (*made.data, made.funding, made.companion):
            if file is not None:
                made.hashes[file.name] = sha256(file)
        return made

    def _candles(self, symbol: str, timeframe: Timeframe, files: list[Path], funding: bool = False) -> Candles:
        """Download what is missing, join the recording to a copy, and check what came out."""
        wanted = self._wanted
        kept = wanted.folder / f"{symbol}-um-{timeframe}.parquet"
        came = 0
        if self._api is not None or self._archive is not None:
            span = whole_span(symbol, timeframe, wanted.start, None, self._api)
            _, outcome = update_candles(kept, symbol, timeframe, span, self._api, self._archive, self._steps)
            came = outcome.archived + outcome.asked
            if funding:
                update_funding(self._funding_file(), symbol, span, self._api, self._archive, self._steps)
        held = history.read(kept, timeframe) if kept.is_file() else None
        joined = self._joined(held, symbol, timeframe)
        if joined is None and held is None:
            raise HistoryError(
                f"no {timeframe} candles of {symbol}: {kept} is not there, and no daemon recorded any in "
                f"{wanted.state_dir}; download them first, or name a source"
            )
        candles = held if joined is None else joined.candles
        assert candles is not None
        file = wanted.out / kept.name
        history.write(candles, file)
        files.append(file)
        told = f"{symbol} {timeframe}: {len(candles):,} candles to {utc_text(int(candles.open_time[-1]))}"
        told += f", {came:,} downloaded, {len(history.check(candles).gaps)} gaps"
        if joined is not None:
            told += f", {joined.added:,} of the daemon's own joined"
            told += f", {joined.compared:,} compared and {joined.differing} differ"
        self._made.told.append(told)
        return candles

    def _joined(self, held: Candles | None, symbol: str, timeframe: Timeframe) -> recorded.Joined | None:
        """With what the daemon recorded, None where it recorded nothing of the kind."""
        wanted = self._wanted
        if wanted.state_dir is None or not recorded.holds(wanted.state_dir, symbol, timeframe):
            return None
        joined = recorded.join(held, *recorded.read(wanted.state_dir, symbol, timeframe))
        if joined.differing > wanted.tolerate:
            differences = [history.Problem(d.time, str(d).partition("  ")[2]) for d in joined.differences]
            raise HistoryError(
                f"{joined.differing} of {joined.compared} {timeframe} candles of {symbol} that history and the "
                f"daemon's recording both have differ, and {wanted.tolerate} are tolerated; check that both are of "
                f"the same exchange, and fetch the history again if it is wrong",
                differences,
            )
        return joined

    def _compare(self, longer: Candles, shorter: Candles) -> None:
        found = agreement(longer, shorter)
        told = f"{found.compared:,} candles of {longer.timeframe} compared with those of {shorter.timeframe}"
        if found.differing > self._wanted.tolerate:
            differences = [history.Problem(d.time, str(d).partition("  ")[2]) for d in found.disagreements]
            raise HistoryError(
                f"{told}: {found.differing} differ, and {self._wanted.tolerate} are tolerated; fetch the file that is "
                f"wrong again",
                differences,
            )
        self._made.told.append(f"{told}, {found.differing} differ")

    def _funding_file(self) -> Path:
        return self._wanted.folder / f"{self._wanted.symbol}-um-funding.parquet"


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which goes with its process: two that download would undo each other's work."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
