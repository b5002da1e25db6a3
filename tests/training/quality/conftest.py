"""Real sets from seconds of training: one of two families, one of the whole zoo; and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from configs import parse
from market import history
from market.progress import Steps
from models.modelset import ModelSet
from training.data import Bars, synthetic_market
from training.quality.ablation import Ablation, read
from training.quality.figures import Asked, Figures, gather
from training.run import make_set
from training.spec import TrainingSpec

SMALL = """\
name: small
data: {bars: 4000, synthetic_seed: 5, synthetic_signal: 1}
features: {max_lookback: 26, exclude: [funding_last, funding_24h]}
labels: {horizons: [5, 12]}
lightgbm: {rounds: 30, patience: 10, min_leaf: 40, learning_rate: 0.1}
ensemble: {l2: 100000}
lstm: {window: 6, hidden: 4, epochs: 2, stride: 4}
splits: {folds: 2}
evidence: {draws: 100}
"""
_NETWORK = "window: 8, epochs: 1, stride: 16, dropout: 0.1"
ZOO = f"""\
name: zoo
data: {{bars: 3000, synthetic_seed: 6}}
features: {{max_lookback: 26, exclude: [funding_last, funding_24h]}}
labels: {{horizons: [5, 12]}}
lightgbm: {{rounds: 8, patience: 4, min_leaf: 40, compare_plain: true}}
lstm: {{{_NETWORK}, hidden: 4}}
tft: {{{_NETWORK}, hidden: 4, attention_heads: 1}}
transformer: {{{_NETWORK}, width: 8, attention_heads: 2, layers: 1}}
lstm15m: {{{_NETWORK}, hidden: 4, features: {{max_lookback: 26, exclude: [funding_last, funding_24h]}}}}
student: {{{_NETWORK}, hidden: 4}}
regime: {{har: true}}
splits: {{folds: 2}}
evidence: {{draws: 100, canary: false}}
"""
ABLATION = """\
{"spec": "cpu", "model": "lstm", "question": "5 h, both sides", "rows": [
 {"name": "lstm base", "what": "cross-entropy", "auc": {"value": 0.551, "low": 0.531, "high": 0.571},
  "log_loss": 0.6871, "seconds": 12.3},
 {"name": "lstm focal", "what": "focal loss instead of cross-entropy",
  "auc": {"value": 0.561, "low": 0.541, "high": 0.58},
  "difference": {"value": 0.01, "low": 0.002, "high": 0.018}, "log_loss": 0.6869, "seconds": 13.1},
 {"name": "lstm augmentation", "what": "noise, channels and warp", "auc": {"value": 0.549, "low": 0.53, "high": 0.57},
  "difference": {"value": -0.002, "low": -0.01, "high": 0.007}, "log_loss": 0.6874, "seconds": 14.0}], "later": 1}
"""


@dataclass(frozen=True)
class Made:
    """A set, the bars it was made of, and their file as `--data` takes it."""

    model_set: ModelSet
    bars: Bars
    data: str

    def figures(self, *ablations: Ablation) -> Figures:
        """What is said of it, with few draws."""
        asked = Asked(self.data, ablations=ablations, draws=60)
        return gather(self.model_set, asked, Steps(quiet=True))


def _made(text: str, folder: Path, finer: str | None = None) -> Made:
    spec = parse(text, TrainingSpec)
    bars = synthetic_market(spec.data, finer)
    files = [folder / "BTCUSDT-1h.parquet"]
    history.write(bars.candles, files[0])
    if bars.finer is not None:
        files.append(folder / f"BTCUSDT-{finer}.parquet")
        history.write(bars.finer, files[1])
    path = make_set(
        bars, spec, folder / "sets", Steps(quiet=True), 1, "python -m training run --data /far/BTC.parquet"
    ).path
    return Made(ModelSet.load(path), bars, ",".join(map(str, files)))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """LightGBM and LSTM."""
    return _made(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every family."""
    return _made(ZOO, tmp_path_factory.mktemp("zoo"), "15m")


@pytest.fixture(scope="session")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    """A base and two variants, as `training ablate` writes them."""
    file = tmp_path_factory.mktemp("ablation") / "ablation.json"
    file.write_text(ABLATION, encoding="utf-8")
    return read(file)


@pytest.fixture(scope="session")
def of_small(small: Made, ablation: Ablation) -> Figures:
    """What is said of the small set, with an ablation."""
    return small.figures(ablation)


@pytest.fixture(scope="session")
def of_zoo(zoo: Made) -> Figures:
    """What is said of the whole zoo, without one."""
    return zoo.figures()
