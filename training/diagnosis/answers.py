"""The answer itself: is it the logit or the probability it is declared to be, of the heads it is declared to have, and
does it say anything at all?
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from models.logits import logit, sigmoid
from models.manifest import REGIMES
from models.walkforward import TEST
from training.diagnosis.finding import BROKEN, OK, SUSPECT, Figure, Finding, not_known
from training.diagnosis.subject import Subject

SCALE, HEADS, RANGE = "logit or probability", "head type", "output range"
BAND = (0.3, 0.7)
"""Where the 1st to the 99th percentile of a direction's probability should lie."""
STILL = 1e-6
"""An output whose standard deviation is below this is a constant."""
FAINT = 0.01
"""A logit that moves by less says almost nothing: .0025 in probability."""
SIGMOID_OF_A_SHARE = (0.5, 0.7311)
"""Sigmoid of 0 to 1: where everything lies if a sigmoid was applied twice."""
_SAME = 1e-4


def scale_of_the_answer(subject: Subject) -> Finding:
    """Is a declared logit a logit, and a declared probability one?"""
    if subject.fault:
        return not_known(SCALE, "the network cannot be asked")
    said = _said(subject)
    if said is None or (subject.network is not None and subject.network.columns != len(subject.heads)):
        return not_known(SCALE, "there is no output for each head")
    low, high = float(said.min()), float(said.max())
    declared = subject.member.output
    figures: dict[str, Figure] = {"declared": declared, "lowest": low, "highest": high}
    if not np.isfinite(said).all():
        return not_known(SCALE, "outputs are no numbers: see output range", **figures)
    if said.std(axis=0).max() < STILL:
        return not_known(SCALE, "outputs are constant: see output range", **figures)
    if _shares(said) and subject.member.role == "direction":
        return not_known(SCALE, "outputs are shares of one: see head type", **figures)
    within = low >= 0 and high <= 1
    span = f"its outputs run from {low:.3g} to {high:.3g}"
    if declared == "probability":
        if not within:
            remedy = "declare its output a logit, or put the sigmoid into the network, and train again"
            return Finding(SCALE, BROKEN, f"declared a probability, but {span}", remedy, figures)
        if subject.member.role == "direction" and _twice(said):
            return _unlikely(subject, said, figures, f"a sigmoid was applied twice: {span}", twice=True)
        return Finding(SCALE, OK, f"a probability, as declared: {span}", figures=figures)
    if not within:
        return Finding(SCALE, OK, f"a logit, as declared: {span}", figures=figures)
    remedy = "export the network without its sigmoid (logits out), or declare its output a probability"
    if _is_sigmoid_of_trained(subject):
        sentence = "declared a logit, but a sigmoid is inside the network: it gives the trained logits' probabilities"
        return Finding(SCALE, BROKEN, sentence, remedy, figures)
    if subject.member.role == "regime":
        return Finding(SCALE, SUSPECT, f"declared a logit, but {span}", remedy, figures)
    return _unlikely(subject, said, figures, f"declared a logit, but {span}, as probabilities do", twice=False)


def heads(subject: Subject) -> Finding:
    """Does it have the heads it is declared to have, each an answer of its own?"""
    if subject.fault:
        remedy = "export it again; `python -m models verify` must open it"
        return Finding(HEADS, BROKEN, f"the network cannot be run: {subject.fault}", remedy, final=True)
    declared = list(subject.heads)
    figures: dict[str, Figure] = {"heads": list(declared)}
    if subject.network is not None:
        figures["columns"] = subject.network.columns
        if subject.network.columns != len(declared):
            sentence = f"its output has {subject.network.columns} columns for {len(declared)} heads"
            return Finding(HEADS, BROKEN, sentence, "build it with one column for each head", figures, final=True)
    said = _said(subject)
    if said is None:
        return not_known(HEADS, "there are no real rows or golden inputs to ask it about", **figures)
    moving = bool(np.isfinite(said).all() and said.std(axis=0).min() > STILL)
    shares = moving and _shares(said)
    if subject.member.role == "regime":
        if subject.member.output == "probability" and not shares and moving:
            sentence = f"its shares of {', '.join(REGIMES)} do not sum to one"
            return Finding(HEADS, BROKEN, sentence, "declare its output a logit, or end it in a softmax", figures)
        if subject.member.output == "logit" and shares:
            sentence = "declared logits, but a softmax is inside the network"
            return Finding(HEADS, BROKEN, sentence, "declare its output a probability", figures)
        return Finding(HEADS, OK, "three regimes, as declared", figures=figures)
    if shares:
        sentence = f"its {len(declared)} columns are shares of one, a softmax's, and are declared heads of their own"
        return Finding(HEADS, BROKEN, sentence, "give each head a column and a sigmoid of its own", figures)
    twins = _alike(declared, said) if moving else []
    if twins:
        return Finding(HEADS, SUSPECT, "; ".join(twins), "train each head on its own label", figures)
    return Finding(HEADS, OK, f"{len(declared)} heads, as declared", figures=figures)


def spread(subject: Subject) -> Finding:
    """Does the output move, and where do its 1st to 99th percentiles lie against [.3, .7]?"""
    said = _said(subject)
    if said is None:
        return not_known(RANGE, "there are no real rows or golden inputs to ask it about: give --data FILE")
    if not np.isfinite(said).all():
        bad = int((~np.isfinite(said)).any(axis=1).sum())
        sentence = f"{bad} of {len(said)} inputs are answered by no finite number"
        remedy = "look for NaN weights: lower the learning rate, and train again"
        return Finding(RANGE, BROKEN, sentence, remedy, {"rows": len(said)})
    still = [at for at in range(said.shape[1]) if said[:, at].std() < STILL]
    if still:
        heads = ", ".join(subject.heads[at] for at in still)
        sentence = f"{heads} is constant: {said[0, still[0]] + 0.0:.4g} for each of {len(said)} inputs"
        remedy = "its last layer says nothing of its input: look at its weights, and train again"
        return Finding(RANGE, BROKEN, sentence, remedy, {"rows": len(said)})
    logits, source = _logits(subject)
    figures: dict[str, Figure] = {"source": source}
    if not logits or subject.member.role == "regime":
        sd = float(said.std(axis=0).min())
        return Finding(RANGE, OK, f"every output moves, the least by sd {sd:.2g}", figures=figures | {"least_sd": sd})
    sds = {key: float(column.std()) for key, column in logits.items()}
    span = {key: np.quantile(sigmoid(column), (0.01, 0.99)) for key, column in logits.items()}
    low, high = min(float(s[0]) for s in span.values()), max(float(s[1]) for s in span.values())
    for key, column in logits.items():
        ends = {"1%": float(span[key][0]), "99%": float(span[key][1])}
        figures[key] = {"rows": len(column), "logit_sd": sds[key], **ends}
    faint = [key for key, sd in sds.items() if sd < FAINT]
    if faint:
        sentence = f"{', '.join(faint)} hardly moves: logit sd {min(sds.values()):.2g}"
        return Finding(RANGE, SUSPECT, sentence, "compare its inputs' scaling and its training log", figures)
    where = f"1-99 % of the probabilities lie in [{low:.3f}, {high:.3f}]"
    if low < BAND[0] or high > BAND[1]:
        sentence = f"{where}, beyond [{BAND[0]:g}, {BAND[1]:g}]"
        return Finding(RANGE, SUSPECT, sentence, "regularise it more, or let calibration draw it in", figures)
    return Finding(RANGE, OK, f"{where}, within [{BAND[0]:g}, {BAND[1]:g}]", figures=figures)


def _said(subject: Subject) -> Floats | None:
    """Every raw output at hand (n, heads): for real rows, and of a network for its golden inputs."""
    parts = []
    if subject.outputs is not None:
        parts.append(subject.outputs)
    if subject.network is not None and subject.network.columns == len(subject.heads):
        golden = subject.golden_windows
        parts.append(subject.network.run(subject.network.drawn(64) if golden is None else golden))
    return np.concatenate(parts) if parts else None


def _logits(subject: Subject) -> tuple[dict[str, Floats], str]:
    """Logits (n,) by head for as many real rows as there are, and where they are from; none without real rows."""
    record, sample, raw = subject.record, subject.sample, subject.outputs
    given = sample is not None and sample.given
    if not given and record is not None and subject.family in record.families and (record.part == TEST).any():
        said = record.logits[subject.family]
        return {key: column[record.part == TEST] for key, column in said.items()}, "the walk-forward's test slice"
    if raw is None:
        return {}, "drawn inputs"
    columns = raw if subject.member.output == "logit" else logit(raw)
    return dict(zip(subject.heads, columns.T, strict=True)), subject.source


def _shares(said: Floats) -> bool:
    """Whether each row's outputs, or their exponentials, are shares of one."""
    if said.shape[1] < 2:
        return False

    def one(of: Floats) -> bool:
        return bool(of.min() >= 0 and np.abs(of.sum(axis=1) - 1).max() < _SAME)

    return one(said) or (said.max() <= 0 and one(np.exp(said)))


def _alike(names: list[str], said: Floats) -> list[str]:
    found = []
    for at, name in enumerate(names):
        for other in range(at + 1, len(names)):
            if np.abs(said[:, at] - said[:, other]).max() < STILL:
                found.append(f"{name} and {names[other]} say the same")
            elif np.abs(said[:, at] + said[:, other]).max() < STILL:
                found.append(f"{name} is {names[other]} turned round, not an answer of its own")
    return found


def _twice(said: Floats) -> bool:
    low, high = SIGMOID_OF_A_SHARE
    return bool(said.min() >= low and said.max() <= high)


def _is_sigmoid_of_trained(subject: Subject) -> bool:
    network, windows, trained = subject.network, subject.golden_windows, subject.trained
    if network is None or windows is None or trained is None:
        return False
    return bool(np.abs(network.run(windows) - sigmoid(trained)).max() < _SAME)


def _unlikely(subject: Subject, said: Floats, figures: dict[str, Figure], sentence: str, twice: bool) -> Finding:
    """Outputs that look like something else than they are declared: broken if the labels' base rates say so too."""
    remedy = "export the network without its sigmoid (logits out), or declare its output a probability"
    if twice:
        remedy = "apply one sigmoid alone: let the network give logits, and declare them"
    rates = _base_rates(subject)
    if rates is None:
        return Finding(SCALE, SUSPECT, sentence, remedy, figures)
    mean = said.mean(axis=0)
    figures["base_rate"], figures["mean"] = float(rates.mean()), float(mean.mean())
    as_declared = np.abs((mean if twice else sigmoid(mean)) - rates).mean()
    otherwise = np.abs((logit(mean) if twice else mean) - rates).mean()
    if otherwise < as_declared:
        told = f"{sentence}; their mean {mean.mean():.3f} is to be compared with a base rate of {rates.mean():.3f}"
        return Finding(SCALE, BROKEN, told, remedy, figures)
    return Finding(SCALE, SUSPECT, sentence, remedy, figures)


def _base_rates(subject: Subject) -> NDArray[np.float64] | None:
    baselines = subject.manifest.baselines
    if baselines is None or any(key not in baselines.base_rate for key in subject.heads):
        return None
    return np.array([baselines.base_rate[key] for key in subject.heads])
