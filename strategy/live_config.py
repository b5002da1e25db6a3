"""The schema of the trading rules file (`configs/live_config.yaml`), and the plain numbers it becomes.

In the file a share is a decimal (0.02 is two per cent); inside it is an integer of 1e-4 (bps), exactly, and a
probability is an integer of 1e-9. A share finer than 1e-4 is refused instead of rounded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

import configs
from market.instruments import CASH
from strategy.plan import TradingState

BPS = 10_000
PPB = 1_000_000_000


def _bps(share: float) -> int:
    return int(Decimal(repr(share)) * BPS)


def _no_finer_than_bps(share: float) -> float:
    if Decimal(repr(share)) * BPS % 1:
        raise ValueError(f"{share} is finer than 0.0001; round it to four digits")
    return share


Share = Annotated[float, AfterValidator(_no_finer_than_bps)]
Probability = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Entry(_Section):
    """When a position is opened."""

    long: Probability = Field(0.54, description="Least calibrated P(long profitable) for a long.")
    short: Probability = Field(0.45, description="Least calibrated P(short profitable) for a short.")
    edge: float = Field(0.02, ge=0, le=1, description="Least lead of the wanted side's probability over the other's.")


class Exit(_Section):
    """When a position is closed, stops apart."""

    long: float = Field(0.46, ge=0, le=1, description="A long is closed when P(long profitable) falls below this.")
    short: float = Field(0.41, ge=0, le=1, description="A short is closed when P(short profitable) falls below this.")
    max_hold_bars: int | None = Field(
        None, ge=1, le=10_000, description="Longest holding in decision candles; empty: the model set's own."
    )


class RegimeTerms(_Section):
    """Leverage and stop while a volatility regime is in force."""

    leverage: int = Field(ge=1, le=125, description="Leverage of an entry in this regime.")
    stop: Share = Field(gt=0, lt=0.5, description="Stop distance from the average fill, as a share of the price.")


class Regimes(_Section):
    """Terms per volatility regime, and how a regime comes into force."""

    confirm: int = Field(2, ge=1, le=100, description="Candles in a row that must show a regime before it is in force.")
    low: RegimeTerms = RegimeTerms(leverage=10, stop=0.02)
    mid: RegimeTerms = RegimeTerms(leverage=5, stop=0.03)
    high: RegimeTerms = RegimeTerms(leverage=2, stop=0.05)


class Size(_Section):
    """How large an entry is: notional = equity x margin x leverage, down to the step."""

    margin: Share = Field(0.10, gt=0, le=1, description="Share of equity set aside as margin for one entry.")
    reserve: Share = Field(0.20, ge=0, lt=1, description="Share of equity that no margin may touch.")
    max_notional: float = Field(
        1_000_000,
        ge=1,
        le=4_000_000,
        description="Largest notional of one symbol, quote currency; sizes are cut to it.",
    )


class Caps(_Section):
    """Limits over all symbols; an entry that would pass one is refused."""

    positions: int = Field(5, ge=1, le=1_000, description="Most positions open at once.")
    risk: Share = Field(0.06, gt=0, le=1, description="Most that all stops together may lose, as a share of equity.")


class Cooldown(_Section):
    """Decision candles without an entry after a loss; the candle of the loss itself is always without."""

    stop: int = Field(1, ge=0, le=10_000, description="Candles after one in which a stop filled.")
    liquidation: int = Field(24, ge=0, le=10_000, description="Candles after one in which a position was liquidated.")


Consequence = Annotated[
    Literal["reducing", "halted"],
    Field(description="reducing: no entries; halted: positions are closed as well, until an operator resumes."),
]


class LossLimit(_Section):
    """A loss that restricts trading."""

    limit: Share = Field(gt=0, lt=1, description="Share of equity.")
    then: Consequence


class StreakLimit(_Section):
    """A row of losing trades that restricts trading."""

    trades: int = Field(ge=1, le=1_000, description="Losing trades in a row.")
    then: Consequence


class Halts(_Section):
    """What restricts trading altogether, judged at each decision candle; null turns one off."""

    daily_loss: LossLimit | None = Field(
        LossLimit(limit=0.05, then="reducing"),
        description="Loss since the UTC day began; reducing ends with the day.",
    )
    weekly_loss: LossLimit | None = Field(
        LossLimit(limit=0.10, then="reducing"),
        description="Loss since Monday, 00:00 UTC; reducing ends with the week.",
    )
    drawdown: LossLimit | None = Field(
        LossLimit(limit=0.20, then="halted"),
        description="Loss since the highest equity; ends when an operator resumes.",
    )
    losing_streak: StreakLimit | None = Field(
        StreakLimit(trades=8, then="reducing"),
        description="Losing trades in a row, over all symbols; reducing ends with the UTC day.",
    )

    def limits(self) -> HaltLimits:
        """The same in plain numbers."""
        day, week, peak, streak = self.daily_loss, self.weekly_loss, self.drawdown, self.losing_streak
        return HaltLimits(
            daily_loss_bps=_bps(day.limit) if day else 0,
            daily_loss_then=TradingState(day.then) if day else TradingState.ACTIVE,
            weekly_loss_bps=_bps(week.limit) if week else 0,
            weekly_loss_then=TradingState(week.then) if week else TradingState.ACTIVE,
            drawdown_bps=_bps(peak.limit) if peak else 0,
            drawdown_then=TradingState(peak.then) if peak else TradingState.ACTIVE,
            losing_streak=streak.trades if streak else 0,
            losing_streak_then=TradingState(streak.then) if streak else TradingState.ACTIVE,
        )


class Orders(_Section):
    """What must hold at the moment an entry is sent; orders that close or protect are never held up."""

    price_band: Share | None = Field(
        0.01,
        gt=0,
        lt=1,
        description="Most that the price may have left the close that was decided at, as a share of it; null: no band.",
    )
    entries_per_hour: int | None = Field(
        None, ge=1, le=1_000, description="Most entries within an hour by the clock, over all symbols; null: no limit."
    )
    orders_per_minute: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Orders of all kinds within a minute by the clock after which an entry is dropped; null: no limit.",
    )


NO_HALTS = Halts(daily_loss=None, weekly_loss=None, drawdown=None, losing_streak=None)
"""Nothing restricts trading: for measuring what the other rules do."""


class LiveConfig(_Section):
    """The rules that turn a prediction into side, size, leverage, stop and exit."""

    name: str = Field(
        "live", min_length=1, max_length=40, description="Shown beside every decision made by these rules."
    )
    entry: Entry = Entry()
    exit: Exit = Exit()
    regimes: Regimes = Regimes()
    size: Size = Size()
    caps: Caps = Caps()
    cooldown: Cooldown = Cooldown()
    halts: Halts = Halts()
    orders: Orders = Orders()

    @model_validator(mode="after")
    def _consistent(self) -> LiveConfig:
        for side in ("long", "short"):
            enter, leave = getattr(self.entry, side), getattr(self.exit, side)
            if leave > enter:
                raise ValueError(f"exit.{side} ({leave}) is above entry.{side} ({enter}): an entry would close at once")
        if not self.regimes.low.stop <= self.regimes.mid.stop <= self.regimes.high.stop:
            raise ValueError("regimes: a stop must not be wider in a calmer regime (low <= mid <= high)")
        if self.size.margin > round(1 - self.size.reserve, 4):
            raise ValueError("size.margin does not fit beside size.reserve: no entry would ever be made")
        return self

    def rules(self) -> Rules:
        """The same in plain integers."""
        terms = (self.regimes.low, self.regimes.mid, self.regimes.high)
        return Rules(
            name=self.name,
            long_entry=round(self.entry.long * PPB),
            short_entry=round(self.entry.short * PPB),
            edge=round(self.entry.edge * PPB),
            long_exit=round(self.exit.long * PPB),
            short_exit=round(self.exit.short * PPB),
            max_hold_bars=self.exit.max_hold_bars or 0,
            confirm=self.regimes.confirm,
            leverage=(terms[0].leverage, terms[1].leverage, terms[2].leverage),
            stop_bps=(_bps(terms[0].stop), _bps(terms[1].stop), _bps(terms[2].stop)),
            margin_bps=_bps(self.size.margin),
            reserve_bps=_bps(self.size.reserve),
            max_notional=int(Decimal(repr(self.size.max_notional)) * CASH),
            max_positions=self.caps.positions,
            risk_bps=_bps(self.caps.risk),
            stop_cooldown=self.cooldown.stop,
            liquidation_cooldown=self.cooldown.liquidation,
            halts=self.halts.limits(),
            price_band_bps=_bps(self.orders.price_band or 0),
            entries_per_hour=self.orders.entries_per_hour or 0,
            orders_per_minute=self.orders.orders_per_minute or 0,
        )


@dataclass(frozen=True, slots=True)
class HaltLimits:
    """`Halts` in plain numbers: shares of equity in 1e-4, a number of trades, and what each leads to; 0 is off."""

    daily_loss_bps: int
    daily_loss_then: TradingState
    weekly_loss_bps: int
    weekly_loss_then: TradingState
    drawdown_bps: int
    drawdown_then: TradingState
    losing_streak: int
    losing_streak_then: TradingState


@dataclass(frozen=True, slots=True)
class Rules:
    """`LiveConfig` in plain numbers, which compiled code can take as they are.

    Attributes
    ----------
    name : str
        Name of the rules file.
    long_entry, short_entry, edge, long_exit, short_exit : int
        Probabilities in 1e-9.
    max_hold_bars : int
        Longest holding in decision candles; 0 means the model set's own.
    confirm : int
        Candles in a row before a regime is in force.
    leverage, stop_bps : tuple of int
        Terms of the low, mid and high regime; stops in 1e-4.
    margin_bps, reserve_bps, risk_bps : int
        Shares of equity in 1e-4.
    max_notional : int
        Largest notional of one symbol, cash units.
    max_positions : int
        Most positions open at once.
    stop_cooldown, liquidation_cooldown : int
        Decision candles without an entry after the candle of a stop or liquidation.
    halts : HaltLimits
        What restricts trading altogether.
    price_band_bps : int
        How far the price may have left the decision's close when an entry is sent, in 1e-4 of it; 0 is off.
    entries_per_hour, orders_per_minute : int
        How many may have been sent by the clock before an entry is dropped; 0 is off.
    """

    name: str
    long_entry: int
    short_entry: int
    edge: int
    long_exit: int
    short_exit: int
    max_hold_bars: int
    confirm: int
    leverage: tuple[int, int, int]
    stop_bps: tuple[int, int, int]
    margin_bps: int
    reserve_bps: int
    max_notional: int
    max_positions: int
    risk_bps: int
    stop_cooldown: int
    liquidation_cooldown: int
    halts: HaltLimits
    price_band_bps: int
    entries_per_hour: int
    orders_per_minute: int

    def sha256(self) -> str:
        """Hash (hex) of the rules as plain numbers, so that a comment in their file changes nothing."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def load_rules(path: Path | str) -> Rules:
    """The rules in a YAML file; raises `configs.ConfigError` naming each mistake's line."""
    return configs.load(path, LiveConfig).rules()
