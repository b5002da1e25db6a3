"""What each member is told: one strict part of a training spec for every kind of model in the zoo.

Defaults are those of a small set. The sizes and rates of the full recipes stand in configs/training/full.yaml.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models import features

Share = Annotated[float, Field(gt=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
WARM_UP = 2
"""Epochs of cross-entropy before the AUC-margin loss begins."""
Told = TypeVar("Told", bound=BaseModel)


class Part(BaseModel):
    """Strict keys, read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureSpec(Part):
    """Which features are read. Those whose columns the history lacks are left out, and the run says so."""

    include: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="Feature names; null: every registered one."
    )
    exclude: tuple[str, ...] = Field((), description="Feature names left out.")
    max_lookback: Count | None = Field(None, description="Leave out features that need more bars than this.")

    @field_validator("include", "exclude")
    @classmethod
    def _registered(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names:
            features.REGISTRY.chosen(names)
        return names


class SearchSpec(Part):
    """A search for LightGBM's settings by Optuna, on out-of-fold log-loss; each trial counts against the set."""

    trials: Annotated[int, Field(ge=2, le=500)] = 20


class LightGBMSpec(Part):
    """A gradient-boosted member for each horizon and side. The defaults regularise hard: hours are few and noisy."""

    rounds: Count = Field(300, description="Most trees.")
    patience: Count = Field(30, description="Trees without a better early-stop loss before it ends.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves: Annotated[int, Field(ge=2, le=512)] = 8
    min_leaf: Count = Field(400, description="Fewest rows in a leaf: min_child_samples.")
    feature_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    row_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 20.0
    compare_plain: bool = Field(
        False, description="Fit LightGBM with its own defaults too, out of fold, and report the difference."
    )
    search: SearchSpec | None = None


class AugmentSpec(Part):
    """Augmentation of scaled windows, drawn anew for every batch, in training alone."""

    ratio: Fraction = Field(0.3, description="Share of the windows that are changed.")
    noise: Annotated[float, Field(ge=0)] = Field(0.05, description="Standard deviation of Gaussian noise.")
    channels: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="Share of the features hidden for the whole window."
    )
    warp: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Strength of the smooth warp of time.")


class NetworkSpec(Part):
    """What the training of every network is told."""

    window: Annotated[int, Field(ge=2, le=512)] = Field(48, description="Bars it reads.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    epochs: Count = 12
    patience: Count = Field(3, description="Epochs without a better early-stop score before training ends.")
    batch: Count = 256
    learning_rate: Positive = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    stride: Count = Field(2, description="Train on every so-manieth row; neighbouring windows agree almost entirely.")
    noise: Annotated[float, Field(ge=0)] = Field(0.1, description="Noise on all scaled inputs, in training only.")
    seeds: Annotated[int, Field(ge=1, le=16)] = Field(1, description="Networks trained alike, their logits averaged.")
    loss: Literal["bce", "focal", "auc_margin"] = "bce"
    diversity: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Penalty on heads that agree more than their labels do."
    )
    horizon_weights: tuple[Positive, ...] | None = Field(
        None, description="Weight of each horizon in the loss; null: equal."
    )
    augment: AugmentSpec | None = None

    @model_validator(mode="after")
    def _outlasts_its_warm_up(self) -> NetworkSpec:
        if self.loss == "auc_margin" and self.epochs <= WARM_UP:
            raise ValueError(f"loss auc_margin begins after {WARM_UP} epochs of cross-entropy; give more epochs")
        return self


class LSTMSpec(NetworkSpec):
    """The multi-horizon LSTM."""

    hidden: Annotated[int, Field(ge=1, le=1024)] = 32
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    bidirectional: bool = False
    pooling: Literal["last", "attention"] = "last"


class TFTSpec(NetworkSpec):
    """The Temporal Fusion Transformer."""

    window: Annotated[int, Field(ge=2, le=512)] = Field(96, description="Bars it reads.")
    hidden: Annotated[int, Field(ge=4, le=512)] = 32
    embedding: Annotated[int, Field(ge=1, le=256)] = Field(16, description="Width each feature is seen at alone.")
    attention_heads: Annotated[int, Field(ge=1, le=16)] = 4

    @model_validator(mode="after")
    def _heads_fit(self) -> TFTSpec:
        if self.hidden % self.attention_heads:
            raise ValueError(f"hidden {self.hidden} does not divide among {self.attention_heads} attention heads")
        return self


class TransformerSpec(NetworkSpec):
    """The multi-horizon Transformer."""

    window: Annotated[int, Field(ge=2, le=512)] = Field(96, description="Bars it reads.")
    width: Annotated[int, Field(ge=8, le=1024)] = 64
    attention_heads: Annotated[int, Field(ge=1, le=16)] = 4
    layers: Annotated[int, Field(ge=1, le=12)] = 2

    @model_validator(mode="after")
    def _heads_fit(self) -> TransformerSpec:
        if self.width % self.attention_heads:
            raise ValueError(f"width {self.width} does not divide among {self.attention_heads} attention heads")
        return self


class FinerLSTMSpec(LSTMSpec):
    """The LSTM on shorter candles: an input of the stack, never a horizon of its own."""

    window: Annotated[int, Field(ge=2, le=512)] = Field(192, description="Finer bars it reads.")
    stride: Count = Field(8, description="Train on every so-manieth finer row.")
    timeframe: str = Field("15m", description="Length of its candles.")
    bars_ahead: Count = Field(3, description="Finer bars its labels reach ahead.")
    features: FeatureSpec = FeatureSpec(max_lookback=200)

    @model_validator(mode="after")
    def _one_horizon(self) -> FinerLSTMSpec:
        return _without(self, "lstm15m has one horizon alone", horizon_weights=None)


class StudentSpec(LSTMSpec):
    """A small LSTM that learns from what the ensemble of the others said out of fold.

    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network.
    """

    temperature: Positive = 2.0
    alpha: Fraction = Field(0.5, description="Share of the teacher in the loss.")

    @model_validator(mode="after")
    def _can_be_taught(self) -> StudentSpec:
        if self.loss == "auc_margin":
            raise ValueError("a student learns by bce or focal; auc_margin has no soft form")
        return self


class RegimeSpec(Part):
    """The classifier of the volatility to come: LightGBM, with an LSTM and HAR + calendar where asked for."""

    lstm: LSTMSpec | None = None
    har: bool = Field(False, description="Pool HAR with the calendar too.")
    l2: Positive = Field(1000.0, description="Pull of the pool towards the plain average.")

    @model_validator(mode="after")
    def _tells_classes(self) -> RegimeSpec:
        if self.lstm is not None:
            told = "the regime's LSTM tells three classes by cross-entropy"
            _without(self.lstm, told, horizon_weights=None, loss="bce", diversity=0.0)
        return self


def _without(told: Told, why: str, **usual: object) -> Told:
    """The section, if it says nothing else of these keys."""
    for name, value in usual.items():
        if getattr(told, name) != value:
            raise ValueError(f"{name} means nothing here: {why}; leave it out")
    return told
