"""Variants: what an ablation tries, each one change to a plain base, so that the change alone is what differs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.data import Bars
from training.families import BOOSTED, PLAIN
from training.member_spec import WARM_UP, AugmentSpec, NetworkSpec
from training.spec import TrainingSpec

FUNDING, COMPANION = "funding", "companion"
DIVERSITY = 0.1
"""Weight of the penalty that the variant of that name is tried with."""


@dataclass(frozen=True)
class Variant:
    """One thing tried.

    Attributes
    ----------
    name : str
        Short, unique.
    what : str
        In words.
    family : str
        Whose units are fitted.
    spec : TrainingSpec
        With the change made.
    bars : Bars
        What the features are computed of.
    base : str
        Name of the variant it is compared with; its own for a base.
    """

    name: str
    what: str
    family: str
    spec: TrainingSpec
    bars: Bars
    base: str


def of_network(spec: TrainingSpec, bars: Bars, family: str) -> list[Variant]:
    """Losses, the penalty, weights of horizons, and each kind of augmentation, on one network."""
    told: NetworkSpec = getattr(spec, family)
    plain = told.model_copy(
        update={"loss": "bce", "diversity": 0.0, "augment": None, "noise": 0.0, "horizon_weights": None}
    )
    ratio = (told.augment or AugmentSpec()).ratio
    full = told.augment or AugmentSpec()
    alone = {"noise": 0.0, "channels": 0.0, "warp": 0.0}
    changes: list[tuple[str, str, dict[str, object]]] = [
        ("base", f"{family}: cross-entropy, no augmentation, horizons alike", {}),
        ("focal", "focal loss, α .25, γ 2", {"loss": "focal"}),
        ("auc_margin", "AUC-margin loss by PESG after a warm-up", {"loss": "auc_margin"}),
        ("diversity", f"penalty of {DIVERSITY:g} on heads more alike than their labels", {"diversity": DIVERSITY}),
        ("augmentation", f"noise, hidden channels and warp on {ratio:.0%} of windows", {"augment": full}),
    ]
    if told.epochs <= WARM_UP:  # the loss would never begin
        changes = [change for change in changes if change[0] != "auc_margin"]
    for name in alone:
        only = AugmentSpec(ratio=ratio, **{**alone, name: getattr(full, name)})
        changes.append((name, f"{name} alone on {ratio:.0%} of windows", {"augment": only}))
    weights = told.horizon_weights
    if weights is not None:
        changes.append(
            ("weights", f"horizons weighted {'/'.join(f'{w:g}' for w in weights)}", {"horizon_weights": weights})
        )
    return [
        Variant(
            f"{family} {name}", what, family,
            spec.model_copy(update={family: plain.model_copy(update=change)}), bars, f"{family} base",
        )
        for name, what, change in changes
    ]  # fmt: skip


def of_boosting(spec: TrainingSpec, bars: Bars) -> list[Variant]:
    """LightGBM by its defaults, and with each optional group of features that the bars can give."""
    family = BOOSTED.name
    kept = tuple(name for name in spec.features.exclude if not name.startswith(FUNDING))
    bare = replace(bars, funding=None, companion=None)
    base = f"{family} base"
    found = [
        Variant(base, "LightGBM as the spec regularises it, klines alone", family, spec, bare, base),
        Variant(f"{family} plain", "LightGBM by its own defaults", PLAIN.name, spec, bare, base),
    ]
    with_funding = spec.model_copy(update={"features": spec.features.model_copy(update={"exclude": kept})})
    if bars.funding is not None:
        also = replace(bare, funding=bars.funding)
        found.append(Variant(f"{family} funding", "funding features too", family, with_funding, also, base))
    if bars.companion is not None and spec.features.include is None:
        also = replace(bare, companion=bars.companion)
        what = f"features of {spec.data.companion} too"
        found.append(Variant(f"{family} companion", what, family, spec, also, base))
    return found
