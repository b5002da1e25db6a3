"""Aims: what was hoped for, what was measured, and whether the interval settles it.

An aim is *met* where the whole interval lies on its side, *not met* where none of it does, and *inconclusive* where the
interval holds the bar. An aim of several conditions is met if each is, and not met if one of them surely is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.evaluation.rivals import HAR, RIVALS
from models.evaluation.sample import STACK
from models.metrics import Interval
from training.quality.figures import LONG, SHORT, SHORTEST, UP, Figures
from training.quality.recorded import FINER_FAMILY
from training.quality.wording import SECTIONS, estimate, interval, name, number

CLOSE_ENOUGH = 1e-4
"""Largest difference of logits between a trained network and its ONNX file."""
GAP = 0.02
LOW, HIGH = 0.3, 0.7
"""Where the task list wants outputs to lie."""


class Verdict(StrEnum):
    """What becomes of an aim."""

    MET = "met"
    NOT_MET = "not met"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"
    SHOWN = "shown"


@dataclass(frozen=True)
class Condition:
    """One thing an aim asks.

    Attributes
    ----------
    verdict : Verdict
    figure : str
        What was measured, in words: ``long pays .559 [.536, .584]``.
    reason : str
        Why it is not met, where it is not; empty where it is.
    """

    verdict: Verdict
    figure: str
    reason: str = ""


@dataclass(frozen=True)
class Aim:
    """An aim and its conditions."""

    asks: str
    conditions: tuple[Condition, ...]

    @property
    def verdict(self) -> Verdict:
        """Of all conditions together."""
        return together(condition.verdict for condition in self.conditions)

    @property
    def measured(self) -> str:
        """Every figure."""
        return "; ".join(condition.figure for condition in self.conditions if condition.figure)

    @property
    def reason(self) -> str:
        """Every reason, those that settle the verdict first."""
        ordered = sorted(self.conditions, key=lambda condition: condition.verdict != Verdict.NOT_MET)
        return "; ".join(dict.fromkeys(condition.reason for condition in ordered if condition.reason))


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several: the worst, a sure failure first and what was not run next."""
    found = set(verdicts)
    for verdict in (Verdict.NOT_MET, Verdict.NOT_RUN, Verdict.INCONCLUSIVE, Verdict.SHOWN):
        if verdict in found:
            return verdict
    return Verdict.MET if found else Verdict.NOT_RUN


def at_least(found: Interval | None, bar: float) -> Verdict:
    """Whether a figure reaches a bar; without an interval its value alone decides nothing."""
    if found is None or not math.isfinite(found.value):
        return Verdict.NOT_RUN
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Verdict.INCONCLUSIVE
    if found.low >= bar:
        return Verdict.MET
    return Verdict.NOT_MET if found.high < bar else Verdict.INCONCLUSIVE


def above_zero(found: Interval | None) -> Verdict:
    """Whether a paired lead is one: its whole interval above 0."""
    verdict = at_least(found, 0.0)
    return Verdict.INCONCLUSIVE if verdict == Verdict.MET and found is not None and found.low <= 0 else verdict


def within(found: Interval | None, bound: float) -> Verdict:
    """Whether a difference is at most `bound` either way."""
    if found is None or not math.isfinite(found.value):
        return Verdict.NOT_RUN
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Verdict.INCONCLUSIVE
    if -bound <= found.low and found.high <= bound:
        return Verdict.MET
    return Verdict.NOT_MET if found.low > bound or found.high < -bound else Verdict.INCONCLUSIVE


def reaching(what: str, found: Interval | None, bar: float, absent: str, weeks: float) -> Condition:
    """A condition that a figure reaches a bar, with the reason where it does not.

    Parameters
    ----------
    absent : str
        The reason where there is no figure.
    weeks : float
        That were judged: an interval is as wide as they are few.
    """
    verdict = at_least(found, bar)
    if found is None or verdict == Verdict.NOT_RUN:
        return Condition(Verdict.NOT_RUN, "", absent)
    figure, apart = f"{what} {estimate(found)}", found.value - bar
    if verdict == Verdict.MET:
        return Condition(verdict, figure)
    side = f"{what} is {number(abs(apart))} {'short of' if apart < 0 else 'above'} {number(bar, 2)}"
    if verdict == Verdict.NOT_MET:
        return Condition(verdict, figure, f"{side}, which its interval does not reach")
    return Condition(verdict, figure, f"{side}, which its interval holds ({weeks:.0f} weeks)")


def leading(what: str, found: Interval | None) -> Condition:
    """A condition that a paired lead is above 0."""
    verdict = above_zero(found)
    if found is None or verdict == Verdict.NOT_RUN:
        return Condition(Verdict.NOT_RUN, "", f"no lead on {what}")
    text = f"lead on {what} {estimate(found, sign=True)}"
    if verdict == Verdict.MET:
        return Condition(verdict, "")
    return Condition(verdict, "", f"{text} {'is below 0' if verdict == Verdict.NOT_MET else 'holds 0'}")


def aims(figures: Figures) -> list[Aim]:
    """Every aim of the model factory, in its order."""
    at = figures.spell(SHORTEST)
    found = [_stacked(figures, section, bar) for section, bar in ((LONG, 0.57), (SHORT, 0.57), (UP, 0.55))]
    found.append(_regime(figures))
    found.append(Aim(f"LSTM, {at}: AUC ≥ .54 for both sides", _sides(figures, "lstm", 0.54)))
    found.append(Aim("15m LSTM: AUC ≥ .52 for both sides", finer(figures, 0.52)))
    found.append(Aim("TFT's weight in the stack not negative, or explained", tuple(weight_conditions(figures, "tft"))))
    found.append(Aim(f"out of fold less test at most {number(GAP, 2)}, or inconclusive", tuple(gaps(figures))))
    found.append(Aim("torch against ONNX: logits within 1e-4", (parity(figures),)))
    found.append(Aim(f"outputs' 1–99 % shown against [{number(LOW, 1)}, {number(HIGH, 1)}]", tuple(outputs(figures))))
    beyond = tuple(_reaching(figures, section, STACK, 0.58) for section in (LONG, SHORT))
    return [*found, Aim(f"beyond: stacked {at} AUC ≥ .58 for both sides", beyond)]


def _stacked(figures: Figures, section: str, bar: float) -> Aim:
    conditions = [_reaching(figures, section, STACK, bar)]
    conditions += [leading(name(rival), figures.lead(section, SHORTEST, rival)) for rival in RIVALS]
    strongest = figures.strongest(section, SHORTEST)
    if conditions[0].reason and strongest is not None:
        best = number(figures.auc(section, SHORTEST, strongest).value)  # type: ignore[union-attr]
        note = f"the strongest baseline, {name(strongest)}, has {best}"
        conditions.append(Condition(Verdict.MET, "", note))
    return Aim(
        f"stacked {figures.spell(SHORTEST)}, {SECTIONS[section]}: AUC ≥ {number(bar, 2)}, every baseline surely beaten",
        tuple(conditions),
    )


def _reaching(figures: Figures, section: str, member: str, bar: float) -> Condition:
    found = figures.auc(section, SHORTEST, member)
    absent = f"the set has no {name(member)}" if SHORTEST in figures.horizons else f"the set has no {SHORTEST}-bar head"
    return reaching(SECTIONS[section], found, bar, absent, figures.weeks)


def _sides(figures: Figures, member: str, bar: float) -> tuple[Condition, ...]:
    return tuple(_reaching(figures, section, member, bar) for section in (LONG, SHORT))


def finer(figures: Figures, bar: float) -> tuple[Condition, ...]:
    """The 15m LSTM on its own label where its candles were given, else on the shortest horizon's."""
    if not figures.finer:
        return _sides(figures, FINER_FAMILY, bar)
    return tuple(reaching(f"own label {key}", auc, bar, "", figures.weeks) for key, auc in figures.finer.items())


def _regime(figures: Figures) -> Aim:
    told: Any = figures.told["regime"]
    leads = told["lead"].get(HAR, {})
    conditions = (
        reaching("accuracy", interval(told, "accuracy", "accuracy_ci"), 0.60, "no regime", figures.weeks),
        leading(f"{name(HAR)} in log-loss", interval(leads.get("log_loss"), "value", "ci")),
        leading(f"{name(HAR)} in kappa", interval(leads.get("kappa"), "value", "ci")),
    )
    return Aim("regime: accuracy ≥ .60, and surely better than HAR + calendar in log-loss and kappa", conditions)


def weight_conditions(figures: Figures, member: str) -> list[Condition]:
    """A member's weights at the shortest horizon, and what their bootstrapped sign says."""
    found = [w for w in figures.weights if w.member == member and w.head.startswith(f"{figures.horizons[0]}/")]
    if not found:
        return [Condition(Verdict.NOT_RUN, "", f"the set has no {name(member)}")]
    conditions = []
    for each in found:
        figure = f"{each.head} {number(each.stacked, 2)}, free {estimate(each.free, 2, sign=True)}"
        why = f"{each.head}: without the bound at 0 its sign is {each.sign}, above 0 in {each.positive:.0%} of samples"
        conditions.append(Condition(Verdict.MET, figure, "" if each.sign == "positive" else why))
    return conditions


def gaps(figures: Figures) -> list[Condition]:
    """Out of fold less test for each question at the shortest horizon."""
    found = []
    for section, title in SECTIONS.items():
        told: Any = figures.told["oof_test_gap"][section].get(str(figures.horizons[0]))
        gap = interval(told, "gap", "ci")
        verdict = within(gap, GAP)
        if gap is None:
            found.append(Condition(Verdict.NOT_RUN, "", f"{title}: {figures.told['oof_test_gap']['reason']}"))
            continue
        why = f"{title}: {told['says']}" if verdict != Verdict.MET else ""
        found.append(Condition(verdict, f"{title} {estimate(gap, sign=True)}", why))
    return found


def parity(figures: Figures) -> Condition:
    """The largest difference of any network's logits from its ONNX file's, at any batch size."""
    apart = [max(m.parity.values()) for m in figures.manifest.models if m.parity]
    if not apart:
        return Condition(Verdict.NOT_RUN, "", "the set has no network")
    worst = max(apart)
    if worst <= CLOSE_ENOUGH:
        return Condition(Verdict.MET, f"{worst:.1e}")
    return Condition(Verdict.NOT_MET, f"{worst:.1e}", "a network does not answer as it was trained")


def outputs(figures: Figures) -> list[Condition]:
    """The traded probabilities' 1–99 % on the test slice."""
    return [
        Condition(Verdict.SHOWN, f"{side} {reach(figures.outputs[side])}", f"{side}: {place(figures.outputs[side])}")
        for side in ("p_long", "p_short")
    ]


def reach(quantiles: tuple[float, float]) -> str:
    """``.342–.556``."""
    return "–".join(number(q) for q in quantiles)


def place(quantiles: tuple[float, float]) -> str:
    """Where the middle 98 % lie to [.3, .7]."""
    low, high = quantiles
    if low >= LOW and high <= HIGH:
        return "inside"
    sides = [side for side, out in (("below", low < LOW), ("above", high > HIGH)) if out]
    return f"reaches {' and '.join(sides)}"
