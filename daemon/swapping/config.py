"""The section `swapping` of the configuration: how long a new set is shadowed and watched, and by what limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from daemon.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class Alive(Section):
    """What a set must show at every candle, as a shadow and in service."""

    unanswered: Share = Field(
        0.1,
        description="Share of the candles that it may leave unanswered, where the candles are there. One in ten: a "
        "member that gives no finite number now and then costs an hour, not a position.",
    )
    in_a_row: int = Field(
        3, ge=1, description="So many unanswered candles in a row, and it is dead; one or two happen at a hole."
    )
    constant: int = Field(
        6,
        ge=2,
        description="So many equal answers in a row, and it is stuck: an ensemble's answer moves in its sixth digit at "
        "every candle.",
    )
    slow_ms: float = Field(
        1_000,
        gt=0,
        description="Median time over a symbol, ms. Sets take 5 to 50; a second leaves room for 30 symbols within the "
        "30 s that a prediction may take.",
    )


class Shadow(Section):
    """A new set beside the one in service: asked, and not traded on."""

    candles: int = Field(
        12,
        ge=1,
        description="Answered candles before it is swapped in; half a day of hours shows each hour's work.",
    )
    silent: int = Field(
        3, ge=1, description="Candles that the set in service may be ahead before the shadow counts as too slow."
    )


class Watch(Section):
    """A set in service that is new there."""

    candles: int = Field(
        72, ge=1, description="Decided candles: three days let 48 labels of the longest horizon (24 h) mature."
    )
    loss: Share = Field(
        0.05,
        description="Most that trades it opened may have lost, as a share of the equity at the swap: live_config's "
        "daily limit, for a set in its first days.",
    )
    brier: float = Field(
        0.08,
        gt=0,
        description="Most that the Brier score of its matured labels may lie above its own record's. Its standard "
        "error over two days of overlapping labels is .02 to .03, and a coin is .01 above an honest set: .08 takes a "
        "set that is surely wrong, not unlucky.",
    )
    labels: int = Field(24, ge=1, description="Candles with a matured label before the Brier score counts.")


class Swapping(Section):
    """How a new set comes into service, and out of it again."""

    gate: Path | None = Field(
        None, description="The gate's thresholds, relative to this file; empty: the committed configs/gate.yaml."
    )
    supervision: Literal["process", "systemd", "unit"] = Field(
        "process",
        description="How judging is run: a detached process, a transient unit, or the unit that waits for its folder.",
    )
    judging_s: int = Field(2 * 3_600, ge=1, description="Judging that takes longer has failed, seconds.")
    taker_fee: Share = Field(
        0.0005,
        description="What one execution costs here, as a share of its notional; a set whose labels assume less for "
        "both ways is refused. Binance USDT-M without a discount: .0005.",
    )
    alive: Alive = Alive()
    shadow: Shadow = Shadow()
    watch: Watch = Watch()

    def located(self, folder: Path) -> Swapping:
        """The section with its relative path taken from `folder`."""
        return self.model_copy(update={"gate": self.gate and (folder / self.gate.expanduser()).resolve()})
