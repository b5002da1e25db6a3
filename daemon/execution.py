"""Execution: does what the engine commands and reports what became of it, as events.

Commands run as tasks of their own. What opens risk keeps its order within a symbol; what protects, and questions, wait
behind nothing: a request that hangs must not hold up a stop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any

from daemon.alerts import Alerts
from daemon.backoff import insist
from daemon.commands import (
    Alert,
    AskOrder,
    AskStop,
    CancelStop,
    Command,
    MarketOrder,
    PlaceStop,
    Predict,
    PriceCoin,
    Reconcile,
    SetLeverage,
    StopOrder,
    Submit,
)
from daemon.events import CoinPriced, Event, Failed, Meaning, OrderStatus, OrderUpdated, StopUpdated, Unresolved
from daemon.gateway import GatewayError, OutcomeUnknown, Refused, readable, sent_ns
from daemon.inference import Inference
from daemon.reconciliation import Reconciliation
from daemon.venues.venue import Venue

log = logging.getLogger("daemon.execution")

STALE_S = 2.0
"""How long an order may wait behind others of its symbol before it is not sent at all."""
FRESH_S = 1.0
"""How long an answer that an order is absent may take, seconds: it was true when given, and the order may be coming."""
READ_BACK_PAUSES_S = (0.0, 0.05, 0.2)
"""A stop that was just acknowledged may not be found at once."""


class Execution:
    """Carries commands out.

    Parameters
    ----------
    emit : callable
        Takes the events in which results come back.
    on_order_sent : callable
        Told the monotonic instant (ns) at which a market order left.
    prices : mapping
        Symbol -> last price seen.
    """

    def __init__(
        self,
        venue: Venue,
        symbols: Iterable[str],
        reconciliation: Reconciliation,
        inference: Inference,
        alerts: Alerts,
        emit: Callable[[Event], None],
        on_order_sent: Callable[[int], None],
        prices: Mapping[str, float],
    ) -> None:
        self._venue, self._reconciliation = venue, reconciliation
        self._inference, self._alerts, self._emit, self._on_order_sent = inference, alerts, emit, on_order_sent
        self._prices = prices
        self._turns = {symbol: asyncio.Lock() for symbol in symbols}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._reconciling: asyncio.Task[None] | None = None
        self._reconcile_again = False

    def start(self, command: Command, commanded: float | None = None) -> None:
        """Begin a command of the monotonic instant `commanded` (s; now, if None); who only records needs nothing."""
        match command:
            case Predict():
                self._spawn(self._predict(command))
            case SetLeverage():
                self._spawn(self._in_turn(command.symbol, self._set_leverage(command)))
            case Submit():
                order = command.approved.order
                work = self._submit(order, time.monotonic() if commanded is None else commanded)
                self._spawn(work if order.reduce_only else self._in_turn(order.symbol, work))
            case PlaceStop():
                self._spawn(self._place_stop(command.approved.order))
            case CancelStop():
                self._spawn(self._cancel_stop(command))
            case AskOrder():
                self._spawn(self._ask_order(command))
            case AskStop():
                self._spawn(self._ask_stop(command.symbol, command.client_id))
            case Reconcile():
                self.reconcile(command.reason)
            case PriceCoin():
                self._spawn(self._price_coin(command))
            case Alert():
                self._alerts.tell(command.level, command.text)
            case _:
                pass

    def reconcile(self, reason: str) -> asyncio.Task[None]:
        """Ask for the exchange's truth until it is told; a request while one is under way has it asked once more."""
        log.info("reconciling: %s", reason)
        self._reconcile_again = True
        if self._reconciling is None or self._reconciling.done():
            self._reconciling = self._spawn(self._reconcile())
        return self._reconciling

    async def finish(self, timeout_s: float) -> None:
        """Let what is under way come to its end, for so long at most."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)

    async def close(self) -> None:
        """Give up what is under way; what became of it is asked at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.critical("a command ended in an error", exc_info=error)
            self._alerts.tell("critical", f"a command ended in an error: {error!r}")

    async def _in_turn(self, symbol: str, work: Coroutine[Any, Any, None]) -> None:
        async with self._turns[symbol]:
            await work

    async def _predict(self, command: Predict) -> None:
        self._emit(await self._inference.predict(command.bar, command.symbols))

    async def _reconcile(self) -> None:
        while self._reconcile_again:
            self._reconcile_again = False
            for event in await insist(self._reconciliation.ask, "reconciliation", GatewayError):
                self._emit(event)

    async def _price_coin(self, command: PriceCoin) -> None:
        try:
            with readable():
                price = await self._venue.coin_price(command.coin)
        except (Refused, OutcomeUnknown) as error:
            log.warning("the price of %s cannot be read: %s", command.coin, error)
            return
        if price is not None:
            self._emit(CoinPriced(command.coin, price))

    async def _set_leverage(self, command: SetLeverage) -> None:
        try:
            with readable():
                read = await self._venue.set_leverage(command.symbol, command.leverage)
        except Refused as error:
            self._fail(command.symbol, "SetLeverage", "", error)
        except OutcomeUnknown as error:
            self._emit(Failed(command.symbol, "SetLeverage", "", 0, str(error)))
        else:
            self._emit(replace(read, price=self._prices.get(command.symbol)))

    async def _submit(self, order: MarketOrder, commanded: float) -> None:
        if time.monotonic() - commanded > STALE_S:  # the engine may have given it up by now
            self._emit(Failed(order.symbol, "Submit", order.client_id, 0, "not sent: it had waited too long"))
            return
        sent: list[int] = []
        sent_ns.set(sent)
        began = time.monotonic()
        try:
            with readable():
                taken = await self._venue.place_order(order)
        except OutcomeUnknown as error:
            self._emit(Unresolved(order.symbol, order.client_id, str(error)))
        except Refused as error:
            if error.meaning is Meaning.DUPLICATE_ID:  # an order of ours has this id already: ask what became of it
                self._emit(Unresolved(order.symbol, order.client_id, str(error)))
            else:
                self._fail(order.symbol, "Submit", order.client_id, error)
        else:
            self._venue.gateway.acknowledged(began)
            self._emit(taken)
        finally:
            sent_ns.set(None)
            if sent:
                self._on_order_sent(sent[0])

    async def _place_stop(self, stop: StopOrder) -> None:
        accepted = StopUpdated(
            stop.symbol, stop.client_id, OrderStatus.ACCEPTED, stop.side, stop.trigger, stop.quantity
        )
        began = time.monotonic()
        try:
            with readable():
                accepted = await self._venue.place_stop(stop)
        except OutcomeUnknown as error:
            self._emit(Unresolved(stop.symbol, stop.client_id, str(error)))
            return
        except Refused as error:
            if error.meaning is not Meaning.DUPLICATE_ID:
                self._fail(stop.symbol, "PlaceStop", stop.client_id, error)
                return
        self._venue.gateway.acknowledged(began)
        self._emit(accepted)
        for pause in READ_BACK_PAUSES_S:
            await asyncio.sleep(pause)
            if await self._ask_stop(stop.symbol, stop.client_id, absence_counts=pause == READ_BACK_PAUSES_S[-1]):
                return

    async def _cancel_stop(self, command: CancelStop) -> None:
        try:
            with readable():
                await self._venue.cancel_stop(command.symbol, command.client_id)
        except OutcomeUnknown as error:
            self._emit(Unresolved(command.symbol, command.client_id, str(error)))
        except Refused as error:
            if error.meaning is Meaning.NO_SUCH_ORDER:  # gone already: filled, cancelled or never there
                await self._ask_stop(command.symbol, command.client_id)
            else:
                self._fail(command.symbol, "CancelStop", command.client_id, error)
        else:
            self._emit(StopUpdated(command.symbol, command.client_id, OrderStatus.CANCELED))

    async def _ask_order(self, command: AskOrder) -> None:
        symbol, client_id, asked = command.symbol, command.client_id, time.monotonic()
        try:
            with readable():
                events = await self._venue.ask_order(symbol, client_id)
        except Refused as error:
            if error.meaning is Meaning.NO_SUCH_ORDER and time.monotonic() - asked > FRESH_S:
                log.warning("%s: that there is no order %s was answered late and proves nothing", symbol, client_id)
            elif error.meaning is Meaning.NO_SUCH_ORDER:
                self._emit(OrderUpdated(symbol, client_id, OrderStatus.ABSENT))
            else:
                log.warning("%s: asking about order %s was refused: %s", symbol, client_id, error)
        except OutcomeUnknown as error:
            log.warning("%s: no answer about order %s: %s", symbol, client_id, error)
        else:
            for event in events:
                self._emit(event)

    async def _ask_stop(self, symbol: str, client_id: str, absence_counts: bool = True) -> bool:
        """Tell what became of a stop; False if that is not known. The engine asks again in its own time."""
        try:
            with readable():
                events = await self._venue.ask_stop(symbol, client_id)
        except Refused as error:
            if error.meaning is not Meaning.NO_SUCH_ORDER:
                log.warning("%s: asking about stop %s was refused: %s", symbol, client_id, error)
            elif absence_counts:
                self._emit(StopUpdated(symbol, client_id, OrderStatus.ABSENT, read_back=True))
                return True
            return False
        except OutcomeUnknown as error:
            log.warning("%s: no answer about stop %s: %s", symbol, client_id, error)
            return False
        for event in events:
            self._emit(event)
        return True

    def _fail(self, symbol: str, command: str, client_id: str, error: Refused) -> None:
        self._emit(Failed(symbol, command, client_id, error.code, error.message, error.meaning))
