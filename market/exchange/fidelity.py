"""Options for how faithful the exchange is beyond price and margin: executions, limits, lifetimes, fees, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from market.exchange.depth import UNLIMITED, Depth, DepthError, Rest
from market.exchange.fee_coin import FeeCoin
from market.exchange.store import keep_in
from market.exchange.venue import Lifetimes, Venue
from market.instruments import InstrumentError, cash

Command = TypeVar("Command", bound=Callable[..., Any])


def _fee_coin(context: click.Context, parameter: click.Parameter, value: str | None) -> FeeCoin | None:
    if value is None:
        return None
    try:
        asset, price, balance = value.split(",")
        coin = FeeCoin.opened_with(asset.strip(), cash(price.strip()), cash(balance.strip()))
    except (ValueError, InstrumentError) as error:
        raise click.BadParameter(f"{value!r}: write a coin, its price and a balance, such as BNB,600,10") from error
    if coin.price <= 0 or coin.balance < 0:
        raise click.BadParameter(f"{value!r}: the price must be positive, and the balance not negative")
    return coin


def _rest(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Rest, float]:
    if value in tuple(Rest):
        return Rest(value), 0.0
    try:
        seconds = Decimal(value)
    except InvalidOperation:
        seconds = Decimal(0)
    if not (seconds.is_finite() and seconds > 0):
        raise click.BadParameter(f"{value!r}: write {', '.join(Rest)}, or a number of seconds between executions")
    return Rest.COMMAND, float(seconds)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What the options said."""

    fill_at_most: str | None
    fill_rest: tuple[Rest, float]
    fee_coin: FeeCoin | None
    rate_limits: bool
    listen_key_lifetime: float
    connection_lifetime: float
    clock_offset: int
    state: Path | None
    seed: int

    def apply(self, venue: Venue) -> None:
        """Set a fresh venue up so, or as its file of state left it.

        Raises
        ------
        click.BadParameter
            If an amount cannot be read.
        StoreError
            If the file cannot be used.
        """
        rest, venue.fill_every_s = self.fill_rest
        try:
            most = self.fill_at_most
            venue.engine.depth = UNLIMITED if most is None else Depth.parse(most, rest, self.seed)
        except DepthError as error:
            raise click.BadParameter(str(error), param_hint="--fill-at-most") from error
        venue.engine.fee_coin = self.fee_coin
        venue.limits.enforced = self.rate_limits
        venue.lifetimes = Lifetimes(self.listen_key_lifetime, self.connection_lifetime)
        venue.clock_offset_ms = self.clock_offset
        if self.state is not None:
            keep_in(self.state, venue)


_SECONDS = click.FloatRange(0, min_open=True)

_OPTIONS = (
    click.option("--fill-at-most", help="Most that one execution takes: 40% of an order, or 0.05 of the coin [all]."),
    click.option(
        "--fill-rest",
        callback=_rest,
        default="at-once",
        show_default=True,
        help="When the rest of an order fills: at-once, price (at each next one), command (of the control port), or "
        "after so many seconds.",
    ),
    click.option("--fee-coin", callback=_fee_coin, help="Pay fees in a coin: its name, price and balance, BNB,600,10."),
    click.option("--rate-limits", is_flag=True, help="Enforce the rate limits of exchangeInfo: 429, then 418."),
    click.option(
        "--listen-key-lifetime", type=_SECONDS, default=3_600.0, show_default=True, help="Seconds, unless kept alive."
    ),
    click.option(
        "--connection-lifetime", type=_SECONDS, default=86_400.0, show_default=True, help="Of a WebSocket, seconds."
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path, dir_okay=False),
        help="SQLite file that keeps the account with each change; one that is there is continued.",
    ),
    click.option("--clock-offset", type=int, default=0, show_default=True, help="Of the exchange's clock, ms."),
)


def fidelity_options(command: Command) -> Command:
    """Give a command these options; it takes them as the keywords of `Fidelity`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
