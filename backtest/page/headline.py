"""The page's first words: the verdict in one sentence, and what decided it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backtest.page.inputs import Inputs
from backtest.page.words import counted, listed, number, percent
from backtest.verdict import NOT_ENOUGH, PROMOTE, Gate, Says, Verdict

Tone = Literal["good", "bad", "open", "plain"]
_WORST_FIRST = (Says.FAIL, Says.UNCLEAR, Says.WARNING, Says.PASS)


@dataclass(frozen=True)
class Headline:
    """A word, the sentence after it, and the gates that decided."""

    word: str
    tone: Tone
    sentence: str
    decided: tuple[Gate, ...] = ()


def headline(inputs: Inputs, held: float) -> Headline:
    """What the verdict says; for a plain backtest, what happened, beside `held`, the return of buy and hold."""
    verdict = inputs.verdict
    if verdict is None:
        told = f"{_happened(inputs, held)} Whether the set may trade was not asked."
        return Headline("No gate was run", "plain", told)
    against = f"against champion {verdict.champion}" if verdict.champion else "against flat, for want of a champion"
    failed, unclear, warned = (_those(verdict, says) for says in (Says.FAIL, Says.UNCLEAR, Says.WARNING))
    every = len(verdict.gates)
    if verdict.code == PROMOTE:
        noted = f"; {counted(len(warned), 'warning')} noted" if warned else ""
        return Headline("Promote", "good", f"No gate of {every} stands in the way {against}{noted}.", warned)
    if verdict.code == NOT_ENOUGH:
        stays = "the champion stays" if verdict.champion else "nothing trades"
        told = f"Nothing fails, but {counted(len(unclear), 'gate')} of {every} cannot tell {against}: {stays}."
        return Headline("Not enough evidence", "open", told, unclear)
    fail = "fails" if len(failed) == 1 else "fail"
    return Headline("Refused", "bad", f"{counted(len(failed), 'gate')} of {every} {fail} {against}.", failed)


def ordered(verdict: Verdict) -> list[Gate]:
    """The gates, those that decide first."""
    return sorted(verdict.gates, key=lambda gate: _WORST_FIRST.index(gate.says))


def tally(verdict: Verdict) -> str:
    """How many gates say what."""
    counts = [(len(_those(verdict, says)), str(says)) for says in _WORST_FIRST]
    return listed([f"{n} {word}" for n, word in counts if n])


def _those(verdict: Verdict, says: Says) -> tuple[Gate, ...]:
    return tuple(g for g in verdict.gates if g.says is says)


def _happened(inputs: Inputs, held: float) -> str:
    figures, days = inputs.figures, (inputs.result.end_ms - inputs.result.start_ms) / 86_400_000
    return (
        f"A plain backtest: {percent(figures.total_return, 1, True)} in {counted(round(days), 'day')} and "
        f"{counted(figures.all.trades, 'trade')}, Sharpe ratio {number(figures.sharpe)}, "
        f"largest drawdown {percent(figures.max_drawdown)}; buy and hold "
        f"{percent(held, 1, True)}."
    )
