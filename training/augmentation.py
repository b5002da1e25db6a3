"""Augmentation of a batch of scaled windows, on the fly and in training only: noise, lost channels, warped time.

It acts after scaling, where a standard deviation means the same in every column and 0 is an ordinary value, and on the
device the batch is on. Windows that are not drawn come back to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

WAVES = 3
"""Sine waves a warp is made of: fewer than one turn in a few bars, so time stays smooth."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to a share of the windows of each batch.

    Attributes
    ----------
    ratio : float
        Share of the windows that is changed, from 0 to 1.
    noise : float
        Standard deviation of Gaussian noise on each value, in the scaler's units.
    channels : float
        Chance of each column to be lost, that is to be 0 for the whole window.
    warp : float
        How much faster or slower time may run inside the window, below 1; both ends stay where they are.

    Raises
    ------
    ValueError
        If one of them is out of its range.
    """

    ratio: float = 0.3
    noise: float = 0.05
    channels: float = 0.1
    warp: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"augmentation: ratio is a share from 0 to 1, not {self.ratio:g}")
        if not self.noise >= 0:
            raise ValueError(f"augmentation: noise is a standard deviation, 0 or more, not {self.noise:g}")
        if not 0 <= self.channels < 1:
            raise ValueError(f"augmentation: channels is a chance from 0 to below 1, not {self.channels:g}")
        if not 0 <= self.warp < 1:
            raise ValueError(f"augmentation: warp is from 0 to below 1, or time would run backwards: {self.warp:g}")

    def __call__(self, windows: Tensor, generator: torch.Generator) -> Tensor:
        """The batch (B, T, F) of scaled windows with the drawn ones changed; the given one is left alone.

        The generator is one of the windows' own device.
        """
        count = round(self.ratio * len(windows))
        if not count or not (self.noise or self.channels or self.warp):
            return windows
        device = windows.device
        drawn = torch.randperm(len(windows), generator=generator, device=device)[:count]
        changed = windows[drawn]
        if self.warp:
            changed = warped(changed, warp_positions(count, windows.shape[1], self.warp, generator, device))
        if self.noise:
            drift = torch.randn(changed.shape, generator=generator, device=device, dtype=changed.dtype)
            changed = changed + self.noise * drift
        if self.channels:
            lost = torch.rand((count, 1, windows.shape[2]), generator=generator, device=device) < self.channels
            changed = changed.masked_fill(lost, 0.0)
        return windows.index_copy(0, drawn, changed)


def warp_positions(
    count: int, length: int, warp: float, generator: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Where in the window each bar of a warped one is read (count, length): rising, from 0 to length - 1 exactly.

    Time u in [0, 1] becomes u + Σ aₖ sin(πku) / (πk). Its pace 1 + Σ aₖ cos(πku) stays above 1 - warp > 0, since
    Σ|aₖ| ≤ warp, and the sines are 0 at both ends: the last bar, the one a decision is about, stays the last.
    """
    time = torch.linspace(0, 1, length, device=device)
    order = torch.arange(1, WAVES + 1, device=device)
    waves = torch.sin(math.pi * order[:, None] * time) / (math.pi * order[:, None])
    strength = (2 * torch.rand((count, WAVES), generator=generator, device=device) - 1) * (warp / WAVES)
    positions = (time + strength @ waves) * (length - 1)
    positions[:, 0] = 0.0
    positions[:, -1] = length - 1
    return positions


def warped(windows: Tensor, positions: Tensor) -> Tensor:
    """Windows (B, T, F) read at positions (B, T), linearly between two bars."""
    if windows.shape[1] < 2:
        return windows
    lower = positions.floor().clamp(0, windows.shape[1] - 2)
    share = (positions - lower)[:, :, None].to(windows.dtype)
    index = lower.long()[:, :, None].expand_as(windows)
    # lerp is exact at both ends, which a sum of two products is not
    return torch.lerp(windows.gather(1, index), windows.gather(1, index + 1), share)
