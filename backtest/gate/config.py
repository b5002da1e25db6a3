"""The gate's thresholds: one strict schema for `configs/gate.yaml`, which gives the reason of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from configs import load

FILE = Path(__file__).resolve().parent.parent.parent / "configs" / "gate.yaml"
SCHEMA = FILE.with_name("gate.schema.json")

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """Strict keys, read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bootstrap(Part):
    """How every interval is drawn."""

    block_hours: Count = Field(168, description="Hours in a block.")
    draws: Annotated[int, Field(ge=100)] = Field(1000, description="Samples.")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(0.90, description="Share of the draws inside.")
    seed: int = Field(0, description="Of the samples: the same evidence gives the same verdict.")


class Sufficiency(Part):
    """How much evidence there must be before anything is concluded."""

    judge_days: Count = Field(30, description="Days unseen by both sets, the last of the data.")
    rows: Count = Field(4000, description="Recorded walk-forward rows, in common with the champion's.")
    weeks: Count = Field(26, description="Weeks those rows span.")
    trades: Count = Field(100, description="Trades played from them.")
    cover: Share = Field(0.95, description="Share of the recorded rows whose candles the data must hold.")


class Parity(Part):
    """How far two computations of one number may lie apart."""

    logit: Positive = Field(1e-4, description="Network as trained against as served, in a logit.")
    live: Positive = Field(1e-9, description="Live prediction against that of a whole history.")
    recorded: Positive = Field(1e-5, description="Recorded test answers against the set's answers now.")
    samples: Count = Field(24, description="Candles asked live.")


class Liveness(Part):
    """Whether every output still says something."""

    least_deviation: Positive = Field(0.001, description="Standard deviation of an output, as a probability.")
    band: tuple[Share, Share] = Field((0.3, 0.7), description="Where the 1st to 99th percentile should lie (warning).")
    missing: Share = Field(0.01, description="Share of judged candles without a prediction.")

    @model_validator(mode="after")
    def _rises(self) -> Liveness:
        if not self.band[0] < self.band[1]:
            raise ValueError("the band must rise")
        return self


class Leak(Part):
    """When skill is too good to be honest."""

    auc: Annotated[float, Field(gt=0.5, lt=1)] = Field(0.60, description="Direction AUC above which it is a leak.")
    gap: Share = Field(0.02, description="Out-of-fold AUC less test AUC that is tolerated.")
    canary: Share = Field(0.03, description="Shuffled-label AUC above a half that chance alone can give.")
    audited: Count = Field(12, description="Candles at which the look-ahead and recursion audits recompute.")


class Skill(Part):
    """What the recipe must know."""

    margin: Share = Field(0.005, description="AUC by which the 5th percentile of a difference may fall below 0.")
    worst_fold: Share = Field(0.47, description="Least AUC of the worst fold.")


class Calibration(Part):
    """Whether probabilities mean what they say, on days the set has not seen."""

    slope: tuple[Positive, Positive] = Field((0.5, 2.0), description="Slope of outcome on logit; 1 is perfect.")
    bias: Share = Field(0.10, description="Mean probability less share that paid.")
    ece: Share = Field(0.10, description="Expected calibration error over five bins.")

    @model_validator(mode="after")
    def _rises(self) -> Calibration:
        if not self.slope[0] < 1 < self.slope[1]:
            raise ValueError("the slope's bounds must hold 1")
        return self


class Regime(Part):
    """The volatility classifier against HAR with the calendar."""

    log_loss: Share = Field(0.02, description="Nats by which it may be worse.")
    kappa: Share = Field(0.02, description="Quadratic kappa by which it may be worse.")


class Money(Part):
    """What must be left after costs."""

    drawdown: Positive = Field(1.1, description="Of the champion's drawdown.")
    drawdown_floor: Share = Field(0.10, description="Drawdown that is tolerated whatever the champion's.")
    drawdown_flat: Share = Field(0.20, description="Largest drawdown without a champion.")
    turnover: Positive = Field(3.0, description="Of the champion's turnover (warning).")
    break_even: Positive = Field(2.0, description="Of the assumed cost a side.")
    liquidations: Annotated[int, Field(ge=0)] = Field(1, description="Tolerated over the whole walk-forward.")
    judge_loss: Share = Field(0.15, description="Loss over the judged days that is a catastrophe.")
    judge_drawdown: Share = Field(0.20, description="Drawdown over the judged days that is one.")


class Luck(Part):
    """How much of the result may be chosen luck."""

    deflated_sharpe: Share = Field(0.95, description="Least probability that the Sharpe ratio beats the best of luck.")
    pbo: Share = Field(0.65, description="Largest probability that the choice among variants is overfitted.")


class Breakdowns(Part):
    """Where a good total may hide a bad part."""

    losing_months: Share = Field(0.60, description="Share of months that may lose.")
    month_loss: Share = Field(0.12, description="Largest loss of one month.")


class GateConfig(Part):
    """The gate's thresholds."""

    max_age_days: Count = Field(7, description="Days after which a verdict no longer allows a promotion.")
    bootstrap: Bootstrap = Bootstrap()
    sufficiency: Sufficiency = Sufficiency()
    parity: Parity = Parity()
    liveness: Liveness = Liveness()
    leak: Leak = Leak()
    skill: Skill = Skill()
    calibration: Calibration = Calibration()
    regime: Regime = Regime()
    money: Money = Money()
    luck: Luck = Luck()
    breakdowns: Breakdowns = Breakdowns()


@dataclass(frozen=True)
class Thresholds:
    """The thresholds with the file they are from and the SHA-256 of its bytes."""

    file: Path
    sha256: str
    config: GateConfig


def read(file: Path = FILE) -> Thresholds:
    """Read a file of thresholds.

    Raises
    ------
    ConfigError
        If it is missing or wrong.
    """
    config = load(file, GateConfig)
    return Thresholds(file, hashlib.sha256(file.read_bytes()).hexdigest(), config)
