"""What a training run is told: one strict schema for the files in configs/training/."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from market.synthetic import SIGNAL

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
SYMBOL = r"^[A-Z0-9]{5,20}$"


class Part(BaseModel):
    """Strict keys, read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSpec(Part):
    """Which bars a set is made of."""

    symbol: str = Field("BTCUSDT", pattern=SYMBOL, description="Instrument the set is trained on.")
    venue: str = Field("binance-usdm", description="Exchange the history comes from; kept in the manifest.")
    timeframe: str = Field("1h", description="Length of a decision candle; shorter history is aggregated to it.")
    bars: Annotated[int, Field(ge=1000)] = Field(20_000, description="The last so many bars are used.")
    synthetic_seed: int = Field(1, description="Seed of the synthetic market, with --synthetic.")
    synthetic_signal: Annotated[float, Field(ge=0, le=1)] = Field(
        SIGNAL, description="Strength of the signal planted in the synthetic market; 0 plants none."
    )


class FeatureSpec(Part):
    """Which features a set reads. Those whose columns the history lacks are left out, and the run says so."""

    include: tuple[str, ...] | None = Field(None, description="Feature names; null: every registered one.")
    exclude: tuple[str, ...] = Field((), description="Feature names left out.")
    max_lookback: Count | None = Field(None, description="Leave out features that need more bars than this.")


class LabelSpec(Part):
    """What is foretold."""

    horizons: tuple[Count, ...] = Field((5, 12, 24), min_length=1, description="Bars ahead.")
    cost: Annotated[float, Field(ge=0, lt=0.1)] = Field(
        0.0015, description="Return a trade must exceed to count as profitable: fees and slippage, both ways."
    )
    regime_horizon: Count = Field(24, description="Bars over which the volatility to come is measured.")

    @model_validator(mode="after")
    def _horizons_rise(self) -> LabelSpec:
        if list(self.horizons) != sorted(set(self.horizons)):
            raise ValueError("horizons must rise, each once")
        return self

    @property
    def purge(self) -> int:
        """Bars that any label reaches ahead."""
        return max(*self.horizons, self.regime_horizon)


class SplitSpec(Part):
    """How time is divided; between any two slices lies a purge as long as the labels reach."""

    train: Share = 0.60
    stop: Share = 0.10
    calibrate: Share = 0.15
    test: Share = 0.15
    folds: Annotated[int, Field(ge=2, le=20)] = Field(4, description="Expanding folds for out-of-fold predictions.")
    fold_stop: Share = Field(0.15, description="Share of a fold's fitting rows, the last ones, that stop its training.")

    @model_validator(mode="after")
    def _shares_make_one(self) -> SplitSpec:
        if abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError(f"train, stop, calibrate and test must sum to 1, not {sum(self.shares):g}")
        return self

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four shares in time order."""
        return self.train, self.stop, self.calibrate, self.test


class LightGBMSpec(Part):
    """A gradient-boosted member for each horizon and side. The defaults regularise hard: hours are few and noisy."""

    rounds: Count = Field(300, description="Most trees.")
    patience: Count = Field(30, description="Trees without a better early-stop loss before it ends.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves: Annotated[int, Field(ge=2, le=512)] = 8
    min_leaf: Count = Field(400, description="Fewest rows in a leaf.")
    feature_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    row_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    l2: Annotated[float, Field(ge=0)] = 20.0


class LSTMSpec(Part):
    """The multi-horizon LSTM."""

    window: Annotated[int, Field(ge=2, le=512)] = Field(48, description="Bars it reads.")
    hidden: Annotated[int, Field(ge=1, le=1024)] = 32
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    epochs: Count = 12
    patience: Count = 3
    batch: Count = 256
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    stride: Count = Field(2, description="Train on every so-manieth row; neighbouring windows agree almost entirely.")
    noise: Annotated[float, Field(ge=0)] = Field(0.1, description="Noise on scaled inputs, in training only.")


class EnsembleSpec(Part):
    """How members become one probability."""

    l2: Annotated[float, Field(gt=0)] = Field(10.0, description="Pull of the stacker towards the plain average.")


class EvidenceSpec(Part):
    """How the evidence is measured."""

    block: Count = Field(168, description="Bars in a block of the bootstrap: a week of hours.")
    draws: Annotated[int, Field(ge=100)] = Field(500, description="Bootstrap samples.")
    canary: bool = Field(True, description="Train once on shuffled labels; skill there would be a leak.")


class TrainingSpec(Part):
    """A whole training run."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="Kept in the manifest.")
    seed: int = 1
    data: DataSpec = DataSpec()
    features: FeatureSpec = FeatureSpec()
    labels: LabelSpec = LabelSpec()
    splits: SplitSpec = SplitSpec()
    lightgbm: LightGBMSpec = LightGBMSpec()
    lstm: LSTMSpec | None = LSTMSpec()
    ensemble: EnsembleSpec = EnsembleSpec()
    evidence: EvidenceSpec = EvidenceSpec()
    expires_days: Annotated[int, Field(ge=1)] = Field(
        45, description="Days after the last bar until entries with this set stop."
    )
