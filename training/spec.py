"""What a training run is told: one strict schema for the files in configs/training/."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from market.synthetic import SIGNAL
from market.timeframes import Timeframe, TimeframeError
from training.member_spec import (
    Count,
    FeatureSpec,
    FinerLSTMSpec,
    LightGBMSpec,
    LSTMSpec,
    NetworkSpec,
    Part,
    RegimeSpec,
    Share,
    StudentSpec,
    TFTSpec,
    TransformerSpec,
)

ContextName = Literal["volatility", "disagreement"]
SYMBOL = r"^[A-Z0-9]{5,20}$"


class DataSpec(Part):
    """Which bars a set is made of."""

    symbol: str = Field("BTCUSDT", pattern=SYMBOL, description="Instrument the set is trained on.")
    venue: str = Field("binance-usdm", description="Exchange the history comes from; kept in the manifest.")
    timeframe: str = Field("1h", description="Length of a decision candle; shorter history is aggregated to it.")
    bars: Annotated[int, Field(ge=1000)] = Field(20_000, description="The last so many bars are used.")
    companion: str | None = Field(
        None,
        pattern=SYMBOL,
        description="Symbol it is compared with by cross-asset features, where its history is given.",
    )
    synthetic_seed: int = Field(1, description="Seed of the synthetic market, with --synthetic.")
    synthetic_signal: Annotated[float, Field(ge=0, le=1)] = Field(
        SIGNAL, description="Strength of the signal planted in the synthetic market; 0 plants none."
    )

    @field_validator("timeframe")
    @classmethod
    def _readable(cls, value: str) -> str:
        Timeframe.parse(value)
        return value


class LabelSpec(Part):
    """What is foretold."""

    horizons: tuple[Count, ...] = Field((5, 12, 24), min_length=1, description="Bars ahead.")
    cost: Annotated[float, Field(ge=0, lt=0.1)] = Field(
        0.0015, description="Return a trade must exceed to count as profitable: fees and slippage, both ways."
    )
    regime_horizon: Count = Field(24, description="Bars over which the volatility to come is measured.")
    regime_edges: Literal["train", "trailing"] = Field(
        "train", description="What parts volatility in thirds: the train slice, or the 365 days before each bar."
    )

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
    test_days: Count | None = Field(
        None, description="The test slice is the last so many days; the other shares then part what lies before it."
    )

    @model_validator(mode="after")
    def _shares_make_one(self) -> SplitSpec:
        if abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError(f"train, stop, calibrate and test must sum to 1, not {sum(self.shares):g}")
        return self

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The four shares in time order."""
        return self.train, self.stop, self.calibrate, self.test


class EnsembleSpec(Part):
    """How members become one probability."""

    l2: Annotated[float, Field(gt=0)] = Field(10.0, description="Pull of the stacker towards the plain average.")
    context: tuple[ContextName, ...] = Field(
        ("volatility", "disagreement"),
        description="What the stack reads beside the members: log volatility of a day, and how far members lie apart.",
    )
    context_l2: Annotated[float, Field(gt=0)] = Field(1000.0, description="Pull of those coefficients towards 0.")
    dead_member: Literal["without", "refuse"] = Field(
        "without", description="A member without a finite answer: fuse the others, or refuse the row."
    )


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
    tft: TFTSpec | None = None
    transformer: TransformerSpec | None = None
    lstm15m: FinerLSTMSpec | None = None
    student: StudentSpec | None = None
    regime: RegimeSpec = RegimeSpec()
    ensemble: EnsembleSpec = EnsembleSpec()
    evidence: EvidenceSpec = EvidenceSpec()
    expires_days: Annotated[int, Field(ge=1)] = Field(
        45, description="Days after the last bar until entries with this set stop."
    )

    @property
    def networks(self) -> dict[str, NetworkSpec]:
        """The networks that read decision candles, by the name of their family."""
        named = {"lstm": self.lstm, "tft": self.tft, "transformer": self.transformer, "student": self.student}
        named["regime_lstm"] = self.regime.lstm
        return {name: network for name, network in named.items() if network is not None}

    @model_validator(mode="after")
    def _finer_is_finer(self) -> TrainingSpec:
        if self.lstm15m is None:
            return self
        try:
            decision, finer = Timeframe.parse(self.data.timeframe), Timeframe.parse(self.lstm15m.timeframe)
            many = decision.ratio(finer)
        except TimeframeError as error:
            raise ValueError(f"lstm15m.timeframe: {error}") from error
        if many < 2:
            raise ValueError(f"lstm15m.timeframe {finer} is not shorter than data.timeframe {decision}")
        if self.lstm15m.bars_ahead > many * self.labels.purge:
            raise ValueError(
                f"lstm15m.bars_ahead reaches {self.lstm15m.bars_ahead} candles of {finer} ahead, and slices lie "
                f"{self.labels.purge} of {decision} apart"
            )
        return self

    @model_validator(mode="after")
    def _weights_fit(self) -> TrainingSpec:
        for name, network in self.networks.items():
            weights = network.horizon_weights
            if weights is not None and len(weights) != len(self.labels.horizons):
                raise ValueError(
                    f"{name}.horizon_weights has {len(weights)} weights for {len(self.labels.horizons)} horizons"
                )
        return self
