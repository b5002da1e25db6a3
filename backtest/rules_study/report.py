"""The study's report: one JSON object for a program, tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from backtest.broker import Costs
from backtest.rules_study.accounts import Account, Player
from backtest.rules_study.gaps import EVERY_DAYS, Gapped
from backtest.rules_study.measured import AIM, Compared, Figures
from backtest.rules_study.neutral import Neutral
from backtest.rules_study.study import Case
from backtest.rules_study.variants import FIXED, MATCHED, REGIME, VARIANTS
from backtest.significance import CONFIDENCE
from backtest.statistics import REGIMES
from market.candles import Floats
from market.instruments import cash_text
from models.manifest import utc
from models.metrics import Interval
from strategy.live_config import Rules

Json = dict[str, Any]
AGAINST = (FIXED, MATCHED)


@dataclass(frozen=True)
class Study:
    """Everything that was found, and what it was found with; `neutral` and `gaps` are empty if not asked for."""

    signals: str
    data: str
    players: Sequence[Player]
    rules: str
    costs: Costs
    cash: int
    block: int
    draws: int
    cases: Sequence[Case]
    neutral: Mapping[tuple[str, bool], Neutral]
    gaps: Mapping[float, Mapping[str, Gapped]]
    seeds: int
    gap_seeds: int


def as_json(study: Study) -> Json:
    """Everything, numbers to six digits, times in ISO 8601; what has no value is null."""
    return {
        "signals": study.signals,
        "data": study.data,
        "model_sets": [_set(p) for p in study.players],
        "rules": study.rules,
        "costs": asdict(study.costs),
        "cash": cash_text(study.cash),
        "confidence": CONFIDENCE,
        "block_days": study.block,
        "draws": study.draws,
        "aim": AIM,
        "variants": VARIANTS,
        "cases": [_case(c) for c in study.cases],
        "neutral": {
            "seeds": study.seeds,
            "kinds": [
                {
                    "entries": kind,
                    "costs": "as above" if paid else "none",
                    "sharpe": {name: _spread(values) for name, values in found.sharpes.items()},
                    "against_fixed": {
                        name: _spread(found.difference(name, FIXED)) for name in found.sharpes if name != FIXED
                    },
                }
                for (kind, paid), found in study.neutral.items()
            ],
        },
        "gaps": {
            "seeds": study.gap_seeds,
            "every_days": EVERY_DAYS,
            "sizes": [
                {"size": size, "variants": {n: {k: _six(v) for k, v in asdict(g).items()} for n, g in found.items()}}
                for size, found in study.gaps.items()
            ],
        },
    }


def _set(player: Player) -> Json:
    signals, told = player.signals, player.signals.frame.predictions
    ready = told.regime >= 0
    return {
        "id": signals.model_set.id,
        "symbol": signals.symbol,
        "from": utc(int(told.open_time[ready][0])),
        "to": utc(int(told.open_time[ready][-1])),
        "candles": int(ready.sum()),
        "judged_days": int(np.isin(player.days, signals.judged_days).sum()),
        "max_hold_bars": signals.hold,
        "regime_share": [_six(float(np.mean(told.regime[ready] == r))) for r in range(3)],
    }


def _case(case: Case) -> Json:
    return {
        "thresholds": case.thresholds,
        "halts": case.halts,
        "accounts": {
            who: {
                name: _account(account, case.figures[who][name])
                | {
                    "against": {
                        other: _compared(case.figures[who][name].against(case.figures[who][other])) for other in AGAINST
                    }
                }
                for name, account in accounts.items()
            }
            for who, accounts in case.accounts.items()
        },
        "terms": {name: [_terms(r) for r in rules] for name, rules in case.rules.items()},
    }


def _terms(rules: Rules) -> Json:
    kept = ("long_entry", "short_entry", "long_exit", "short_exit", "edge", "leverage", "stop_bps", "margin_bps")
    return {name: getattr(rules, name) for name in kept}


def _account(account: Account, figures: Figures) -> Json:
    return {
        "sharpe": _interval(figures.sharpe.interval()),
        "drawdown": _interval(figures.drawdown.interval()),
        "drawdown_at_decisions": _six(account.drawdown),
        "total_return": _six(account.total_return),
        "trades": account.trades,
        "stops": account.stops,
        "liquidations": account.liquidations,
        "mean_leverage": _six(account.mean_leverage),
        "exposure": _six(account.exposure),
        "time_in_market": _six(account.time_in_market),
        "by_regime": {name: _gains(*row) for name, row in zip(REGIMES, account.by_regime.tolist(), strict=True)},
        "halted_at": None if account.halted_ms is None else utc(account.halted_ms),
    }


def _gains(trades: float, total: float, squares: float, held_ms: float) -> Json:
    """Trades entered in a regime: gain before fees and funding as a fraction of the notional, and hours held."""
    if trades < 2:
        return {"trades": int(trades), "mean_gain": None, "deviation": None, "hours": None}
    mean = total / trades
    return {
        "trades": int(trades),
        "mean_gain": _six(mean),
        "deviation": _six(math.sqrt(max(squares - trades * mean**2, 0.0) / (trades - 1))),
        "hours": _six(held_ms / trades / 3_600_000),
    }


def _compared(found: Compared) -> Json:
    return {
        "sharpe": _interval(found.sharpe),
        "drawdown": _interval(found.drawdown),
        "above": _six(found.above),
        "beyond_aim": _interval(found.beyond_aim),
        "aim_reached": _six(found.aim_reached),
        "relative": _six(found.relative),
        "relative_interval": _interval(found.relative_interval) if found.relative_interval else None,
    }


def _spread(values: Floats) -> Json:
    """Mean with its standard error, the middle nine tenths, and the share above 0, over the seeds."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return {"mean": None, "standard_error": None, "low": None, "high": None, "above": None}
    low, high = np.quantile(known, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    error = float(known.std(ddof=1)) / math.sqrt(len(known))
    return {
        "mean": _six(float(known.mean())),
        "standard_error": _six(error),
        "low": _six(float(low)),
        "high": _six(float(high)),
        "above": _six(float(np.mean(known > 0))),
    }


def _interval(interval: Interval) -> Json:
    return {"value": _six(interval.value), "low": _six(interval.low), "high": _six(interval.high)}


def _six(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def show(console: Console, told: Json) -> None:
    """The tables, from the JSON itself."""
    for one in told["model_sets"]:
        console.print(
            f"{one['symbol']}: set {one['id']}, {one['candles']:,} candles {one['from'][:10]} to {one['to'][:10]}, "
            f"{one['judged_days']} days judged",
            highlight=False,
        )
    for case in told["cases"]:
        for who, accounts in case["accounts"].items():
            _show_accounts(console, f"{who}: thresholds {case['thresholds']}, halts {case['halts']}", accounts)
    for kind in told["neutral"]["kinds"]:
        _show_neutral(console, kind, told["neutral"]["seeds"])
    for size in told["gaps"]["sizes"]:
        _show_gaps(console, size, told["gaps"])


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left", no_wrap=True)
    return table


def _show_accounts(console: Console, title: str, accounts: Json) -> None:
    table = _table(
        title, "variant", "Sharpe", "less fixed", "drawdown", "return", "trades", "stops", "liquid.", "lever.",
        "exposure", "in market",
    )  # fmt: skip
    for name, a in accounts.items():
        less = "" if name == FIXED else _of(a["against"][FIXED]["sharpe"], "+.2f")
        table.add_row(
            name, _of(a["sharpe"], ".2f"), less, _of(a["drawdown"], ".0%"), _one(a["total_return"], "+.1%"),
            str(a["trades"]), str(a["stops"]), str(a["liquidations"]), _one(a["mean_leverage"], ".1f"),
            _one(a["exposure"], ".3f"), _one(a["time_in_market"], ".0%"),
        )  # fmt: skip
    console.print(table)
    against = accounts[REGIME]["against"][FIXED]
    console.print(
        f"by regime against fixed: Sharpe {_one(against['relative'], '+.0%')} {_bounds(against['relative_interval'])}, "
        f"less {AIM} times fixed {_of(against['beyond_aim'], '+.2f')}; the aim is reached in "
        f"{_one(against['aim_reached'], '.0%')} of the draws",
        highlight=False,
    )
    gains = (
        f"{name} {_bps(g['mean_gain'], '+.1f')} ± {_bps(g['deviation'], '.0f')} ({g['trades']} trades)"
        for name, g in accounts[FIXED]["by_regime"].items()
    )
    console.print(
        f"fixed, gain a trade by regime, bps of the notional before fees: {', '.join(gains)}\n", highlight=False
    )


def _show_neutral(console: Console, kind: Json, seeds: int) -> None:
    table = _table(
        f"random entries, {kind['entries']}, costs {kind['costs']}, {seeds} seeds",
        "variant", "mean Sharpe", "less fixed: mean ± s.e.", "middle 90 %", "above 0",
    )  # fmt: skip
    for name, sharpe in kind["sharpe"].items():
        less = kind["against_fixed"].get(name)
        table.add_row(
            name,
            _one(sharpe["mean"], "+.3f"),
            f"{_one(less['mean'], '+.3f')} ± {_one(less['standard_error'], '.3f')}" if less else "",
            f"[{_one(less['low'], '+.2f')}, {_one(less['high'], '+.2f')}]".replace("[", r"\[") if less else "",
            _one(less["above"], ".0%") if less else "",
        )
    console.print(table)


def _show_gaps(console: Console, size: Json, gaps: Json) -> None:
    table = _table(
        f"a gap of {size['size']:.0%} every {gaps['every_days']} days, mean of {gaps['seeds']} seeds",
        "variant", "liquidations", "stops", "trades", "return", "drawdown",
    )  # fmt: skip
    for name, g in size["variants"].items():
        table.add_row(
            name, _one(g["liquidations"], ".1f"), _one(g["stops"], ".0f"), _one(g["trades"], ".0f"),
            _one(g["total_return"], "+.1%"), _one(g["drawdown"], ".0%"),
        )  # fmt: skip
    console.print(table)


def _one(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _bps(fraction: float | None, form: str) -> str:
    return _one(None if fraction is None else 10_000 * fraction, form)


def _of(interval: Json, form: str) -> str:
    return f"{_one(interval['value'], form)} {_bounds(interval, form)}"


def _bounds(interval: Json | None, form: str = "+.0%") -> str:
    if interval is None:
        return "(no interval: fixed cannot be told from 0)"
    return rf"\[{_one(interval['low'], form)}, {_one(interval['high'], form)}]"
