"""Making: the page's sections on how the set was made, of what, and whether it is what was trained."""

from __future__ import annotations

from typing import Any

from training.quality.ablation import COMMAND, not_run
from training.quality.aims import CLOSE_ENOUGH, parity
from training.quality.figures import Figures
from training.quality.wording import (
    NOT_RUN,
    NOTHING,
    command_of,
    estimate,
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
        "its candles": f"{data.rows:,} rows, holes: {data.gaps}, SHA-256 of the columns `{data.sha256}`",
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
        "test slice opened": f"{_told(figures, 'test_openings')} when the set was made, that run included; "
        f"{openings} by the ledger now",
    }
    opened = [t for t in ledger.trials if t.test_start is not None and set(t.symbols) & set(data.symbols)]
    rows = [
        (t.what, t.name, f"`{t.set_id or NOTHING}`", str(t.trials), f"{t.test_start} to {t.test_end}")
        for t in opened
        if t.test_start and t.test_end and t.test_start < test.end and test.start < t.test_end
    ]
    looks = table(("looked by", "spec", "set", "trials", "bars"), rows) if rows else ""
    return table(("", ""), facts.items()) + (
        "\nEvery look at these bars that the store's ledger knows:\n\n" + looks if looks else ""
    )


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
    beside = [
        (key, each.name, f"{each.coefficient:+.3f}".replace("-", "−"))
        for key, stacker in figures.manifest.ensemble.stackers.items()
        for each in stacker.context
    ]
    pool = figures.manifest.ensemble.pool
    flat = "" if told.get("by_skill", True) else "\nNo horizon showed skill in validation; they weigh the same.\n"
    return (
        "*Stacked*: as applied, never below 0. *Free*: fitted out of fold without that bound, pull or context; "
        "*above 0*: in how many samples.\n\n"
        + table(("head", "member", "stacked", "free", "above 0", "sign"), rows)
        + "\n"
        + table(("horizon", "weight", "validation AUC less ½"), weights)
        + flat
        + (
            "\nBeside the members the stack reads, standardised:\n\n" + table(("head", "", "weight"), beside)
            if beside
            else ""
        )
        + (
            "\nThe regime is pooled of "
            + ", ".join(f"{name(m)} {number(w, 2)}" for m, w in zip(pool.members, pool.weights, strict=True))
            + ".\n"
            if pool
            else ""
        )
    )


def ablation(figures: Figures) -> str:
    """What each variant is worth, or that it was not run."""
    parts = []
    for each in figures.asked.ablations:
        rows = [
            (
                row.name,
                row.what,
                estimate(row.auc.interval),
                estimate(row.difference.interval, sign=True) if row.difference else NOTHING,
                number(row.log_loss, 4),
                number(row.seconds, 0),
            )
            for row in each.rows
        ]
        parts.append(f"{each.where.capitalize()}, AUC of {each.question}, spec `{each.spec}`:\n")
        parts.append(table(("", "what", "AUC", "difference, paired", "log-loss", "seconds"), rows))
    plain: Json = figures.evidence.get("plain_lightgbm") or {}
    if plain:
        parts.append("LightGBM as the spec regularises it against its own defaults, out of fold:\n")
        rows_ = [
            (key, *(estimate(of_evidence(plain[key][what])) for what in ("regularised", "plain")),
             estimate(of_evidence(plain[key]["lead"]), sign=True))
            for key in figures.manifest.ensemble.stackers if key in plain
        ]  # fmt: skip
        parts.append(table(("head", "regularised", "plain", "lead of regularised, paired"), rows_))
    missing = not_run(figures.asked.ablations, bool(plain))
    if not figures.asked.ablations:
        parts.append(f"{NOT_RUN}: no ablation was given (`{COMMAND}` makes one). Asked for: {', '.join(missing)}.\n")
    elif missing:
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
        f"`configs/training/full.yaml`: {NOT_RUN}, it needs a GPU machine and none was at hand. All figures are those "
        f"of `{figures.manifest.identity.name}`.\n"
    )


def _batch(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()) or 0)


def _told(figures: Figures, key: str) -> str:
    value = figures.evidence.get(key)
    return NOTHING if value is None else str(value)
