"""The backtest's report: tables for a terminal, one JSON object for a program."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from backtest.engine import Result
from backtest.order_inside import Change
from backtest.sources import Setting
from backtest.statistics import REGIMES, Group, Statistics
from market.instruments import CASH, Instrument, cash_text
from market.trades import UNPROTECTED, Trade
from strategy.plan import Reason, TradingState

_SIDES = {1: "long", -1: "short"}
_SHORT = {str(Reason.TIME): "time", UNPROTECTED: "unprotected", str(Reason.OPPOSITE_SIGNAL): "opposite"}
"""Reasons too long for a column."""


def as_json(setting: Setting, result: Result, figures: Statistics, inside: Change | None = None) -> dict[str, Any]:
    """Everything the tables show, and each trade; money as decimal text, times in ISO 8601."""
    instruments = {i.symbol: i for i in setting.instruments}
    return {
        "model_set": setting.model_set,
        "data": setting.data,
        "rules": setting.rules.name,
        "symbols": list(instruments),
        "from": _iso(result.start_ms),
        "to": _iso(result.end_ms),
        "bars": result.bars,
        "decisions": result.decisions,
        "costs": asdict(setting.costs),
        "mark": "last price (no mark history)",
        "start_cash": cash_text(result.start_cash),
        "cash": cash_text(result.cash),
        "equity": cash_text(result.equity),
        "total_return": figures.total_return,
        "market_return": setting.market_return,
        "max_drawdown": figures.max_drawdown,
        "sharpe_365d": figures.sharpe,
        "exposure": figures.exposure,
        "profit_factor": figures.profit_factor,
        "fees": cash_text(result.fees),
        "funding": cash_text(result.funding),
        "all": _group_json(figures.all),
        "long": _group_json(figures.long),
        "short": _group_json(figures.short),
        "regimes": {
            name: {"share_of_candles": figures.regime_share[name], **_group_json(group)}
            for name, group in figures.regimes.items()
        },
        "exits": figures.exits,
        "decisions_by_reason": result.reasons,
        "restrictions": [
            {"time": _iso(r.time), "state": str(r.state), "reason": str(r.reason)} for r in result.restrictions
        ],
        "candles_restricted": result.restricted,
        "entries_not_made": result.refused,
        "predictions_refused": setting.refusals,
        "predicted_without": setting.without,
        "order_inside_bars": inside and inside.as_json(),
        "open_positions": [
            {
                "symbol": o.symbol,
                "side": _SIDES[o.position.side],
                "quantity": instruments[o.symbol].quantity_text(o.position.quantity),
                "entry_time": _iso(o.position.entry_time),
                "stop": instruments[o.symbol].price_text(o.position.stop),
                "open_profit": cash_text(o.profit),
            }
            for o in result.open
        ],
        "trades": [trade_json(c.trade, instruments[c.trade.symbol]) for c in result.closed],
    }


def trade_json(trade: Trade, instrument: Instrument) -> dict[str, Any]:
    """One trade in decimal text and ISO times."""
    return {
        "symbol": trade.symbol,
        "side": _SIDES[trade.side],
        "quantity": instrument.quantity_text(trade.quantity),
        "leverage": trade.leverage,
        "entry_time": _iso(trade.entry_time),
        "entry_price": instrument.price_text(trade.entry_price),
        "exit_time": _iso(trade.exit_time),
        "exit_price": instrument.price_text(trade.exit_price),
        "reason": trade.reason,
        "fees": cash_text(trade.fees),
        "funding": cash_text(trade.funding),
        "profit": cash_text(trade.profit),
        "cash_after": cash_text(trade.cash_after),
    }


def show(
    console: Console,
    setting: Setting,
    result: Result,
    figures: Statistics,
    trades: int,
    inside: Change | None = None,
) -> None:
    """Print the tables, and the last `trades` trades."""
    console.print(Stack(_head(setting, result), _summary(setting, result, figures), _by_regime(figures)))
    if inside:
        console.print(_inside(inside))
    for title, counts in (
        ("Exits", figures.exits),
        ("Decisions", result.reasons),
        ("Trading restricted", _struck(result)),
        ("Entries decided and not made", result.refused),
        ("Candles without a prediction, those before the test among them", setting.refusals),
        ("Candles predicted without a family of members", setting.without),
    ):
        if counts:
            console.print(_counts(title, counts))
    if (last := result.restrictions[-1:]) and last[0].state is TradingState.HALTED:
        console.print(
            f"halted on {_minute(last[0].time)} ({last[0].reason}), and flat from then on: nobody resumes in a backtest"
        )
    for left in result.open:
        console.print(
            f"open at the end: {left.symbol} {_SIDES[left.position.side]}, "
            f"{_money(left.profit, sign=True)} before closing costs (not a trade, in the equity)"
        )
    if trades:
        console.print(_trades(setting, result, trades))


def _head(setting: Setting, result: Result) -> Text:
    days = (result.end_ms - result.start_ms) / 86_400_000
    return Text.assemble(
        ("model set ", "dim"),
        setting.model_set,
        ("  rules ", "dim"),
        setting.rules.name,
        ("  data ", "dim"),
        f"{setting.data}\n",
        ("from ", "dim"),
        _minute(result.start_ms),
        (" to ", "dim"),
        f"{_minute(result.end_ms)} UTC, {days:.0f} days, {result.bars} bars, {result.decisions} decisions\n",
        ("costs ", "dim"),
        f"fee {setting.costs.taker_ppm / 10_000:g} %, slippage {setting.costs.slippage_ppm / 10_000:g} %, "
        "mark = last price (no mark history)",
    )


def _summary(setting: Setting, result: Result, figures: Statistics) -> Table:
    table = _table("Result", ("",), ("",))
    table.show_header = False
    market = _percent(setting.market_return, sign=True)
    rows = (
        ("cash at the start", _money(result.start_cash)),
        ("equity at the end", _money(result.equity)),
        ("return", _percent(figures.total_return, sign=True)),
        (f"price of {setting.instruments[0].symbol} meanwhile", market),
        ("largest drawdown", _percent(figures.max_drawdown)),
        ("Sharpe ratio, daily, 365 days", _number(figures.sharpe)),
        ("profit factor", _number(figures.profit_factor)),
        ("time in the market", _percent(figures.exposure)),
        ("trades (long / short)", f"{figures.all.trades} ({figures.long.trades} / {figures.short.trades})"),
        ("won", _percent(figures.all.won)),
        ("mean holding", _hours(figures.all.mean_hold_ms)),
        ("fees paid", _money(result.fees)),
        ("funding paid", _money(result.funding, sign=True)),
        ("liquidations", str(figures.all.liquidated)),
    )
    for name, value in rows:
        table.add_row(name, value)
    return table


def _table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """A table that fits eighty columns: no frame, columns in words of one line."""
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, min_width=30
    )
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _by_regime(figures: Statistics) -> Table:
    columns = ("candles", "trades", "won", "profit", "fees", "funding", "stops", "liquid.")
    table = _table("By regime at entry", ("regime",), columns)
    for name in REGIMES:
        table.add_row(name, _share(figures.regime_share[name]), *_group_cells(figures.regimes[name]))
    table.add_row("not settled", _share(figures.regime_share["none"]))
    table.add_row("all", "", *_group_cells(figures.all))
    return table


def _inside(change: Change) -> Table:
    title = f"Order inside the bar: {change.detailed:,} of {change.bars:,} bars in detail, {change.same:,} trades alike"
    table = _table(title, ("",), ("trades", "stops", "liquid.", "return", "drawdown", "Sharpe"))
    for name, f in (("in detail", change.with_detail), ("by the assumed path", change.without)):
        counts = (str(f.trades), str(f.stops), str(f.liquidations))
        table.add_row(name, *counts, _percent(f.total_return, sign=True), _percent(f.max_drawdown), _number(f.sharpe))
    return table


def _group_cells(group: Group) -> list[str]:
    money = (_money(group.profit, sign=True), _money(group.fees), _money(group.funding, sign=True))
    return [str(group.trades), _share(group.won), *money, str(group.stopped), str(group.liquidated)]


def _counts(title: str, counts: dict[str, int]) -> Table:
    table = _table(title, ("why",), ("times",))
    for name, count in counts.items():
        table.add_row(name, str(count))
    return table


def _struck(result: Result) -> dict[str, int]:
    return dict(Counter(f"{r.state}: {r.reason}" for r in result.restrictions))


def _trades(setting: Setting, result: Result, most: int) -> Table:
    shown, several = result.closed[-most:], len(setting.instruments) > 1
    title = f"Trades, the last {len(shown)} of {len(result.closed)}"
    left = (*(("symbol",) if several else ()), "entered", "side", "exit by")
    table = _table(title, left, ("size", "entry", "exit", "hours", "profit"))
    instruments = {i.symbol: i for i in setting.instruments}
    for t in (c.trade for c in shown):
        i = instruments[t.symbol]
        names = (
            *((t.symbol,) if several else ()),
            _minute(t.entry_time)[2:],
            _SIDES[t.side],
            _SHORT.get(t.reason, t.reason),
        )
        prices = (i.quantity_text(t.quantity), i.price_text(t.entry_price), i.price_text(t.exit_price))
        table.add_row(*names, *prices, f"{(t.exit_time - t.entry_time) / 3_600_000:.1f}", _money(t.profit, sign=True))
    return table


def _group_json(group: Group) -> dict[str, Any]:
    values = asdict(group)
    return {k: cash_text(v) if k in ("profit", "fees", "funding") else v for k, v in values.items()}


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _minute(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _money(units: int, sign: bool = False) -> str:
    return f"{units / CASH:{'+' if sign else ''},.2f}"


def _percent(fraction: float | None, sign: bool = False) -> str:
    return "-" if fraction is None else f"{fraction * 100:{'+' if sign else ''}.2f} %"


def _share(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction * 100:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _hours(ms: int | None) -> str:
    return "-" if ms is None else f"{ms / 3_600_000:.1f} h"
