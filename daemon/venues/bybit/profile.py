"""What is peculiar to Bybit v5 linear (its documentation: V5, Integration Guidance, Error Codes, Place Order)."""

from __future__ import annotations

from daemon.events import Meaning
from daemon.orders import RECEIVE_WINDOW_MS
from daemon.venues.profile import Profile

BYBIT = Profile(
    id="bybit",
    name="Bybit v5 linear",
    code_field="retCode",
    message_field="retMsg",
    meanings={
        10002: Meaning.CLOCK_SKEW,
        10003: Meaning.BAD_KEY,
        10004: Meaning.BAD_KEY,
        10005: Meaning.BAD_KEY,
        10006: Meaning.TOO_MANY_REQUESTS,
        10010: Meaning.BAD_KEY,
        10018: Meaning.TOO_MANY_REQUESTS,
        33004: Meaning.BAD_KEY,
        34040: Meaning.ALREADY_SO,
        110001: Meaning.NO_SUCH_ORDER,
        110007: Meaning.NO_MARGIN,
        110012: Meaning.NO_MARGIN,
        110017: Meaning.NOTHING_TO_REDUCE,
        110025: Meaning.ALREADY_SO,
        110026: Meaning.ALREADY_SO,
        110043: Meaning.ALREADY_SO,
        110072: Meaning.DUPLICATE_ID,
        110092: Meaning.WOULD_TRIGGER,
        110093: Meaning.WOULD_TRIGGER,
    },
    outcome_unknown=frozenset({10000, 10016, 170007, 170032}),
    banned_until="",
    ban_ms=600_000,  # a 403 at the door: "access too frequent", for ten minutes
    receive_window_ms=RECEIVE_WINDOW_MS,
    private_url="/v5/private",
    keep_alive_ms=5_000,
    text_pongs=True,
    closed_flag="confirm",
    stops_apart=False,
    stop_fill_names_stop=True,
    answers_with_fill=False,
    client_ids_reusable=False,
    client_id=r"[A-Za-z0-9_-]{1,36}",
    taker_flow=False,
    kline_page=1_000,
    funding_page=200,
)
