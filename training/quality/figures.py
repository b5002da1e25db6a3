"""Figures: everything the report says of a set, gathered once. Tables, aims and plots read this alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.candles import Candles
from market.progress import Steps
from market.timeframes import Timeframe
from models import evaluation, trials, walkforward
from models.evaluation import data as histories
from models.evaluation.outcomes import SECTIONS
from models.evaluation.rivals import RIVALS
from models.evaluation.sample import AVERAGE, STACK, week
from models.inference import Predictor
from models.manifest import Manifest, utc_ms
from models.metrics import Interval
from models.modelset import ModelSet
from training.quality import signs
from training.quality.ablation import Ablation
from training.quality.recorded import FINER_FAMILY, Pair, Quarter, Record
from training.quality.signs import Weight
from training.quality.wording import interval

Json = dict[str, Any]
SHORTEST = 5
"""The horizon that the aims speak of, in bars."""
LONG, SHORT, UP = "profitable_long", "profitable_short", "direction"
RULES = Path(__file__).resolve().parents[2] / "docs" / "results" / "regime-rules.md"
FINER_BARS = 3
"""Finer bars that the labels of the finer LSTM reach ahead, where the spec does not say."""


@dataclass(frozen=True)
class Asked:
    """What the report is made of.

    Attributes
    ----------
    data : str
        A parquet file of klines; after a comma, one of 15m klines.
    funding, companion : Path or None
        Parquet files of funding, and of the companion symbol's klines.
    ablations : tuple of Ablation
        What was ablated; empty if nothing was.
    draws, seed : int
        Of every bootstrap.
    """

    data: str
    funding: Path | None = None
    companion: Path | None = None
    ablations: tuple[Ablation, ...] = ()
    draws: int = 500
    seed: int = 0


@dataclass(frozen=True)
class Figures:
    """All that is said of a set.

    Attributes
    ----------
    asked : Asked
    manifest : Manifest
    told : dict
        From `models.evaluation.evaluate`, on the set's own test slice.
    ledger : Ledger
        Trials of the store that the set lies in.
    pairs : dict
        Section -> horizon -> member or baseline -> AUC out of fold beside the test slice.
    rivals : dict
        Section -> the strongest baseline at the shortest horizon that the record holds too.
    quarters : dict
        Section -> the shortest horizon's stack and that baseline, by quarter.
    confusion, outputs, finer
        As `Record`.
    weights : list of Weight
        Of the stack.
    rules : str or None
        What docs/results/regime-rules.md found for the regime rules' Sharpe ratio less the fixed ones'.
    """

    asked: Asked
    manifest: Manifest
    told: Json
    ledger: trials.Ledger
    pairs: dict[str, dict[int, dict[str, Pair]]]
    rivals: dict[str, str]
    quarters: dict[str, list[Quarter]]
    confusion: dict[str, list[list[int]]]
    outputs: dict[str, tuple[float, float]]
    finer: dict[str, Interval]
    weights: list[Weight]
    rules: str | None

    @property
    def evidence(self) -> Json:
        """The manifest's."""
        return self.manifest.evidence

    @property
    def horizons(self) -> tuple[int, ...]:
        """Bars ahead, rising."""
        return self.manifest.horizons

    @property
    def families(self) -> tuple[str, ...]:
        """Families of members that the set has, in order."""
        return tuple(name for name in next(iter(self.told[LONG].values())) if name not in (STACK, AVERAGE, "baselines"))

    def spell(self, horizon: int) -> str:
        """A horizon in words."""
        return f"{horizon} h" if self.manifest.data.timeframe == "1h" else f"{horizon} bars"

    def auc(self, section: str, horizon: int, name: str) -> Interval | None:
        """AUC on the test slice of a member or baseline; None where there is none."""
        entry = self.told[section].get(str(horizon), {})
        return interval(entry.get(name) or entry.get("baselines", {}).get(name), "auc", "ci")

    def lead(self, section: str, horizon: int, rival: str) -> Interval | None:
        """AUC of the stack less a baseline's (or the average's), paired draw by draw."""
        return interval(
            self.told[section].get(str(horizon), {}).get(STACK, {}).get("lead", {}).get(rival), "value", "ci"
        )

    def strongest(self, section: str, horizon: int) -> str | None:
        """The baseline with the highest AUC on the test slice."""
        found = {name: auc.value for name in RIVALS if (auc := self.auc(section, horizon, name)) is not None}
        return max(found, key=lambda name: found[name]) if found else None

    @property
    def weeks(self) -> float:
        """Weeks judged."""
        return float(self.told["data"]["rows"] / self.told["interval"]["block_bars"])


def gather(model_set: ModelSet, asked: Asked, steps: Steps) -> Figures:
    """Evaluate a set on its own test slice, and look its record through.

    Raises
    ------
    ModelSetError, HistoryError, DataError
        If the set has no record, or the history does not hold its test slice.
    """
    predictor, manifest = Predictor.load(model_set), model_set.manifest
    with steps.step("read the history") as step:
        history = histories.read(manifest, asked.data, funding=asked.funding, companion=asked.companion)
        step.note(f"{len(history.candles):,} candles of {history.candles.timeframe}")
    test = manifest.data.splits["test"]
    told = evaluation.evaluate(
        predictor, history, utc_ms(test.start), utc_ms(test.end), draws=asked.draws, seed=asked.seed, steps=steps
    )
    block = week(predictor.timeframe)
    record = Record(walkforward.read(model_set), manifest, block, asked.draws, asked.seed)
    with steps.step("members out of fold") as step:
        pairs = record.pairs()
        step.note(f"{len(record.names)} members and baselines")
    with steps.step("weights of the stack"):
        weights = signs.weights(record.record, manifest, block)
    with steps.step("quarters, regimes, outputs"):
        first = manifest.horizons[0]
        rivals = {section: _rival(told[section][str(first)], pairs[section][first]) for section in SECTIONS}
        return Figures(
            asked=asked,
            manifest=manifest,
            told=told,
            ledger=trials.read(model_set.path.parent),
            pairs=pairs,
            rivals=rivals,
            quarters={section: record.quarters(section, first, rival) for section, rival in rivals.items()},
            confusion=record.confusion(),
            outputs=record.outputs(first),
            finer=_finer(record, manifest, history.finer),
            weights=weights,
            rules=regime_rules(RULES),
        )


def _rival(entry: Json, held: dict[str, Pair]) -> str:
    """The strongest baseline on the test slice that the record holds too."""
    aucs = {name: entry["baselines"][name]["auc"] for name in RIVALS if name in held}
    return max(aucs, key=lambda name: aucs[name] or 0.0)


def _finer(record: Record, manifest: Manifest, candles: Candles | None) -> dict[str, Interval]:
    """The finer LSTM on its own label, where there are candles for it."""
    if candles is None:
        return {}
    spec: Any = manifest.evidence.get("spec") or {}
    ahead = (spec.get(FINER_FAMILY) or {}).get("bars_ahead", FINER_BARS)
    return record.finer(candles, Timeframe.parse(manifest.data.timeframe).ms, int(ahead))


def regime_rules(page: Path) -> str | None:
    """``−0.20 [−0.63, +0.26]``: what the page on the regime rules answers, or None if there is no such page."""
    if not page.is_file():
        return None
    answer = re.search(r"difference is \*\*([−+\d.]+ \[[^\]]+\])\*\* a year", page.read_text(encoding="utf-8"))
    return answer.group(1) if answer else None
