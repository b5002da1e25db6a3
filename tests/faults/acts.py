"""What a scenario is made of: acts on the stage, and the faults that are armed in them."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import Any

from tests.faults.scenario import Act, Fault
from tests.faults.stage import MAIN, WAIT_S, NotSurvived, Stage, until
from tests.local_exchange import PATIENCE

ENTRY = {"method": "POST", "path": "/fapi/v1/order", "params": {"reduceOnly": None}}
EXIT = {"method": "POST", "path": "/fapi/v1/order", "params": {"reduceOnly": "true"}}
STOP = {"method": "POST", "path": "/fapi/v1/algoOrder"}
STOP_READ = {"method": "GET", "path": "/fapi/v1/algoOrder"}
STOP_CANCEL = {"method": "DELETE", "path": "/fapi/v1/algoOrder"}
LEVERAGE = {"method": "POST", "path": "/fapi/v1/leverage"}
KLINES = {"stream": "*@kline_*"}
CLOSE = {"stream": "*@kline_*", "fields": {"k.x": True}}
FORMING = {"stream": "*@kline_*", "fields": {"k.x": False}}
FILL = {"stream": "private", "fields": {"e": "ORDER_TRADE_UPDATE", "o.x": "TRADE"}}
MARKET_SOCKET = {"path": "/market/*"}
"""Messages by what they are to the daemon, in Binance's words."""


def strike(on: str, match: dict[str, Any], action: str, *, optional: bool = False, **rest: Any) -> Fault:
    """A fault: `rest` are the action's own keys, and `after`, `every`, `count`, `for_s`, `probability`."""
    counts = {key: rest.pop(key) for key in ("after", "every", "count", "for_s", "probability") if key in rest}
    name = f"{action} {on}" + (" (it need not come to it)" if optional else "")
    return {"name": name, "on": on, "match": match, "do": {"action": action, **rest}, **counts}


def refused(match: dict[str, Any], code: int, message: str, status: int = 400, **rest: Any) -> Fault:
    """A request that is refused, and not carried out."""
    return strike("request", match, "answer", status=status, code=code, message=message, **rest)


@dataclass(frozen=True)
class Start:
    """A daemon begins to live, and knows the exchange's truth; `ready` False only begins it."""

    name: str = MAIN
    ready: bool = True
    changes: tuple[tuple[str, Any], ...] = ()

    def __call__(self, stage: Stage) -> None:
        host = stage.host_named(self.name, **dict(self.changes))
        host.start()
        if self.ready:
            host.up()
            stage.listening()


@dataclass(frozen=True)
class Play:
    """So many candles, each settled before the next, within so many seconds."""

    bars: int = 1
    seconds: float = WAIT_S

    def __call__(self, stage: Stage) -> None:
        for _ in range(self.bars):
            stage.listening()
            stage.exchange.advance()
            stage.await_settled(self.seconds)


@dataclass(frozen=True)
class Advance:
    """So many candles, whether anybody listens or not."""

    bars: int = 1

    def __call__(self, stage: Stage) -> None:
        stage.exchange.advance(self.bars)


@dataclass(frozen=True)
class Settled:
    """The newest candle comes to rest."""

    def __call__(self, stage: Stage) -> None:
        stage.await_settled()


class Arm:
    """From now on these faults may strike."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults

    def __call__(self, stage: Stage) -> None:
        stage.arm(self._faults)


@dataclass(frozen=True)
class Struck:
    """The faults armed so far have struck, each at least once."""

    def __call__(self, stage: Stage) -> None:
        def all_of_them() -> bool:
            return all(told["hits"] or "need not" in told["name"] for told in stage.exchange.faults()["faults"])

        until(all_of_them, lambda: "every fault striking")


@dataclass(frozen=True)
class Disarm:
    """No more faults."""

    def __call__(self, stage: Stage) -> None:
        stage.exchange.disarm()
        stage.armed = []


class Hand:
    """Something happens to the account behind the daemon's back."""

    def __init__(self, action: str, **fields: Any) -> None:
        self._action, self._fields = action, fields

    def __call__(self, stage: Stage) -> None:
        stage.exchange.hand(self._action, **self._fields)


@dataclass(frozen=True)
class Killed:
    """The daemon is dead, by SIGKILL: now, or by a fault that was armed."""

    now: bool = True

    def __call__(self, stage: Stage) -> None:
        if self.now:
            stage.host.signal(signal.SIGKILL)
        stage.host.ended()


@dataclass(frozen=True)
class Terminate:
    """The daemon is asked to end, and does in good order."""

    def __call__(self, stage: Stage) -> None:
        stage.host.signal(signal.SIGTERM)
        if code := stage.host.ended():
            raise NotSurvived(f"it ended with {code} on SIGTERM; the log ends:\n{stage.host.tail()}")


@dataclass(frozen=True)
class Blocked:
    """The daemon's process stands still for so many seconds; `bars` close meanwhile."""

    seconds: float
    bars: int = 1

    def __call__(self, stage: Stage) -> None:
        stage.host.signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            stage.exchange.advance(self.bars)
            time.sleep(max(0.0, self.seconds - (time.monotonic() - began)))
        finally:
            stage.host.signal(signal.SIGCONT)
        stage.host.downs.append((began, time.monotonic()))


@dataclass(frozen=True)
class Says:
    """A daemon has logged this."""

    text: str
    name: str = MAIN

    def __call__(self, stage: Stage) -> None:
        host = stage.hosts[self.name]
        until(lambda: self.text in host.log(), lambda: f"it says {self.text!r}; the log ends:\n{host.tail()}")


@dataclass(frozen=True)
class Ends:
    """A daemon ends by itself, with this exit code and these words."""

    code: int
    text: str
    name: str = MAIN

    def __call__(self, stage: Stage) -> None:
        host = stage.hosts[self.name]
        code = host.ended()
        if code != self.code or self.text not in host.log():
            told = f"it ended with {code} instead of {self.code}, or without {self.text!r}"
            raise NotSurvived(f"{told}; the log ends:\n{host.tail()}")


@dataclass(frozen=True)
class Holds:
    """The exchange's books come to hold so many positions and so many stops."""

    positions: int
    stops: int
    seconds: float = 20.0

    def __call__(self, stage: Stage) -> None:
        def there() -> bool:
            state = stage.exchange.state()
            return (len(state["positions"]), len(state["stops"])) == (self.positions, self.stops)

        def what() -> str:
            held = f"{self.positions} positions and {self.stops} stops at the exchange"
            return f"{held}; the log ends:\n{stage.host.tail()}"

        until(there, what, self.seconds)


@dataclass(frozen=True)
class Pause:
    """Time passes."""

    seconds: float

    def __call__(self, stage: Stage) -> None:
        time.sleep(self.seconds * PATIENCE)


@dataclass(frozen=True)
class Live:
    """The last candle came by the stream, not by asking for it."""

    def __call__(self, stage: Stage) -> None:
        query = "SELECT json_extract(body, '$.live') FROM events WHERE kind = 'CandleClosed' ORDER BY seq DESC LIMIT 1"
        (last,) = stage.host.rows(query)
        if not last[0]:
            raise NotSurvived("the last candle was fetched: the stream has not taken over again")


class Do:
    """Several acts as one."""

    def __init__(self, *acts: Act) -> None:
        self._acts = acts

    def __call__(self, stage: Stage) -> None:
        for act in self._acts:
            act(stage)
