"""The dialects there are, by name."""

from __future__ import annotations

from market.exchange.binance.codec import Binance
from market.exchange.bybit.codec import Bybit
from market.exchange.codec import Codec

CODECS: dict[str, type[Codec]] = {codec.name: codec for codec in (Binance, Bybit)}
