"""Rate limits: counted by windows of wall time, told in headers, enforced with 429 and then 418."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from market.exchange.binance.rest import weight
from market.exchange.limits import Limits, TooMany
from market.exchange.refusals import Code

NOW = 1_700_000_040_000  # a whole minute


def refused(limits: Limits, now: int, weight: int = 1, orders: int = 0) -> TooMany:
    with pytest.raises(TooMany) as caught:
        limits.take(now, weight, orders)
    return caught.value


def test_what_is_asked_is_counted_and_a_new_minute_starts_anew() -> None:
    limits = Limits()
    limits.take(NOW, 40, 1)
    limits.take(NOW + 59_999, 2, 0)
    assert limits.headers(orders=False) == {"X-MBX-USED-WEIGHT-1M": "42"}
    limits.take(NOW + 60_000, 5, 1)
    assert limits.headers(orders=True) == {
        "X-MBX-USED-WEIGHT-1M": "5",
        "X-MBX-ORDER-COUNT-1M": "1",
        "X-MBX-ORDER-COUNT-10S": "1",
    }


def test_nobody_is_refused_unless_the_limits_are_enforced() -> None:
    Limits().take(NOW, 10_000, 10_000)


def test_over_the_limit_comes_429_until_the_minute_ends() -> None:
    limits = Limits(enforced=True)
    limits.take(NOW, 2_400, 0)
    refusal = refused(limits, NOW + 1_000)
    assert (refusal.status, refusal.code, refusal.retry_s) == (429, Code.TOO_MANY_REQUESTS, 59)
    assert "current limit of IP(127.0.0.1) is 2400 requests per minute" in refusal.message
    limits.take(NOW + 60_000, 1, 0)


def test_who_goes_on_is_banned_until_a_stated_time_and_longer_each_time() -> None:
    limits = Limits(enforced=True)
    limits.take(NOW, 2_400, 0)
    assert {refused(limits, NOW).status for _ in range(limits.patience)} == {429}
    banned = refused(limits, NOW)
    assert (banned.status, banned.code) == (418, Code.TOO_MANY_REQUESTS)
    assert f"banned until {NOW + 120_000}" in banned.message
    assert refused(limits, NOW + 119_999, weight=0).status == 418
    limits.take(NOW + 120_000, 2_400, 0)
    for _ in range(limits.patience):
        refused(limits, NOW + 120_000)
    assert f"banned until {NOW + 120_000 + 240_000}" in refused(limits, NOW + 120_000).message


def test_orders_have_limits_of_their_own() -> None:
    limits = Limits(enforced=True)
    limits.take(NOW, 0, 300)
    refusal = refused(limits, NOW + 9_000, weight=0, orders=1)
    assert (refusal.status, refusal.code) == (429, Code.TOO_MANY_ORDERS)
    assert "300 orders per TEN_SECONDS" in refusal.message
    limits.take(NOW + 9_000, 1, 0)  # asking is still allowed
    limits.take(NOW + 10_000, 0, 1)


def test_another_program_uses_up_the_same_budget() -> None:
    limits = Limits(enforced=True)
    limits.use(NOW, 2_400, 0)
    assert refused(limits, NOW).status == 429


def test_what_concerns_every_symbol_weighs_more() -> None:
    assert weight("GET", "/fapi/v1/openOrders", {}) == 40
    assert weight("GET", "/fapi/v1/openAlgoOrders", {"symbol": "BTCUSDT"}) == 1
    assert [weight("GET", "/fapi/v1/klines", {"limit": n}) for n in ("99", "499", "1000", "1500")] == [1, 2, 5, 10]
    assert weight("POST", "/fapi/v1/order", {}) == 0
    assert weight("GET", "/fapi/v1/time", {}) == 1


def test_replies_carry_the_counts_and_a_ban_the_time_it_ends(exchange: object) -> None:
    venue = exchange(bars=10, rate_limits=True)  # type: ignore[operator]
    with urlopen(f"{venue.url}/fapi/v1/time") as reply:
        assert int(reply.headers["X-MBX-USED-WEIGHT-1M"]) >= 1
    venue.hand("use_weight", weight=2_400)
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{venue.url}/fapi/v1/time")
    assert caught.value.code == 429
    assert 0 < int(caught.value.headers["Retry-After"]) <= 60
    until = venue.hand("ban", seconds=30)["banned_until"]
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{venue.url}/fapi/v1/time")
    assert caught.value.code == 418
    assert f"banned until {until}" in caught.value.read().decode()
    venue.hand("ban", seconds=0)
    venue.hand("rate_limits", on=False)
    assert urlopen(f"{venue.url}/fapi/v1/time").status == 200
