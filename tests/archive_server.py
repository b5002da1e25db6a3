"""An archive for tests: a folder laid out as the exchange's public one, served on a free port, its requests counted."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from market.candles import Candles
from market.download.spans import Span, days, months
from market.fills import RATE
from market.funding import Funding

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"


class ArchiveServer:
    """Serves files by path.

    Attributes
    ----------
    url : str
        Its base address.
    files : dict
        Path below ``data/futures/um/`` to content.
    asked : list of str
        The paths that were asked for, in order.
    failing : set of str
        Paths answered with 503.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.failing: set[str] = set()
        outer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/data/futures/um/")
                outer.asked.append(path)
                content = outer.files.get(path)
                status = 503 if path in outer.failing else 404 if content is None else 200
                body = content if status == 200 and content is not None else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ArchiveServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, path: str, content: bytes) -> None:
        """A file with its checksum beside it."""
        self.files[path] = content
        name = path.rsplit("/", 1)[-1]
        self.files[f"{path}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()

    def put_candles(self, symbol: str, candles: Candles, *, daily: bool = False, header: bool = True) -> list[str]:
        """Every whole month, or day, of the candles; returns the paths."""
        paths = []
        span = Span(int(candles.open_time[0]), int(candles.open_time[-1]) + candles.timeframe.ms)
        for part in days(span) if daily else months(span):
            if part.start < span.start or part.end > span.end:
                continue
            name = f"{symbol}-{candles.timeframe}-{part.day if daily else part.month}"
            period = "daily" if daily else "monthly"
            path = f"{period}/klines/{symbol}/{candles.timeframe}/{name}.zip"
            self.put(path, zipped(f"{name}.csv", rows(candles.between(part.start, part.end), header)))
            paths.append(path)
        return paths

    def put_funding(self, symbol: str, funding: Funding) -> list[str]:
        """Every month that the funding touches; returns the paths."""
        paths = []
        for month in months(Span(int(funding.time[0]), int(funding.time[-1]) + 1)):
            part = funding.between(month.start, month.end)
            lines = [f"{t + 3},8,{r / RATE:.8f}" for t, r in zip(part.time.tolist(), part.rate.tolist(), strict=True)]
            path = f"monthly/fundingRate/{symbol}/{symbol}-fundingRate-{month.month}.zip"
            self.put(path, zipped("funding.csv", [FUNDING_HEADER, *lines]))
            paths.append(path)
        return paths


def rows(candles: Candles, header: bool) -> Iterable[str]:
    """The lines of a kline file."""
    if header:
        yield HEADER
    for i in range(len(candles)):
        c = candles.row(i)
        close_time = c.open_time + candles.timeframe.ms - 1
        yield (
            f"{c.open_time},{c.open!r},{c.high!r},{c.low!r},{c.close!r},{c.volume!r},{close_time},{c.quote_volume!r},"
            f"{int(c.trades)},{c.taker_base!r},{c.taker_quote!r},0"
        )


def zipped(name: str, lines: Iterable[str]) -> bytes:
    """A zip of one text file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, "\n".join(lines) + "\n")
    return packed.getvalue()
