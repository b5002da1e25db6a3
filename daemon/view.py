"""The view: the daemon as a person sees it. On a terminal a live picture, elsewhere a line a decision.

It only looks: at the engine's state after each step, and at the prices that pass the inlet. What it shows is written by
a thread of its own, so that a terminal or a pipe that takes nothing holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from daemon.batches import Batches
from daemon.commands import Command, RecordDecisions, RecordTrade
from daemon.engine import Engine
from daemon.events import Event, Opinion
from daemon.lifecycle import telling
from daemon.status import loop
from market.instruments import CASH, Instrument
from market.timeframes import utc_text
from market.trades import Trade
from models.modelset import CHAMPION, ModelSetError, pointed
from strategy.plan import Decision, TradingState

if TYPE_CHECKING:
    from daemon.app import Daemon

log = logging.getLogger("daemon.view")

REGIME = {-1: "unsettled", 0: "low", 1: "mid", 2: "high"}
REGIME_STYLE = {-1: "dim", 0: "green", 1: "yellow", 2: "red"}
STATE_STYLE = {TradingState.ACTIVE: "blue", TradingState.REDUCING: "yellow", TradingState.HALTED: "red"}
LOOP_STYLE = {"drift": "bold yellow", "swap": "bold cyan", "retraining": "bold cyan"}
BLOCKS = "▁▂▃▄▅▆▇█"
SPARK = 48
ROWS = 5
REFRESH_S = 0.2
CHAMPION_S = 2.0
LINES = 1_000
"""The most lines that may wait for a slow reader; further ones are left out."""
SCREEN = 4
LAST_S = 2.0
"""How long, at the end, what was not shown yet is waited for."""


class Lines:
    """Off a terminal: one line a decision and a trade, on stdout."""

    def __init__(self, daemon: Daemon, console: Console) -> None:
        self._daemon, self._console = daemon, console
        self._paper: Batches[str] = Batches("lines", self._print, LINES)
        self.left_out = 0

    def close(self) -> None:
        """Print what waits, as far as somebody reads it."""
        self._paper.close(LAST_S)

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        engine = self._daemon.engine
        if engine is None:
            return
        for command in commands:
            match command:
                case RecordDecisions():
                    for decision in command.decisions:
                        self._say(decision_line(engine, command, decision))
                case RecordTrade():
                    self._say(trade_line(engine.desks[command.trade.symbol].instrument, command.trade))

    def _say(self, text: str) -> None:
        if not self._paper.put(text):
            self.left_out += 1

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class LiveView:
    """On a terminal: a picture that is drawn again a few times a second."""

    def __init__(self, daemon: Daemon, console: Console) -> None:
        self._daemon, self._console = daemon, console
        self._decided: deque[tuple[int, Decision]] = deque(maxlen=ROWS)
        self._last: dict[str, Decision] = {}
        self._trades: deque[Trade] = deque(maxlen=ROWS)
        self._champion: str | None = None
        self._unreadable = ""
        self._read = float("-inf")
        self._failures: set[type[Exception]] = set()

    def stepped(self, event: Event, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case RecordDecisions():
                    for decision in command.decisions:
                        self._decided.append((command.bar, decision))
                        self._last[decision.symbol] = decision
                case RecordTrade():
                    self._trades.append(command.trade)

    async def run(self) -> None:
        """Draw until cancelled; the last picture stays on the screen, and what fails is told on it and drawn again."""
        live = Live(console=self._console, auto_refresh=False, transient=False)
        screen: Batches[Panel | None] = Batches("view", lambda pictures: self._draw(live, pictures), SCREEN)
        try:
            while True:
                await self._appointed()
                if not screen.waiting:  # a terminal that takes nothing gets the next picture when it does
                    screen.put(self._drawn())
                await asyncio.sleep(REFRESH_S)
        finally:
            screen.put(self._drawn())
            screen.put(None)
            screen.close(LAST_S)

    async def _appointed(self) -> None:
        """Read now and then who is champion: somebody may promote a set beside the daemon."""
        if time.monotonic() - self._read < CHAMPION_S:
            return
        self._champion, self._unreadable = None, ""
        try:
            self._champion = await asyncio.to_thread(pointed, CHAMPION, self._daemon.config.store)
        except ModelSetError as error:
            self._unreadable = str(error)
        except Exception as error:
            self._failed(error)
            self._unreadable = f"cannot be read: {error}"
        self._read = time.monotonic()

    def _drawn(self) -> Panel:
        """The picture, or why there is none."""
        try:
            return self.picture()
        except Exception as error:
            return self._failed(error)

    def _draw(self, live: Live, pictures: Sequence[Panel | None]) -> None:
        """Show the newest picture; None is the end. Called in the screen's thread, which a failure must not end."""
        shown = [picture for picture in pictures if picture is not None]
        try:
            if shown:
                _show(live, shown[-1])
        except Exception as error:
            with suppress(Exception):  # where the terminal itself is gone, the log has it
                _show(live, self._failed(error))
        if pictures[-1] is None:
            live.stop()

    def _failed(self, error: Exception) -> Panel:
        """What stands in a picture's place; the log gets each kind of failure once, not five times a second."""
        if type(error) not in self._failures:
            self._failures.add(type(error))
            log.error("the picture could not be drawn; the daemon trades on", exc_info=error)
        told = f"the picture could not be drawn (the log says where): {error!r}; the daemon trades on"
        return Panel(Text(told, style="bold red"), title="Regimen", border_style="red")

    def picture(self) -> Panel:
        """The whole picture as it stands now."""
        daemon, engine = self._daemon, self._daemon.engine
        title = f"[bold]Regimen[/] · {daemon.config.mode} · rules {daemon.rules.name} · model set {daemon.predictor.id}"
        if engine is None:
            return Panel(Text("waiting for the exchange …", style="dim"), title=title, border_style="blue")
        parts: list[RenderableType] = [
            self._account(engine),
            *self._loop(engine),
            *(self._symbol(engine, s) for s in daemon.config.symbols),
            self._history(engine),
        ]
        if daemon.alerts.recent:
            level, text = daemon.alerts.recent[-1]
            style = {"info": "dim", "warning": "yellow", "critical": "bold red"}[level]
            parts.append(Text(text, style=style, no_wrap=True, overflow="ellipsis"))
        style = STATE_STYLE[engine.state.memory.state]
        return Panel(Group(*parts), title=title, border_style=style)

    def _account(self, engine: Engine) -> Text:
        state, counts = engine.state, engine.state.counts
        where = utc_text(state.settled_bar) if state.settled_bar >= 0 else "no candle yet"
        text = Text.assemble(
            ("equity ", "dim"), (money(engine.equity), "bold"), ("  cash ", "dim"), money(state.cash),
            ("  candle ", "dim"), where, ("  candles ", "dim"), str(self._daemon.settled),
            ("  orders ", "dim"), str(counts.orders), ("  trades ", "dim"), str(counts.trades),
            ("  missed ", "dim"), str(counts.missed_candles),
        )  # fmt: skip
        if (memory := state.memory).reason:
            text.append(f"  {memory.state.upper()}: {memory.reason}", f"bold {STATE_STYLE[memory.state]}")
        return text

    def _loop(self, engine: Engine) -> list[Text]:
        """Who is champion, and in a line each what is under way that may replace it: drift, a swap, a retraining."""
        if self._daemon.loop_off:
            return [Text(self._daemon.loop_off, style="bold red")]
        if self._daemon.lifecycle is None:
            return []
        told, serving = loop(self._daemon, engine), self._daemon.predictor.id
        drift, run = told["drift"], told.get("retraining", {"run": None, "next": None})
        champion = "in service" if self._champion == serving else self._champion or "none yet"
        elsewhere = self._champion is not None and champion != "in service"
        if self._unreadable:
            champion, elsewhere = "not readable", True
        brief = Text.assemble(("champion ", "dim"), (champion, "yellow" if elsewhere else ""))
        under_way = {"drift": drift["level"] != "none", "swap": told["swap"], "retraining": run["run"]}
        quiet = {
            "drift": "not watched" if drift["unwatched"] else "none",
            "swap": "–",
            "retraining": run["next"] or "–",
        }
        for key, word in quiet.items():
            if not under_way[key]:
                brief.append(f"  {'next ' if key == 'retraining' else ''}{key} ", "dim").append(word)
        lines = [brief]
        for key, style in LOOP_STYLE.items():
            if under_way[key]:
                lines.append(Text.assemble((f"{key} ", "dim"), (telling.LINES[key](told[key]), style)))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return [*lines, Text(self._unreadable, style="yellow")] if self._unreadable else lines

    def _symbol(self, engine: Engine, symbol: str) -> Panel:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        price = self._daemon.inlet.prices.get(symbol)
        closes = self._daemon.store[symbol, self._daemon.config.decision_timeframe].window().close[-SPARK:]
        spark = sparkline([*closes, *([price] if price else [])])
        grid.add_row("price", Text.assemble((f"{price:,.2f}" if price else "–", "bold"), "  ", (spark, "cyan")))
        regime = engine.desks[symbol].book.memory.regime
        opinion = engine.state.opinions.get(symbol)
        grid.add_row("regime", Text.assemble((REGIME[regime], REGIME_STYLE[regime]), ("  " + _shares(opinion), "dim")))
        for row in _outlook(opinion):
            grid.add_row(*row)
        grid.add_row("position", _position(engine, symbol, price))
        if last := self._last.get(symbol):
            grid.add_row("decision", Text.assemble((last.action, "bold"), f" · {last.reason} · {last.detail}"))
        return Panel(grid, title=symbol, title_align="left", border_style="dim")

    def _history(self, engine: Engine) -> Group:
        """The last decisions, then the last trades."""
        lines = [Text(f"{utc_text(b)} {d.symbol} {d.action}: {d.reason}", style="dim") for b, d in self._decided]
        lines += [Text(trade_line(engine.desks[t.symbol].instrument, t), style=_gain(t.profit)) for t in self._trades]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)


def _show(live: Live, picture: Panel) -> None:
    live.update(picture)
    live.start()
    live.refresh()


def decision_line(engine: Engine, made: RecordDecisions, decision: Decision) -> str:
    """One decision in one line: candle, price, outlook, what and why, and the equity it was made with."""
    symbol = decision.symbol
    instrument, opinion = engine.desks[symbol].instrument, engine.state.opinions.get(symbol)
    outlook = opinion.outlook if opinion else None
    said = f"long {outlook.p_long:.3f} short {outlook.p_short:.3f}" if outlook else "no prediction"
    regime = REGIME[engine.desks[symbol].book.memory.regime]
    close = instrument.price_text(dict(made.closes)[symbol])  # the engine may be a candle further by now
    why = f"{decision.reason}" + (f" ({decision.detail})" if decision.detail else "")
    when, equity = utc_text(made.bar), money(made.equity)
    return f"{when} {symbol} {close} {regime} {said} → {decision.action}: {why} · equity {equity}"


def trade_line(instrument: Instrument, trade: Trade) -> str:
    """One closed trade in one line."""
    side = "long" if trade.side > 0 else "short"
    prices = f"{instrument.price_text(trade.entry_price)} → {instrument.price_text(trade.exit_price)}"
    quantity = instrument.quantity_text(trade.quantity)
    sign = "+" if trade.profit >= 0 else ""
    closed = utc_text(trade.exit_time)
    return f"{closed} {trade.symbol} {side} {quantity} {prices} {sign}{money(trade.profit)} ({trade.reason})"


def money(units: int) -> str:
    """An amount of cash units with two digits."""
    return f"{units / CASH:,.2f}"


def sparkline(values: Sequence[float]) -> str:
    """Block characters that rise and fall with the values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((v - low) * scale)] for v in values)


def _gain(profit: int) -> str:
    return "green" if profit >= 0 else "red"


def _shares(opinion: Opinion | None) -> str:
    if opinion is None or opinion.regime_probabilities is None:
        return ""
    return "  ".join(f"{REGIME[i]} {p:.0%}" for i, p in enumerate(opinion.regime_probabilities))


def _outlook(opinion: Opinion | None) -> list[tuple[str, Text]]:
    """A row a side: the probability the rules look at, then each horizon's as a bar."""
    if opinion is None or opinion.outlook is None:
        return [("outlook", Text(opinion.refusal if opinion else "–", style="dim"))]
    rows = []
    for name, at, whole in (("long", 1, opinion.outlook.p_long), ("short", 2, opinion.outlook.p_short)):
        style = "green" if name == "long" else "magenta"
        text = Text.assemble((f"{whole:.3f} ", "bold"))
        for horizon in opinion.horizons:
            share = float(horizon[at])
            text.append(f"  {horizon[0]:>2}h ", "dim").append(_bar(share), style).append(f" {share:.3f}", "dim")
        rows.append((name, text))
    return rows


def _bar(share: float, width: int = 12) -> str:
    filled = round(share * width)
    return "━" * filled + "╌" * (width - filled)


def _position(engine: Engine, symbol: str, price: float | None) -> Text:
    desk = engine.desks[symbol]
    lot, instrument = desk.book.lot, desk.instrument
    if lot is None:
        return Text("flat", style="dim")
    side = "long" if lot.side > 0 else "short"
    text = Text.assemble((f"{side} {instrument.quantity_text(lot.quantity)}", "bold"), f" at {lot.leverage}×")
    if price:
        profit = lot.side * (instrument.notional(instrument.nearest_ticks(price), lot.quantity) - lot.cost)
        text.append(f"  {'+' if profit >= 0 else ''}{money(profit)}", _gain(profit))
    text.append("  stop ", "dim").append(instrument.price_text(lot.stop), "red")
    return text.append(
        "  read back" if desk.protected() else "  NOT CONFIRMED", "dim" if desk.protected() else "bold red"
    )
