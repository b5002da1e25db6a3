"""Who may ask: API keys, HMAC signatures over the exact query and body, and the request's own clock."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from market.exchange.refusals import Code, Refusal

DEFAULT_WINDOW_MS = 5_000
AHEAD_MS = 1_000
"""How far a request's clock may run ahead of the exchange's."""


class Gate:
    """Checks requests against the keys it knows.

    Parameters
    ----------
    secrets : mapping
        Secret by API key.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def check_key(self, key: str | None) -> str:
        """The secret of a known key."""
        secret = self._secrets.get(key or "")
        if secret is None:
            raise Refusal(Code.BAD_API_KEY)
        return secret

    def check(self, key: str | None, query: str, body: str, now_ms: int) -> dict[str, str]:
        """Parameters of a signed request, once key, signature and timestamp are right.

        The signature is the last parameter, of the body if there is one, and covers everything before it.
        """
        secret = self.check_key(key)
        raw = query + body
        payload, found, signature = raw.rpartition("signature=")
        payload = payload.removesuffix("&")
        if not found:
            raise Refusal(Code.MISSING_PARAMETER, "Mandatory parameter 'signature' was not sent.")
        expected = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise Refusal(Code.BAD_SIGNATURE)
        params = dict(parse_qsl(payload, keep_blank_values=True))
        try:
            sent, window = int(params["timestamp"]), int(params.get("recvWindow", DEFAULT_WINDOW_MS))
        except (KeyError, ValueError) as error:
            raise Refusal(Code.MISSING_PARAMETER, "Mandatory parameter 'timestamp' was not sent.") from error
        if sent > now_ms + AHEAD_MS or now_ms - sent > window:
            raise Refusal(Code.CLOCK_SKEW)
        return params
