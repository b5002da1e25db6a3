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
DRAWN = "drawn inputs"
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
    logits, source = _logits(subject)
    if logits is None:
        return not_known(RANGE, "no rows to ask it about: give --data FILE")
    figures: dict[str, Figure] = {"rows": len(logits), "source": source}
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        sentence = f"{bad} of {len(logits)} rows are answered by no finite number"
        return Finding(RANGE, BROKEN, sentence, "look for NaN weights: lower the learning rate, train again", figures)
    probability = sigmoid(logits)
    sd = logits.std(axis=0)
    low, high = np.quantile(probability, (0.01, 0.99), axis=0)
    for at, key in enumerate(subject.heads):
        figures[key] = {"logit_sd": float(sd[at]), "1%": float(low[at]), "99%": float(high[at])}
    still = [key for at, key in enumerate(subject.heads) if sd[at] < STILL]
    if still:
        at = subject.heads.index(still[0])
        sentence = f"{', '.join(still)} is constant: logit {logits[0, at] + 0.0:.4g} for each of {len(logits)} rows"
        remedy = "its last layer says nothing of its input: look at its weights, and train again"
        return Finding(RANGE, BROKEN, sentence, remedy, figures)
    if subject.member.role == "regime":
        return Finding(RANGE, OK, "each regime's output moves", figures=figures)
    faint = [key for at, key in enumerate(subject.heads) if sd[at] < FAINT]
    if faint:
        sentence = f"{', '.join(faint)} hardly moves: logit sd {sd.min():.2g}"
        return Finding(RANGE, SUSPECT, sentence, "compare its inputs' scaling and its training log", figures)
    if source == DRAWN:
        return Finding(RANGE, OK, f"it moves on drawn inputs, logit sd {sd.mean():.2g}; no real rows", figures=figures)
    where = f"1-99 % of the probabilities lie in [{low.min():.3f}, {high.max():.3f}]"
    if low.min() < BAND[0] or high.max() > BAND[1]:
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


def _logits(subject: Subject) -> tuple[Floats | None, str]:
    """Logits (n, heads) for as many real rows as there are, and where they are from."""
    record = subject.record
    from_data = subject.sample is not None and subject.outputs is not None and not _only_goldens(subject)
    if not from_data and record is not None and subject.family in record.families and (record.part == TEST).any():
        test = record.part == TEST
        columns = [record.logits[subject.family][key][test] for key in subject.heads]
        return np.column_stack(columns), "the walk-forward record's test slice"
    raw = subject.outputs if subject.outputs is not None else _said(subject)
    if raw is None:
        return None, ""
    source = subject.source if subject.outputs is not None else DRAWN
    return (raw if subject.member.output == "logit" else logit(raw)), source


def _only_goldens(subject: Subject) -> bool:
    return (
        subject.stages is not None and subject.sample is not None and subject.sample.candles is subject.stages.candles
    )


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
