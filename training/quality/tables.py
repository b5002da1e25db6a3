"""Tables: the sections of the page, each from the figures alone. What a set does not have has no row."""

from __future__ import annotations

from typing import Any

from models.evaluation.rivals import RIVALS
from models.evaluation.sample import AVERAGE, STACK
from training.quality.ablation import COMMAND, not_run
from training.quality.aims import CLOSE_ENOUGH, parity, place, reach
from training.quality.figures import LONG, Figures
from training.quality.wording import (
    NOT_RUN,
    NOTHING,
    SECTIONS,
    command_of,
    estimate,
    interval,
    name,
    number,
    of_evidence,
    table,
)

Json = dict[str, Any]


def judged(figures: Figures) -> str:
    """What the set is, and of what: ids, ranges, hashes, seeds, trials, looks at the test slice."""
    manifest, told, ledger = figures.manifest, figures.told, figures.ledger
    data, identity = manifest.data, manifest.identity
    test = data.splits["test"]
    splits = sorted(data.splits.items(), key=lambda split: split[1].start)
    openings = ledger.openings(data.symbols, test.start, test.end)
    facts = {
        "set": f"`{manifest.id}`",
        "spec": f"`{identity.name}`, seed {identity.seed}",
        "made by": f"`{command_of(identity.command)}`" if identity.command else NOTHING,
        "commit": f"`{identity.git_commit or NOTHING}`",
        "libraries": ", ".join(f"{library} {version}" for library, version in sorted(identity.libraries.items())),
        "made of": f"{', '.join(data.symbols)}, {data.timeframe}, {data.venue}: {data.source}",
        "its candles": f"{data.rows:,} rows, {data.gaps} gaps, SHA-256 of the columns `{data.sha256}`",
        "judged on": f"{told['data']['file'].rsplit('/', 1)[-1]}, SHA-256 of the file `{told['data']['sha256']}`",
        **{part: f"{r.start} to {r.end}, {r.rows:,} rows" for part, r in splits},
        "between slices": f"{data.purge} bars left out",
        "labels": f"{', '.join(map(str, data.labels.horizons))} bars ahead, cost {data.labels.cost:g}; "
        f"regime over {data.labels.regime_horizon} bars",
        "inputs": f"{len(manifest.features.names)} features, schema `{manifest.features.schema_hash[:12]}`, "
        f"{manifest.lookback} candles of lookback",
        "members": ", ".join(name(family) for family in figures.families),
        "bootstrap": f"{told['interval']['draws']} samples, blocks of {told['interval']['block_bars']} bars, "
        f"seed {told['interval']['seed']}",
        "not judged": "; ".join(f"{count}: {why}" for why, count in told["data"]["refused"].items()) or "none",
        "trials": f"{_told(figures, 'trials')} in this run; {ledger.count} ever in its store"
        if ledger.trials or ledger.unreadable
        else f"{_told(figures, 'trials')} in this run; no ledger lies beside the set",
        "test slice opened": f"{_told(figures, 'test_openings')} times when the set was made, this one included; "
        f"{openings} by the ledger now",
    }
    opened = [t for t in ledger.trials if t.test_start is not None and set(t.symbols) & set(data.symbols)]
    rows = [(t.what, t.name, f"`{t.set_id or NOTHING}`", str(t.trials), f"{t.test_start} to {t.test_end}")
            for t in opened if t.test_start and t.test_end and t.test_start < test.end and test.start < t.test_end]  # fmt: skip
    looks = table(("looked by", "spec", "set", "trials", "bars"), rows) if rows else ""
    return table(("", ""), facts.items()) + (
        "\nEvery look at these bars that the store's ledger knows:\n\n" + looks if looks else ""
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
    told = "; ".join(
        f"{figures.spell(h)} {number(rates[f'{h}/long'])} long, {number(rates[f'{h}/short'])} short, {number(rates[f'{h}/up'])} rises"
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
    for h in figures.horizons:
        members = [
            (title, name(member), estimate(pair.out_of_fold), estimate(pair.test), estimate(pair.gap, sign=True),
             "inconclusive" if pair.gap.low <= 0 <= pair.gap.high else "weaker" if pair.gap.low > 0 else "stronger")
            for section, title in SECTIONS.items()
            for member, pair in figures.pairs[section][h].items()
            if member != STACK
        ]  # fmt: skip
        parts.append(table((f"**{figures.spell(h)}**", "", "out of fold", "test", "gap", ""), members))
    note = (
        "Members and baselines are those of the record, which keeps three digits: the last one here may differ above.\n"
    )
    return "\n".join([*parts, note])


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
        for section in (LONG, "profitable_short"):
            stack = figures.told[section][str(h)][STACK]
            line = stack["calibration"]
            rows.append((
                figures.spell(h), SECTIONS[section],
                estimate(interval(line, "slope", "slope_ci"), 2), estimate(interval(line, "intercept", "intercept_ci"), 2),
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
    for key, entry in {"**the set**": told, **told["baselines"]}.items():
        lead = told["lead"].get(key, {})
        rows.append((
            name(key) if key in told["baselines"] else key,
            *(estimate(interval(entry, what, f"{what}_ci")) for what in ("accuracy", "kappa", "log_loss")),
            *(estimate(interval(lead.get(what), "value", "ci"), sign=True) for what in ("accuracy", "kappa", "log_loss")),
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


def stack(figures: Figures) -> str:
    """Members' weights with the sign that samples give them, and the horizons'."""
    rows = [
        (
            w.head,
            name(w.member),
            number(w.stacked),
            estimate(w.free, sign=True),
            f"{w.positive:.0%}".replace("%", " %"),
            w.sign,
        )
        for w in figures.weights
    ]
    told: Any = figures.evidence.get("weights") or {}
    skill = told.get("skill", {})
    weights = [
        (figures.spell(h), number(figures.manifest.ensemble.weights[str(h)], 2), number(skill.get(str(h)), sign=True))
        for h in figures.horizons
    ]
    flat = "" if told.get("by_skill", True) else "\nNo horizon showed skill in validation; they weigh the same.\n"
    return (
        "*Stacked*: as applied, never below 0. *Free*: the same regression without that bound, out of fold; "
        "*above 0*: in how many samples.\n\n"
        + table(("head", "member", "stacked", "free", "above 0", "sign"), rows)
        + "\n"
        + table(("horizon", "weight", "validation AUC less ½"), weights)
        + flat
    )


def ablation(figures: Figures) -> str:
    """What each variant is worth, or that it was not run."""
    parts = []
    for each in figures.asked.ablations:
        rows = [
            (row.name, row.what, estimate(row.auc.interval),
             estimate(row.difference.interval, sign=True) if row.difference else NOTHING,
             number(row.log_loss, 4), number(row.seconds, 0))
            for row in each.rows
        ]  # fmt: skip
        parts.append(f"{name(each.model)}, {each.question}, spec `{each.spec}`, {each.where}:\n")
        parts.append(table(("", "what", "AUC", "difference, paired", "log-loss", "seconds"), rows))
    missing = not_run(figures.asked.ablations)
    if not figures.asked.ablations:
        return f"{NOT_RUN}: no ablation was given (`{COMMAND}` makes one). Asked for: {', '.join(missing)}.\n"
    if missing:
        parts.append(f"{NOT_RUN}: {', '.join(missing)}.\n")
    return "\n".join(parts)


def integrity(figures: Figures) -> str:
    """torch against ONNX, and the canary."""
    rows = [
        (name(m.name), *(f"{m.parity[batch]:.1e}" for batch in sorted(m.parity, key=_batch)))
        for m in figures.manifest.models
        if m.parity
    ]
    batches = next((sorted(m.parity, key=_batch) for m in figures.manifest.models if m.parity), [])
    parity_told = (
        f"Largest difference of logits, trained network against ONNX file: {parity(figures).figure} "
        f"(at most {CLOSE_ENOUGH:.0e} is asked).\n\n" + table(("", *(b.replace("_", " ") for b in batches)), rows)
        if rows
        else "The set has no network, so nothing was exported.\n"
    )
    canary: Any = figures.evidence.get("canary")
    if not canary:
        return parity_told + f"\nCanary on shuffled labels: {NOT_RUN}.\n"
    quiet = "no skill, as it should be" if canary["quiet"] else "**skill: look for a leak**"
    share = f"{canary['confidence']:.0%}".replace("%", " %")
    return parity_told + (
        f"\nCanary: boosters of {canary['shuffles']} shuffles of the labels of {canary['head']} have AUC "
        f"{estimate(of_evidence(canary['auc']))} on the test slice and "
        f"{estimate(of_evidence(canary['out_of_fold']['auc']))} out of fold ({share} intervals): {quiet}.\n"
    )


def full_size(figures: Figures) -> str:
    """Whether the full spec was run."""
    if figures.manifest.identity.name == "full":
        return "This set is of `configs/training/full.yaml`.\n"
    return (
        f"`configs/training/full.yaml`: {NOT_RUN}, it needs a GPU machine and none was at hand. All figures are those of "
        f"`{figures.manifest.identity.name}`.\n"
    )


def _batch(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()) or 0)


def _told(figures: Figures, key: str) -> str:
    value = figures.evidence.get(key)
    return NOTHING if value is None else str(value)
