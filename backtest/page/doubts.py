"""What is hard to believe, or good to know, about a run: each figure with what usually stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from backtest.page.inputs import Inputs
from backtest.page.outcomes import TRADED, Calibration
from backtest.page.tables import Month
from backtest.page.words import count, counted, day, money, number, percent
from models.manifest import utc_ms
from strategy.plan import TradingState

HIGHEST_AUC = 0.60
HIGHEST_SHARPE = 4.0
HIGHEST_WON = 0.75
HIGHEST_PROFIT_FACTOR = 4.0
FEWEST_TRADES = 30
MOST_UNFORETOLD = 0.05


@dataclass(frozen=True)
class Doubt:
    """Something the reader should know first; `grave` if the figures can hardly be true as they stand."""

    what: str
    means: str
    grave: bool = True


def doubts(inputs: Inputs, calibrations: Sequence[Calibration], months: Sequence[Month]) -> list[Doubt]:
    """All of them, the grave first."""
    good, little = _too_good(inputs, months), _too_little(inputs)
    found = [*_foreseen(inputs, calibrations), *good, *little, *_worth_knowing(inputs)]
    return sorted(found, key=lambda d: not d.grave)


def _foreseen(inputs: Inputs, calibrations: Sequence[Calibration]) -> Iterator[Doubt]:
    known = [(c.direction_auc, c.of.name) for c in calibrations if c.direction_auc and not c.of.name.startswith(TRADED)]
    if known and max(known)[0] > HIGHEST_AUC:
        best, name = max(known)
        yield Doubt(
            f"AUC of direction is {number(best, 3)} ({name})",
            "Real hourly markets give .50 to .58. Above .60 it is a leak until proven otherwise: a feature that sees "
            "the label's own candles, a tested range that was trained on, or a synthetic market with a planted signal.",
        )
    manifest, result = inputs.model_set.manifest, inputs.result
    seen = 0
    for name, split in manifest.data.splits.items():
        if name != "test":
            overlap = min(utc_ms(split.end), result.end_ms) - max(utc_ms(split.start), result.start_ms)
            seen += max(overlap, 0)
    share = seen / max(result.end_ms - result.start_ms, 1)
    if not inputs.known_market:
        yield Doubt(
            f"fitted on {manifest.data.venue} {', '.join(manifest.data.symbols)}, tested on another market",
            "What it knows of one need not hold in another; no tested hour was seen in training.",
            grave=False,
        )
    elif share > 0 and not inputs.recorded:
        yield Doubt(
            f"{percent(share, 0)} of the tested time lies in what the set was fitted on, by its dates",
            "A set knows the answers there, and every figure that counts those hours is too good. Only hours after "
            f"{_last_known(inputs)} are new to it; use --from.",
            grave=share > 0.01,
        )


def _last_known(inputs: Inputs) -> str:
    return day(max(utc_ms(r.end) for name, r in inputs.model_set.manifest.data.splits.items() if name != "test"))


def _too_good(inputs: Inputs, months: Sequence[Month]) -> Iterator[Doubt]:
    figures, costs = inputs.figures, inputs.setting.costs
    trades = figures.all.trades
    if figures.sharpe is not None and figures.sharpe > HIGHEST_SHARPE:
        yield Doubt(
            f"Sharpe ratio is {number(figures.sharpe)}",
            "Nobody holds more than 3 for years. Usually a leak, costs left out, fills nobody would get, or a few "
            "weeks of luck.",
        )
    full = [m for m in months if m.whole]
    if len(full) >= 3 and trades and not any(m.change < 0 for m in full):
        yield Doubt(
            f"not one of {len(full)} months lost",
            "Good strategies lose about every third month. Usually a leak, or a risk that has not struck yet.",
        )
    if figures.all.won is not None and trades >= FEWEST_TRADES and figures.all.won > HIGHEST_WON:
        yield Doubt(
            f"{percent(figures.all.won, 0)} of the trades won",
            "Usually a leak; or exits that take small gains and let losses run, so that one loss eats many gains.",
        )
    if figures.profit_factor is not None and figures.profit_factor > HIGHEST_PROFIT_FACTOR:
        yield Doubt(
            f"profit factor is {number(figures.profit_factor)}",
            "Gains of more than four times the losses are a leak, costs left out, or very few trades.",
        )
    if trades and figures.max_drawdown == 0:
        yield Doubt("equity never fell from a peak", "With trades that is impossible but for a leak or a few trades.")
    if costs.taker_ppm == 0:
        yield Doubt("no fee is charged", "Every exchange takes one; a strategy that trades often lives off this alone.")
    if costs.slippage_ppm == 0:
        yield Doubt("no slippage is assumed", "A market order pays at least half the spread.", grave=False)
    gains = sorted((c.trade.profit for c in inputs.result.closed), reverse=True)
    profit = sum(gains)
    if profit > 0 and trades >= 5 and gains[0] > profit / 2:
        yield Doubt(
            f"one trade made {money(gains[0])} of the {money(profit)} that all made",
            "Without it there is little left. Luck looks like this.",
        )


def _too_little(inputs: Inputs) -> Iterator[Doubt]:
    figures, trades = inputs.figures, inputs.figures.all.trades
    if trades < FEWEST_TRADES:
        yield Doubt(
            counted(trades, "trade") if trades else "no trade",
            "Below thirty nearly every figure here is chance. Usually thresholds above what the set ever says (see the "
            "histograms), a short range, or an early halt.",
        )
    if trades >= 10 and (figures.long.trades == 0 or figures.short.trades == 0):
        side = "long" if figures.short.trades == 0 else "short"
        yield Doubt(
            f"all trades are {side}",
            "Usually a side whose threshold is out of reach, or a dead head; the result is then a bet on the market's "
            "direction.",
        )
    count_all, without = _unforetold(inputs)
    if count_all and without / count_all > MOST_UNFORETOLD:
        yield Doubt(
            f"{percent(without / count_all, 0)} of the tested candles have no prediction",
            "Usually holes in the data, or a missing column or --funding; nothing was entered there.",
        )
    for frame in inputs.frames:
        for name, column in (("long", frame.predictions.p_long), ("short", frame.predictions.p_short)):
            said = column[np.isfinite(column)]
            if len(said) > 100 and float(np.std(said)) < 0.002:
                yield Doubt(
                    f"{frame.instrument.symbol}: P({name}) hardly ever moves",
                    "A dead head or a stacker that collapsed says the base rate, whatever happens.",
                )


def _unforetold(inputs: Inputs) -> tuple[int, int]:
    """Tested candles, and how many of them have no prediction."""
    tested = without = 0
    for frame in inputs.frames:
        times = frame.decision.open_time[inputs.tested(frame)]
        told = frame.predictions.open_time[np.isfinite(frame.predictions.p_long)]
        tested += len(times)
        without += int((~np.isin(times, told)).sum())
    return tested, without


def _worth_knowing(inputs: Inputs) -> Iterator[Doubt]:
    result, manifest = inputs.result, inputs.model_set.manifest
    halts = [r for r in result.restrictions if r.state is TradingState.HALTED]
    if halts:
        since = (result.end_ms - halts[0].time) / max(result.end_ms - result.start_ms, 1)
        yield Doubt(
            f"trading was halted on {day(halts[0].time)} ({halts[0].reason}), and {percent(since, 0)} of the range is "
            "flat",
            "Nobody resumes in a backtest. Figures a year are then of the time before it, thinned by the time after.",
            grave=since > 0.2,
        )
    if inputs.figures.all.liquidated:
        yield Doubt(
            f"{counted(inputs.figures.all.liquidated, 'position')} liquidated",
            "A gap went through the stop and the whole margin was lost.",
            grave=False,
        )
    if any(f.funding is None or not len(f.funding) for f in inputs.frames):
        yield Doubt(
            "no funding was charged",
            "No funding history was given (--funding). On perpetuals it costs longs about 10 % a year of the notional.",
            grave=False,
        )
    if utc_ms(manifest.expires) < result.end_ms:
        yield Doubt(
            f"the set expires on {manifest.expires[:10]}, before the tested range ends",
            "The daemon would have stopped entering then; this run did not.",
            grave=False,
        )
    if result.refused:
        refused = sum(result.refused.values())
        yield Doubt(
            f"{counted(refused, 'entry', 'entries')} decided and not made",
            f"{'; '.join(f'{why} ({count(n)})' for why, n in result.refused.items())}.",
            grave=False,
        )
