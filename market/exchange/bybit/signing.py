"""Who may ask: keys and HMAC signatures in headers, over timestamp, key, window and the exact query or body."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from market.exchange.bybit.refusals import BAD_KEY, EXPIRED, Ret
from market.exchange.codec import Asked
from market.exchange.refusals import Code, Refusal

DEFAULT_WINDOW_MS = 5_000
AHEAD_MS = 1_000
"""How far a request's clock may run ahead of the exchange's."""


def check(asked: Asked, secrets: Mapping[str, str], now_ms: int) -> None:
    """Refuse a request whose key, date or signature is not right."""
    headers = asked.headers
    key = headers.get("X-BAPI-API-KEY", "")
    sent_text = headers.get("X-BAPI-TIMESTAMP", "")
    window_text = headers.get("X-BAPI-RECV-WINDOW", "")
    if key not in secrets:
        raise Ret(BAD_KEY, "API key is invalid.")
    if not sent_text.isdecimal() or not (window_text or "0").isdecimal():
        raise Refusal(Code.MISSING_PARAMETER, "params error: X-BAPI-TIMESTAMP and X-BAPI-RECV-WINDOW are milliseconds")
    sent, window = int(sent_text), int(window_text or DEFAULT_WINDOW_MS)
    if sent >= now_ms + AHEAD_MS or now_ms - sent > window:
        raise Ret(
            EXPIRED,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{sent}],server_timestamp[{now_ms}],recv_window[{window}]",
        )
    payload = asked.body if asked.method == "POST" else asked.query
    if not right(secrets[key], f"{sent_text}{key}{window_text}{payload}", headers.get("X-BAPI-SIGN", "")):
        raise Refusal(Code.BAD_SIGNATURE)


def right(secret: str, payload: str, signature: str) -> bool:
    """Whether a signature is that of the payload."""
    expected = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature.lower())
