"""Money: what is left after costs, of the recipe over its record, and of the set on the judged days."""

from __future__ import annotations

import numpy as np

from backtest import significance
from backtest.gate.evidence import Evidence
from backtest.gate.recipe import Played, on_common_days
from backtest.gate.ruling import above, at_least, at_most, not_surely_below, number, told
from backtest.statistics import DAY_MS
from backtest.verdict import Gate, Says
from market.candles import Floats
from market.instruments import Instrument
from models.metrics import Interval


def gates(evidence: Evidence) -> list[Gate]:
    """The family."""
    return [*_recipe(evidence), *_set(evidence)]


def _recipe(evidence: Evidence) -> list[Gate]:
    ours = evidence.challenger.walked
    theirs = None if evidence.champion is None else evidence.champion.walked
    if ours is None:
        return [_nothing("money/sharpe", "Does the recipe earn after costs (Sharpe ratio)?", "no record to trade on")]
    settings, terms = evidence.terms.config.money, evidence.terms
    cost = (terms.costs.taker_ppm + terms.costs.slippage_ppm) / 1_000_000
    symbol = {evidence.market.instrument.symbol: evidence.market.instrument}
    broken_even = [
        None if p is None else significance.break_even_cost(p.result.trades, symbol, terms.costs.slippage_ppm)
        for p in (ours, theirs)
    ]
    allowed = settings.drawdown_flat
    if theirs is not None:
        allowed = max(settings.drawdown * theirs.figures.max_drawdown, settings.drawdown_floor)
    found = [
        above(
            "money/sharpe",
            "Is the recipe's Sharpe ratio after costs above that of being flat?",
            _interval(evidence, ours.daily, significance.annual_sharpe),
            0.0,
            None if theirs is None else _sharpe(theirs),
        ),
        above(
            "money/return",
            "Does the recipe earn after costs (mean daily return)?",
            _interval(evidence, ours.daily, significance.mean_return),
            0.0,
            None if theirs is None else _mean(theirs),
        ),
        at_most(
            "money/drawdown",
            "Is the recipe's drawdown bearable?" if theirs is None else "Is it not far above the champion's drawdown?",
            ours.figures.max_drawdown,
            allowed,
            None if theirs is None else theirs.figures.max_drawdown,
        ),
        at_least(
            "money/break_even",
            "Would it still earn if costs were a multiple of those assumed (cost a side at which nothing is left)?",
            broken_even[0],
            settings.break_even * cost,
            broken_even[1],
        ),
        at_most(
            "money/liquidations",
            "Was it hardly ever liquidated?",
            float(ours.figures.all.liquidated),
            float(max(settings.liquidations, 0 if theirs is None else theirs.figures.all.liquidated)),
            None if theirs is None else float(theirs.figures.all.liquidated),
        ),
    ]
    found.append(_turnover(evidence, ours, theirs))
    if theirs is not None:
        found.append(_against(evidence, ours, theirs))
    return found


def _turnover(evidence: Evidence, ours: Played, theirs: Played | None) -> Gate:
    """Told alone: what trading costs is counted in the money."""
    name, question = (
        "money/turnover",
        "Does it trade not far more than the champion (notional a day, in starting cash)?",
    )
    turned = [0.0 if p is None else _turned_over(p, evidence.market.instrument) for p in (ours, theirs)]
    if not turned[1]:
        return Gate(name, question, Says.PASS, "told", challenger=turned[0], why="nothing to compare with")
    return told(at_most(name, question, turned[0], evidence.terms.config.money.turnover * turned[1], turned[1]))


def _against(evidence: Evidence, ours: Played, theirs: Played) -> Gate:
    """The two recipes on the same days. Money is the noisiest of measures: only what is surely worse fails."""
    settings = evidence.terms.config.bootstrap
    one, other = on_common_days(ours, theirs)
    sharpe = ours.figures.sharpe is not None and theirs.figures.sharpe is not None
    difference = significance.paired_difference(
        one,
        other,
        significance.annual_sharpe if sharpe else significance.mean_return,
        _block_days(evidence),
        settings.draws,
        settings.confidence,
        settings.seed,
    )
    return not_surely_below(
        "money/champion",
        f"Does it earn no less than the champion on the same days ({'Sharpe ratio' if sharpe else 'mean return'})?",
        difference,
        0.0,
        theirs.figures.sharpe if sharpe else _mean(theirs),
        ours.figures.sharpe if sharpe else _mean(ours),
    )


def _set(evidence: Evidence) -> list[Gate]:
    """No catastrophe of the set itself, on days that neither side has seen."""
    settings = evidence.terms.config.money
    ours = evidence.challenger.judged
    theirs = None if evidence.champion is None else evidence.champion.judged
    if ours is None:
        return [_nothing("judged/return", "Does the set avoid catastrophe on the judged days?", "no unseen days")]
    champion = None if theirs is None else theirs.net_return
    loss = at_least(
        "judged/return",
        "Does the set avoid catastrophe on the judged days (return after costs)?",
        ours.net_return,
        -settings.judge_loss,
        champion,
    )
    return [
        loss,
        at_most(
            "judged/drawdown",
            "And a catastrophic drawdown?",
            ours.figures.max_drawdown,
            settings.judge_drawdown,
            None if theirs is None else theirs.figures.max_drawdown,
        ),
        at_most(
            "judged/liquidations",
            "And liquidation?",
            float(ours.figures.all.liquidated),
            0.0,
            None if theirs is None else float(theirs.figures.all.liquidated),
        ),
    ]


def _interval(evidence: Evidence, daily: Floats, statistic: significance.Statistic) -> Interval:
    settings = evidence.terms.config.bootstrap
    return significance.bootstrap(
        daily, statistic, _block_days(evidence), settings.draws, settings.confidence, settings.seed
    )


def _block_days(evidence: Evidence) -> int:
    return max(1, evidence.terms.config.bootstrap.block_hours // 24)


def _sharpe(played: Played) -> float | None:
    return number(float(significance.annual_sharpe(played.daily))) if len(played.daily) else None


def _mean(played: Played) -> float | None:
    return number(float(np.mean(played.daily))) if len(played.daily) else None


def _turned_over(played: Played, instrument: Instrument) -> float:
    """Notional bought and sold a day, in units of the starting cash."""
    total = sum(
        instrument.notional(t.entry_price, t.quantity) + instrument.notional(t.exit_price, t.quantity)
        for t in played.result.trades
    )
    days = max(1, (played.result.end_ms - played.result.start_ms) // DAY_MS)
    return total / played.result.start_cash / days


def _nothing(name: str, question: str, why: str) -> Gate:
    return Gate(name, question, Says.UNCLEAR, "", why=why)
