"""The exchange's public archive: one zip a month or day, with its SHA-256 beside it, verified before it is opened.

Layout and columns as documented for Binance's public data: ``data/futures/um/monthly/klines/BTCUSDT/1h/
BTCUSDT-1h-2024-06.zip`` and ``…zip.CHECKSUM``; older files have no header line.
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import pyarrow as pa
from pyarrow import csv

from market.backoff import Backoff
from market.candles import VALUES, Candles, Ints
from market.download.api import Unreachable
from market.download.spans import Span
from market.fills import RATE
from market.funding import Funding
from market.history import HistoryError
from market.integrity import Problem, check
from market.timeframes import Timeframe

ARCHIVE = "https://data.binance.vision"
TIMEOUT_S = 30
TRIES = 4
LARGEST_FILE = 512 * 1024 * 1024
_KLINE = (
    "open_time", "open", "high", "low", "close", "volume",
    "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "ignore",
)  # fmt: skip
_FUNDING = ("calc_time", "funding_interval_hours", "last_funding_rate")


class Archive:
    """Files below one address.

    Parameters
    ----------
    base : str
        Where ``data/futures/um`` lies.
    """

    def __init__(self, base: str = ARCHIVE) -> None:
        self.name = base.rstrip("/")
        self._root = f"{self.name}/data/futures/um"

    def month(self, symbol: str, timeframe: Timeframe, span: Span) -> Candles | None:
        """The candles of a whole month, or None if the archive has no such file (yet).

        Raises
        ------
        Unreachable
            If the archive does not answer.
        HistoryError
            If the file is not the one its checksum says, or holds damaged or foreign candles.
        """
        return self._klines("monthly", symbol, timeframe, span, span.month)

    def day(self, symbol: str, timeframe: Timeframe, span: Span) -> Candles | None:
        """The candles of a whole day; as `month`."""
        return self._klines("daily", symbol, timeframe, span, span.day)

    def funding(self, symbol: str, span: Span) -> Funding | None:
        """The funding instants of a whole month; as `month`."""
        url = f"{self._root}/monthly/fundingRate/{symbol}/{symbol}-fundingRate-{span.month}.zip"
        content = self._verified(url)
        if content is None:
            return None
        table = _table(content, _FUNDING, url)
        times = table["calc_time"].to_numpy().astype(np.int64)
        rates = np.rint(table["last_funding_rate"].to_numpy().astype(np.float64) * RATE)
        _refuse_foreign(times, span, url)
        if not np.all(np.isfinite(rates) & (np.abs(rates) < RATE)):
            raise HistoryError(f"{url}: a funding rate that is no fraction; nothing of the file was taken")
        return Funding(times, rates.astype(np.int64))

    def _klines(self, period: str, symbol: str, timeframe: Timeframe, span: Span, name: str) -> Candles | None:
        url = f"{self._root}/{period}/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{name}.zip"
        content = self._verified(url)
        if content is None:
            return None
        table = _table(content, _KLINE, url)
        times = table["open_time"].to_numpy().astype(np.int64)
        _refuse_foreign(times, span, url)
        candles = Candles(timeframe, times, *(table[v].to_numpy().astype(np.float64) for v in VALUES))
        if damage := check(candles).damage:
            raise HistoryError(f"{url}: {len(damage)} faults; nothing of the file was taken", damage)
        return candles

    def _verified(self, url: str) -> bytes | None:
        """A file's content, if it is what the checksum beside it says; None if there is no such file."""
        said = self._get(f"{url}.CHECKSUM")
        if said is None:
            return None
        expected = said.decode("ascii", "replace").split(maxsplit=1)[0].lower() if said.strip() else ""
        found = ""
        for _ in range(2):  # a cut transfer deserves a second one; a wrong file stays wrong
            content = self._get(url)
            if content is None:
                return None
            found = hashlib.sha256(content).hexdigest()
            if found == expected:
                return content
        raise HistoryError(
            f"{url}: its SHA-256 is {found}, its checksum file says {expected or 'nothing'}; the file was refused and "
            f"nothing else is lost. Run it again later, or with --source api"
        )

    def _get(self, url: str) -> bytes | None:
        backoff = Backoff(0.5)
        for left in range(TRIES - 1, -1, -1):
            try:
                with urlopen(Request(url, headers={"User-Agent": "regimen"}), timeout=TIMEOUT_S) as reply:
                    content: bytes = reply.read(LARGEST_FILE)
                    return content
            except (URLError, OSError) as error:
                if isinstance(error, HTTPError) and error.code == 404:
                    return None
                if not left:
                    raise Unreachable(f"{url}: {error}; what was fetched is kept, run it again later") from error
                time.sleep(backoff.next())
        raise AssertionError("unreachable")


def _table(content: bytes, columns: tuple[str, ...], url: str) -> pa.Table:
    """The columns of the one CSV file in a zip, with or without its header line, all numbers."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            names = packed.namelist()
            if len(names) != 1:
                raise HistoryError(f"{url}: holds {len(names)} files where one was expected")
            text = packed.read(names[0])
        headed = not text[:1].isdigit()
        read = csv.ReadOptions(column_names=columns, skip_rows=int(headed))
        types = {name: pa.int64() if name.endswith("_time") else pa.float64() for name in columns}
        return csv.read_csv(io.BytesIO(text), read, convert_options=csv.ConvertOptions(column_types=types))
    except (zipfile.BadZipFile, pa.ArrowException) as error:
        raise HistoryError(f"{url}: not a readable file of {', '.join(columns)}: {error}") from error


def _refuse_foreign(times: Ints, span: Span, url: str) -> None:
    wrong = np.flatnonzero((times < span.start) | (times >= span.end) | (np.diff(times, prepend=times[:1] - 1) <= 0))
    if len(wrong):
        told = [Problem(int(times[i]), "outside the file's span, or not later than the one before") for i in wrong[:10]]
        plausible = [problem for problem in told if 0 < problem.time < 4_102_444_800_000]
        raise HistoryError(f"{url}: {len(wrong)} times that are not of {span}; nothing of it was taken", plausible)
