"""The study: every variant under every kind of halt and threshold, a symbol at a time and all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from backtest.rules_study.accounts import Account, Player, together
from backtest.rules_study.measured import Figures, figures
from backtest.rules_study.variants import HALTS, MATCHED, OFF, VARIANTS, matched, under, variant
from strategy.live_config import Rules

FILE, OWN = "of the rules file", "own quantiles"
"""Where thresholds come from."""
POOLED = "together"


@dataclass(frozen=True)
class Case:
    """All variants under one choice of thresholds and halts.

    Attributes
    ----------
    thresholds, halts : str
        Which.
    rules : dict
        Variant -> the rules of each symbol.
    accounts : dict
        Symbol, or `POOLED`, -> variant -> its account.
    """

    thresholds: str
    halts: str
    rules: Mapping[str, Sequence[Rules]]
    accounts: Mapping[str, Mapping[str, Account]]
    block: int
    draws: int

    @cached_property
    def figures(self) -> dict[str, dict[str, Figures]]:
        """Symbol, or `POOLED`, -> variant -> its figures."""
        return {
            who: figures({name: account.daily for name, account in accounts.items()}, self.block, self.draws)
            for who, accounts in self.accounts.items()
        }


def case(
    players: Sequence[Player], rules: Sequence[Rules], thresholds: str, halts: str, block: int, draws: int
) -> Case:
    """Play every variant of each symbol's rules."""
    terms = {name: [under(halts, _terms(name, p, r)) for p, r in zip(players, rules, strict=True)] for name in VARIANTS}
    played = {name: [p.play(r) for p, r in zip(players, each, strict=True)] for name, each in terms.items()}
    accounts: dict[str, dict[str, Account]] = {
        p.signals.symbol: {name: played[name][at] for name in VARIANTS} for at, p in enumerate(players)
    }
    if len(players) > 1:
        accounts[POOLED] = {name: together(each) for name, each in played.items()}
    return Case(thresholds, halts, terms, accounts, block, draws)


def cases(
    players: Sequence[Player],
    thresholds: Mapping[str, Sequence[Rules]],
    block: int,
    draws: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Case]:
    """Every case; the first one is the main one: the first thresholds, no halts."""
    made: list[Case] = []
    for source, rules in thresholds.items():
        for halts in HALTS:
            made.append(case(players, rules, source, halts, block, draws))
            if progress:
                progress(len(made), len(thresholds) * len(HALTS))
    return made


def _terms(name: str, player: Player, rules: Rules) -> Rules:
    if name != MATCHED:
        return variant(name, rules)
    # matched without halts: which day a halt falls on would change the exposure more than any size does
    found = matched(under(OFF, rules), lambda r: player.play(r).exposure)
    return replace(found, halts=rules.halts)
