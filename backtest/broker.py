"""The account and its positions in a backtest: what the local exchange does to them, without the sockets.

Every price, fee, margin and payment comes from `market.fills`, in the exchange's order: funding, then liquidation or a
gap through the stop at a bar's open, then the bar's path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from market import fills, tiers
from market.exchange.desk import MAX_QUANTITY
from market.instruments import Instrument, InstrumentError
from market.trades import LIQUIDATION, STOP, UNPROTECTED, Trade
from strategy.plan import Enter


class Refusal(StrEnum):
    """Why an entry that was decided is not made: it is not sent, or the exchange would refuse it."""

    BAND = "price too far from the close that was decided at"
    RESERVE = "reserve would be touched"
    QUANTITY = "above the exchange's largest quantity"
    COUNTABLE = "beyond the largest position that is counted exactly"
    NOTIONAL = "below the smallest notional at the price of the entry"
    TIER = "above the largest position at that leverage"
    MARGIN = "margin not sufficient at the price of the entry"


@dataclass(frozen=True, slots=True)
class Costs:
    """What a market execution costs: taker fee and slippage, both in 1e-6 (ppm)."""

    taker_ppm: int = 500
    slippage_ppm: int = 100


@dataclass(slots=True)
class Position:
    """An open position; cash units, ticks and steps, times in ms.

    `margin` is the isolated margin now (funding moves it, and `liquidation` with it), `entry_bar` the open time of the
    decision candle in which the entry filled, `regime` the one in force then.
    """

    side: int
    quantity: int
    cost: int
    margin: int
    leverage: int
    entry_time: int
    entry_bar: int
    regime: int
    stop: int
    stop_bps: int
    liquidation: int
    fees: int
    funding: int = 0


@dataclass(slots=True)
class Closed:
    """A trade, and what the report groups it by: the regime at entry."""

    trade: Trade
    regime: int


@dataclass(slots=True)
class Broker:
    """One wallet with at most one position a symbol; symbols are numbered as in `instruments`."""

    instruments: tuple[Instrument, ...]
    costs: Costs
    cash: int
    positions: list[Position | None] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    fees: int = 0
    funding: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = [None] * len(self.instruments)

    def fund(self, symbol: int, mark: int, rate: int) -> None:
        """Pay or receive funding on the mark's notional: wallet and isolated margin move, liquidation with them."""
        position, instrument = self.positions[symbol], self.instruments[symbol]
        if position is None:
            return
        paid = fills.funding_payment(instrument.notional(mark, position.quantity), position.side, rate)
        self.cash -= paid
        self.funding += paid
        position.funding += paid
        position.margin -= paid
        position.liquidation = self._liquidation(instrument, position)

    def reach(self, symbol: int, price: int, time: int, at_open: bool) -> str | None:
        """The price moves to `price`; returns `STOP` or `LIQUIDATION` if that closed the position."""
        position = self.positions[symbol]
        if position is None:
            return None
        what = fills.touched(position.side, position.stop, position.liquidation, price, at_open)
        if what == fills.NOTHING:
            return None
        filled = fills.exit_price(what, position.side, position.stop, price, at_open, self.costs.slippage_ppm)
        reason = STOP if what == fills.STOPPED else LIQUIDATION
        self._close(symbol, filled, time, reason)
        return reason

    def close(self, symbol: int, price: int, time: int, reason: str) -> None:
        """Close the position at market."""
        position = self.positions[symbol]
        assert position is not None
        self._close(symbol, fills.slipped(price, -position.side, self.costs.slippage_ppm), time, reason)

    def enter(self, symbol: int, order: Enter, price: int, time: int, entry_bar: int, regime: int) -> bool:
        """Open a position at market with its stop live at once; False if the exchange would refuse the order."""
        instrument = self.instruments[symbol]
        filled = fills.slipped(price, order.side, self.costs.slippage_ppm)
        if order.quantity > MAX_QUANTITY:
            return self.refuse(Refusal.QUANTITY)
        try:
            instrument.notional(
                4 * price, order.quantity
            )  # as the exchange: countable even if the price rises fourfold
        except InstrumentError:
            return self.refuse(Refusal.COUNTABLE)
        cost = instrument.notional(filled, order.quantity)
        margin, fee = fills.initial_margin(cost, order.leverage), fills.fee(cost, self.costs.taker_ppm)
        if instrument.notional(price, order.quantity) < instrument.min_notional:
            return self.refuse(Refusal.NOTIONAL)
        if instrument.notional(price, order.quantity) > tiers.max_notional(instrument.brackets, order.leverage):
            return self.refuse(Refusal.TIER)
        if not fills.affordable(self.free(), cost, order.leverage, self.costs.taker_ppm):
            return self.refuse(Refusal.MARGIN)
        self.cash -= fee
        self.fees += fee
        stop = fills.stop_price(cost, order.quantity, instrument.unit, order.side, order.stop_bps)
        position = Position(
            side=order.side,
            quantity=order.quantity,
            cost=cost,
            margin=margin,
            leverage=order.leverage,
            entry_time=time,
            entry_bar=entry_bar,
            regime=regime,
            stop=stop,
            stop_bps=order.stop_bps,
            liquidation=0,
            fees=fee,
        )
        position.liquidation = self._liquidation(instrument, position)
        self.positions[symbol] = position
        if fills.touched(order.side, stop, 0, price, at_open=True):
            # Rule: a stop the price has passed already is refused (-2021), and the position closed at market.
            self.close(symbol, price, time, UNPROTECTED)
        return True

    def free(self) -> int:
        """Cash that is not set aside as isolated margin."""
        return self.cash - sum(p.margin for p in self.positions if p)

    def _close(self, symbol: int, price: int, time: int, reason: str) -> None:
        position, instrument = self.positions[symbol], self.instruments[symbol]
        assert position is not None
        notional = instrument.notional(price, position.quantity)
        if reason == LIQUIDATION:
            # Rule: a liquidation costs the whole isolated margin and no fee; the rest goes to the insurance fund.
            realized, fee = -position.margin, 0
        else:
            realized = fills.realized_profit(position.side, position.cost, notional)
            fee = fills.fee(notional, self.costs.taker_ppm)
        self.cash += realized - fee
        self.fees += fee
        self.positions[symbol] = None
        fees = position.fees + fee
        trade = Trade(
            symbol=instrument.symbol,
            side=position.side,
            quantity=position.quantity,
            leverage=position.leverage,
            entry_time=position.entry_time,
            entry_price=position.cost // (position.quantity * instrument.unit),
            exit_time=time,
            exit_price=price,
            reason=reason,
            fees=fees,
            funding=position.funding,
            profit=realized - fees - position.funding,
            cash_after=self.cash,
        )
        self.closed.append(Closed(trade, position.regime))

    def _liquidation(self, instrument: Instrument, position: Position) -> int:
        return instrument.liquidation_price(position.cost, position.margin, position.quantity, position.side)

    def refuse(self, reason: Refusal) -> bool:
        """Count an entry that is not made; False."""
        why = str(reason)
        self.refused[why] = self.refused.get(why, 0) + 1
        return False
