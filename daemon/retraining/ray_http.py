"""Ray's dashboard over HTTP: the few calls that jobs take, each with the token, a deadline and a limit to its answer.

Written against Ray 2.60 (`ray/dashboard/modules/job/job_head.py`); nothing of Ray is imported.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import orjson

from daemon.retraining.backend import BackendError

LARGEST_PACKAGE = 100 * 2**20
"""Bytes that a dashboard takes in one request (`DASHBOARD_CLIENT_MAX_SIZE`)."""
LONGEST_ANSWER = 8 * 2**20
"""Bytes of an answer that are read: what takes longer to decode would hold up the loop."""
_LAST_WORDS = 400


class TooLong(BackendError):
    """An answer is longer than `LONGEST_ANSWER`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the dashboard said."""

    code: int
    body: bytes

    @property
    def good(self) -> bool:
        return self.code == 200

    @property
    def words(self) -> str:
        """The last line that is not empty: of a traceback, what was raised."""
        lines = [line.strip() for line in self.body.decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")[-_LAST_WORDS:]


class Dashboard:
    """The dashboard at `address`, asked with a token.

    Parameters
    ----------
    address : str
        ``http://HOST:8265``, or ``https://…`` where a proxy stands before it.
    token : str
        What `RAY_AUTH_TOKEN` is there.
    token_name : str
        Where the token was taken from, for messages.
    patience_s : float
        How long an answer may take; an upload as long for each MiB.
    authority : Path, optional
        Certificate (PEM) of the authority that https is signed by, if it is not a public one.
    """

    def __init__(self, address: str, token: str, token_name: str, patience_s: float, authority: Path | None) -> None:
        self.address, self._token, self._token_name = address.rstrip("/"), token, token_name
        self._patience_s, self._authority = patience_s, authority
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, content: Any = None) -> Answer:
        """Send a request, `content` as JSON; what the dashboard says to it, errors of its own included.

        Raises
        ------
        BackendError
            If it does not answer, or does not take the token.
        """
        data = None if content is None else orjson.dumps(content)
        return await self._send(method, path, data, self._patience_s)

    async def told(self, path: str) -> Any:
        """The JSON at `path`.

        Raises
        ------
        BackendError
            If there is none.
        """
        answer = await self.ask("GET", path)
        if not answer.good:
            raise BackendError(f"Ray at {self.address} says {answer.code} to {path}: {answer.words}")
        return self.read(answer)

    def read(self, answer: Answer) -> Any:
        """The JSON of an answer."""
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise BackendError(f"what answers at {self.address} is no Ray dashboard: {error}", lasting=True) from error

    async def upload(self, name: str, package: BinaryIO, size: int) -> None:
        """Leave a package (zip) there, unless it is there already; it is kept while a job uses it."""
        path = f"/api/packages/gcs/{name}"
        if (await self.ask("GET", path)).good:
            return
        answer = await self._send("PUT", path, package, self._patience_s * (1 + size / 2**20), size)
        if not answer.good:
            raise BackendError(f"Ray at {self.address} does not take the job's files: {answer.words}")

    async def asks_for_token(self) -> bool:
        """Whether who has no token is turned away."""
        answer = await self._send("GET", "/api/version", None, self._patience_s, token=False)
        return answer.code in (401, 403)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _send(
        self, method: str, path: str, data: Any, patience_s: float, size: int | None = None, token: bool = True
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"} if token else {}
        if data is not None:
            headers["Content-Type"] = "application/json" if size is None else "application/octet-stream"
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            async with self._connection().request(
                method, self.address + path, data=data, headers=headers, allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=patience_s),
            ) as response:  # fmt: skip
                answer = Answer(response.status, await self._body(response, path))
        except TimeoutError as error:
            raise BackendError(f"Ray at {self.address} does not answer within {patience_s:.0f} s") from error
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            raise BackendError(f"no connection to Ray at {self.address} is safe: {error}", lasting=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise BackendError(
                f"no Ray dashboard answers at {self.address}: {error}; is its head up, and the way to it open?"
            ) from error
        if token and answer.code in (401, 403):
            raise BackendError(
                f"Ray at {self.address} does not take the token of {self._token_name} ({answer.code}); give that name "
                "the token of the cluster, as `ray get-auth-token` prints it on its head",
                lasting=True,
            )
        return answer

    async def _body(self, response: aiohttp.ClientResponse, path: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            body += chunk
            if len(body) > LONGEST_ANSWER:
                raise TooLong(f"Ray at {self.address} answers {path} with more than {LONGEST_ANSWER >> 20} MiB")
        return bytes(body)

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            trusted: ssl.SSLContext | bool = True
            if self._authority is not None:
                try:
                    trusted = ssl.create_default_context(cafile=self._authority)
                except OSError as error:
                    raise BackendError(
                        f"{self._authority}: no certificate can be read: {error}", lasting=True
                    ) from error
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted))
        return self._session
