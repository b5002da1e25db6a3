"""Tables: what the set is worth, section by section, from the figures alone; what it does not have has no row."""

from __future__ import annotations

from models.evaluation.rivals import RIVALS
from models.evaluation.sample import AVERAGE, STACK
from training.quality.aims import place, reach
from training.quality.figures import LONG, SHORT, Figures
from training.quality.recorded import Pair
from training.quality.wording import (
    NOTHING,
    SECTIONS,
    estimate,
    interval,
    name,
    number,
    table,
)


def aucs(figures: Figures) -> str:
    """AUC of everyone on every question."""
    parts = []
    names = (STACK, AVERAGE, *figures.families, *RIVALS)
    for h in figures.horizons:
        rows = []
        for member in names:
            found = [figures.auc(section, h, member) for section in SECTIONS]
            if any(each is not None for each in found):
                rows.append((name(member), *map(estimate, found)))
        parts.append(table((f"**{figures.spell(h)}**", *SECTIONS.values()), rows))
    rates = figures.told["base_rate"]
    kinds = {"long": "long", "short": "short", "up": "rises"}
    told = "; ".join(
        f"{figures.spell(h)} " + ", ".join(f"{number(rates[f'{h}/{key}'])} {word}" for key, word in kinds.items())
        for h in figures.horizons
    )
    return "\n".join(parts) + f"\nHow often each came: {told}.\n"


def leads(figures: Figures) -> str:
    """The stack's paired leads on every baseline and on the plain average."""
    rows = [
        (
            figures.spell(h),
            title,
            *(estimate(figures.lead(section, h, rival), sign=True) for rival in (*RIVALS, AVERAGE)),
        )
        for h in figures.horizons
        for section, title in SECTIONS.items()
    ]
    return table(("", "", *(f"on {name(rival)}" for rival in (*RIVALS, AVERAGE))), rows)


def gaps(figures: Figures) -> str:
    """Out of fold beside test: the stack on every question, everyone else at each horizon."""
    rows = []
    told = figures.told["oof_test_gap"]
    for h in figures.horizons:
        for section, title in SECTIONS.items():
            entry = told[section].get(str(h))
            if entry:
                found = [interval(entry, what, bounds) for what, bounds in (("oof", "oof_ci"), ("test", "test_ci"))]
                gap = interval(entry, "gap", "ci")
                rows.append((figures.spell(h), title, *map(estimate, found), estimate(gap, sign=True), entry["says"]))
    parts = [f"The stack, from {told['source']}:\n", table(("", "", "out of fold", "test", "gap", ""), rows)]
    parts.append("Everyone else: AUC out of fold, and in brackets less test; bold where that is surely not 0.\n")
    for h in figures.horizons:
        members = dict.fromkeys(each for section in SECTIONS for each in figures.pairs[section][h] if each != STACK)
        parts.append(
            table(
                (f"**{figures.spell(h)}**", *SECTIONS.values()),
                (
                    (name(each), *(_pair(figures.pairs[section][h].get(each)) for section in SECTIONS))
                    for each in members
                ),
            )
        )
    return "\n".join(parts)


def _pair(pair: Pair | None) -> str:
    """AUC out of fold, and what it is above the test slice's."""
    if pair is None:
        return NOTHING
    gap = estimate(pair.gap, sign=True)
    sure = pair.gap.low > 0 or pair.gap.high < 0
    return f"{estimate(pair.out_of_fold)} ({f'**{gap}**' if sure else gap})"


def quarters(figures: Figures) -> str:
    """AUC by quarter, of the folds and of the test slice."""
    parts = [
        "Folds and test slice; between them lie bars that stopped and calibrated. Quarters of fewer than four weeks "
        "are left out. The baseline is the one that is strongest on the test slice.\n"
    ]
    for section, title in SECTIONS.items():
        rows = [
            (each.name, "test" if each.test else "folds", f"{each.rows:,}", estimate(each.stack), estimate(each.rival))
            for each in figures.quarters[section]
        ]
        if rows:
            head = f"{title}, {figures.spell(figures.horizons[0])}"
            parts.append(table((head, "", "bars", name(STACK), name(figures.rivals[section])), rows))
    return "\n".join(parts)


def calibration(figures: Figures) -> str:
    """Slope, error and gain of the probabilities, and the shortest horizon's reliability bins."""
    rows, bins = [], []
    for h in figures.horizons:
        for section in (LONG, SHORT):
            stack = figures.told[section][str(h)][STACK]
            line = stack["calibration"]
            slope, intercept = (interval(line, what, f"{what}_ci") for what in ("slope", "intercept"))
            rows.append((
                figures.spell(h), SECTIONS[section],
                estimate(slope, 2), estimate(intercept, 2),
                number(line["expected_error"]), estimate(interval(stack, "brier", "brier_ci"), 4),
                estimate(interval(stack["log_loss_lead"].get("base_rate"), "value", "ci"), 4, sign=True),
            ))  # fmt: skip
            if h == figures.horizons[0]:
                bins += [
                    (SECTIONS[section], str(n), str(b["rows"]), number(b["said"]), number(b["came"]))
                    for n, b in enumerate(line["bins"], 1)
                ]
    head = ("", "", "slope", "intercept", "calibration error", "Brier", "log-loss less than the base rate's")
    return (
        "Slope 1 and intercept 0 are calibrated; a slope below 1 is too bold.\n\n"
        + table(head, rows)
        + f"\nThe stack's probabilities over {figures.spell(figures.horizons[0])} in ten bins:\n\n"
        + table(("", "bin", "bars", "said", "came"), bins)
    )


def regime(figures: Figures) -> str:
    """The regime classifier beside its baselines, and who says what of what came."""
    told = figures.told["regime"]
    rows = []
    kinds = ("accuracy", "kappa", "log_loss")
    for key, entry in {"**the set**": told, **told["baselines"]}.items():
        lead = told["lead"].get(key, {})
        rows.append((
            name(key) if key in told["baselines"] else key,
            *(estimate(interval(entry, what, f"{what}_ci")) for what in kinds),
            *(estimate(interval(lead.get(what), "value", "ci"), sign=True) for what in kinds),
        ))  # fmt: skip
    head = ("", "accuracy", "kappa", "log-loss", "the set's lead: accuracy", "kappa", "log-loss")
    said = ("low", "mid", "high")
    counts = [
        (name(who) if who != "set" else "the set", said[row], *map(str, figures.confusion[who][row]))
        for who in figures.confusion
        for row in range(3)
    ]
    return table(head, rows) + "\n" + table(("", "came", *(f"said {each}" for each in said)), counts)


def outputs(figures: Figures) -> str:
    """1–99 % of every probability at the shortest horizon."""
    rows = []
    for key, quantiles in sorted(figures.outputs.items(), key=lambda item: item[0] not in ("p_long", "p_short")):
        member, _, head = key.partition("/")
        rows.append(
            (name(member) if head else f"`{key}`, traded", head or "by weight", reach(quantiles), place(quantiles))
        )
    return "On the test slice, before stacking for a member.\n\n" + table(("", "", "1–99 %", "to [.3, .7]"), rows)
