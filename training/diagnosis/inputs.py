"""The inputs: are they scaled as in training, and do their columns come in the order the members were fitted to?

Both are asked apart: scaling of the columns in the order recorded, order by the features' own values, so that one
fault is not taken for the other.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from market.candles import Floats
from models import features
from models.manifest import Scaler
from models.scaling import scale
from models.stages import LIMITS, Reading
from training.diagnosis.finding import BROKEN, OK, SUSPECT, Figure, Finding, not_known
from training.diagnosis.network import Network, Windows
from training.diagnosis.subject import Subject

SCALING, ORDER = "scaling", "feature order"
SPREAD = (0.1, 10.0)
"""Standard deviation that the middle column of well-scaled inputs stays within; a week moves less than years."""
CENTRE = 3.0
"""How far the middle column's mean may be from 0, in standard deviations of the training."""
CLIPPED = 0.25
SERVED, MADE, NORMAL = "logit_sd_served", "logit_sd_as_made", "logit_sd_normal_inputs"
_SHOWN = 5
_ENOUGH = 50
"""Rows that a standard deviation is judged by."""


def scaling(subject: Subject) -> Finding:
    """Are the inputs scaled now as they were in training, and is the network given scaled ones at all?"""
    scaler = subject.features.scaler
    if subject.member.kind != "onnx":
        return Finding(SCALING, OK, "it reads unscaled features, as boosters do")
    if scaler is None:
        remedy = "train the set again"
        return Finding(SCALING, BROKEN, "there is no scaler, and a network reads scaled inputs", remedy, final=True)
    center, spread = np.array(scaler.center), np.array(scaler.scale)
    figures: dict[str, Figure] = {"smallest_scale": float(spread.min()), "largest_scale": float(spread.max())}
    figures |= _logit_spread(subject)
    remedy = "write the scaler that was fitted on the train slice into the manifest: train the set again"
    if (center == 0).all() and (spread == 1).all():
        sentence = "the scaler is the identity, so scaling is skipped: the network is given raw features"
        return Finding(SCALING, BROKEN, sentence + _collapse(figures), remedy, figures)
    changed = _changed(subject.recorded, scaler)
    if changed:
        figures["changed_columns"] = len(changed)
        sentence = f"the scaler is not the one in force when the set was made: {_listed(changed)} scaled otherwise"
        return Finding(SCALING, BROKEN, sentence, remedy, figures)
    inputs = _inputs(subject)
    if inputs is None:
        told = "unchanged since the set was made" if subject.recorded else "its constants are sane"
        return Finding(SCALING, OK, f"{told}; no real rows to look at", figures=figures)
    with np.errstate(invalid="ignore"):
        mean, sd = inputs.mean(axis=0), inputs.std(axis=0)
    clipped = float((np.abs(inputs) >= scaler.clip).mean())
    names = subject.recorded.names if subject.recorded else subject.features.names
    figures["columns"] = {n: {"mean": float(m), "sd": float(s)} for n, m, s in zip(names, mean, sd, strict=True)}
    figures |= {"middle_sd": float(np.median(sd)), "middle_mean": float(np.median(np.abs(mean))), "clipped": clipped}
    told = f"the middle column's sd is {np.median(sd):.2g}, its mean {np.median(np.abs(mean)):.2g} from 0"
    off = not SPREAD[0] <= np.median(sd) <= SPREAD[1] or np.median(np.abs(mean)) > CENTRE or clipped > CLIPPED
    if off and len(inputs) < _ENOUGH:
        return Finding(SCALING, SUSPECT, f"{told}, in {len(inputs)} rows", "give --data FILE for more", figures)
    if off and _permuted(subject, scaler):
        return not_known(SCALING, f"{told}; another order of the columns explains it: see feature order", **figures)
    if off:
        sentence = f"scaled inputs are not those of training: {told}, {clipped:.0%} of all values are clipped"
        return Finding(SCALING, BROKEN, sentence + _collapse(figures), remedy, figures)
    strange = [
        f"{n} (mean {m:.1f}, sd {s:.2g})" for n, m, s in zip(names, mean, sd, strict=True) if abs(m) > 5 or s > 5
    ]
    if strange:
        sentence = f"{len(strange)} of {len(names)} columns are far from what training saw: {_listed(strange)}"
        return Finding(SCALING, SUSPECT, sentence, "compare this data with the set's train slice", figures)
    return Finding(SCALING, OK, f"as in training: {told}", figures=figures)


def order(subject: Subject) -> Finding:
    """Do the features come in the order, and with the values, that the members were fitted to?"""
    served = subject.features
    same_hash = features.schema_hash(served.names) == served.schema_hash
    figures: dict[str, Figure] = {"features": len(served.names), "schema_hash_fits": same_hash}
    remedy = "let the manifest name the features in the order of the training matrix: train the set again"
    if not same_hash:
        sentence = "the manifest's names do not give its schema hash: they were reordered or redefined"
        return Finding(ORDER, BROKEN, sentence, remedy, figures)
    recorded = subject.recorded
    if recorded is None:
        return _order_by_scale(subject, figures, remedy)
    if recorded.names != served.names:
        moved = [f"{b} stands where {a} was" for a, b in zip(recorded.names, served.names, strict=False) if a != b]
        figures["moved"] = len(moved)
        sentence = f"the features are not in the order the members were fitted to: {_listed(moved)}"
        return Finding(ORDER, BROKEN, sentence, remedy, figures)
    there = recorded.rows >= 0
    then, now = recorded.table[there], recorded.at_rows(recorded.compute(served.names))[there]
    apart = np.abs(now - then).max(axis=0)
    off = np.flatnonzero(~(apart <= LIMITS["features"]))
    figures["largest_difference"] = float(apart.max())
    if not len(off):
        return Finding(ORDER, OK, "names, hash and golden features agree column by column", figures=figures)
    figures["columns_off"] = len(off)
    takes = {served.names[at]: _equal(now, then[:, at]) for at in off}
    moved = [f"{name} was fed with {served.names[found]}" for name, found in takes.items() if found is not None]
    if len(moved) == len(off):
        sentence = f"the members were fitted to another order of the columns: {_listed(moved)}"
        return Finding(ORDER, BROKEN, sentence, remedy, figures)
    names = [served.names[at] for at in off]
    sentence = f"{_listed(names)} computed now differ from those trained on, by up to {np.nanmax(apart):.2g}"
    return Finding(ORDER, BROKEN, sentence, "raise the features' version, and train the set again", figures)


def _inputs(subject: Subject) -> Floats | None:
    """Scaled inputs of real rows (n, F), columns in the order recorded, so that their scaling is judged alone."""
    sample, scaler = subject.sample, subject.features.scaler
    if sample is None or not len(sample.rows) or scaler is None:
        return None
    matrix = sample.matrix
    if subject.recorded is not None and subject.recorded.names != subject.features.names:
        matrix = sample.compute(subject.recorded.names)
    return subject.scaled(matrix[sample.rows]).astype(np.float64)


def _changed(recorded: Reading | None, scaler: Scaler) -> list[str]:
    """Features whose centre or scale is not the one recorded."""
    if (
        recorded is None
        or recorded.center is None
        or recorded.scale is None
        or len(recorded.center) != len(scaler.center)
    ):
        return []
    same = np.isclose(recorded.center, scaler.center, rtol=1e-9, atol=1e-12)
    same &= np.isclose(recorded.scale, scaler.scale, rtol=1e-9, atol=0)
    return [name for name, kept in zip(recorded.names, same, strict=True) if not kept]


def _logit_spread(subject: Subject) -> dict[str, Figure]:
    """How much the network's output moves: on real rows as served, unscaled, as when it was made, and on normals."""
    network, sample, recorded = subject.network, subject.sample, subject.recorded
    if network is None or sample is None or not len(sample.rows):
        return {}
    rows = sample.rows[-256:]

    def spread(inputs: Windows, network: Network = network) -> float:
        return float(network.run(network.windows(inputs, rows)).std(axis=0).mean())

    found: dict[str, Figure] = {
        SERVED: spread(subject.scaled(sample.matrix)),
        "logit_sd_unscaled": spread(sample.matrix.astype(np.float32)),
        NORMAL: float(network.run(network.drawn(256)).std(axis=0).mean()),
    }
    scaler = None if recorded is None else recorded.as_made(subject.features).scaler
    if recorded is not None and scaler is not None and recorded.names == subject.features.names:
        found[MADE] = spread(scale(sample.matrix, np.array(scaler.center), np.array(scaler.scale), scaler.clip))
    return found


def _collapse(figures: dict[str, Figure]) -> str:
    served, wanted = figures.get(SERVED), figures.get(MADE, figures.get(NORMAL))
    if isinstance(served, float) and isinstance(wanted, float) and served < 0.9 * wanted:
        return f" (logit sd {served:.2g} instead of {wanted:.2g})"
    return ""


def _misfit(matrix: Floats, scaler: Scaler) -> Floats:
    """How badly each column (i) fits each pair of scaler constants (j): (F, F)."""
    mean, sd = matrix.mean(axis=0)[:, None], np.maximum(matrix.std(axis=0), 1e-12)[:, None]
    center, spread = np.array(scaler.center)[None], np.array(scaler.scale)[None]
    return np.asarray(np.abs(np.log(sd / spread)) + np.log1p(np.abs(mean - center) / spread))


def _permuted(subject: Subject, scaler: Scaler) -> list[str]:
    """Columns that fit another one's constants far better, if exchanging them makes sense of the scaler."""
    sample = subject.sample
    if sample is None or len(sample.rows) < _ENOUGH:
        return []
    cost = _misfit(sample.matrix[sample.rows], scaler)
    columns, places = linear_sum_assignment(cost)
    own, best = cost.diagonal(), cost[columns, places]
    names = subject.features.names
    if own.mean() < 1.0 or best.mean() > 0.5 * own.mean() or best.mean() > 1.0:
        return []
    return [names[i] for i, j in zip(columns, places, strict=True) if i != j and own[i] > best[i] + 1]


def _order_by_scale(subject: Subject, figures: dict[str, Figure], remedy: str) -> Finding:
    """Without stage goldens: do the columns at least look like those the scaler was fitted on?"""
    scaler = subject.features.scaler
    moved = [] if scaler is None else _permuted(subject, scaler)
    if moved:
        figures["moved"] = len(moved)
        sentence = f"the columns fit the scaler's constants in another order alone: {_listed(moved)} are exchanged"
        return Finding(ORDER, BROKEN, sentence, remedy, figures)
    return not_known(ORDER, "names and hash agree; the set has no golden features to compare with", **figures)


def _equal(table: Floats, column: Floats) -> int | None:
    """The table's column that equals this one, None if none does."""
    near = np.flatnonzero(np.abs(table - column[:, None]).max(axis=0) <= LIMITS["features"])
    return int(near[0]) if len(near) else None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
