"""Augmentation: time runs forwards and ends where it did, channels go whole, and what is not drawn is not touched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.augmentation import Augmentation, warp_positions, warped

B, T, F = 40, 24, 7


def batch() -> Tensor:
    return torch.randn((B, T, F), generator=torch.Generator().manual_seed(4))


def drawn(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("warp", [0.1, 0.5, 0.99])
def test_warped_time_runs_forwards_and_is_pinned_at_both_ends(warp: float) -> None:
    at = warp_positions(200, T, warp, drawn())
    assert (at.diff(dim=1) > 0).all()
    assert (at[:, 0] == 0).all()
    assert (at[:, -1] == T - 1).all()
    assert (at - torch.arange(T)).abs().max() > warp  # it does something


def test_the_last_bar_of_a_warped_window_is_the_last_bar_to_the_bit() -> None:
    before = batch()
    after = Augmentation(1.0, noise=0, channels=0, warp=0.3)(before, drawn())
    assert torch.equal(after[:, -1], before[:, -1])
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.equal(after[:, 1:-1], before[:, 1:-1])


def test_a_bar_between_two_is_read_linearly() -> None:
    line = torch.arange(float(T))[None, :, None].expand(3, T, 2)
    at = warp_positions(3, T, 0.4, drawn())
    assert torch.allclose(warped(line, at)[:, :, 0], at, atol=1e-5)


def test_a_window_of_one_or_two_bars_cannot_be_warped() -> None:
    for length in (1, 2):
        before = torch.randn(5, length, F)
        assert torch.equal(Augmentation(1.0, noise=0, channels=0, warp=0.5)(before, drawn()), before)


def test_windows_that_are_not_drawn_come_back_to_the_bit() -> None:
    before = batch()
    given = before.clone()
    after = Augmentation(ratio=0.3)(before, drawn())
    same = (after == before).all(dim=(1, 2))
    assert int(same.sum()) == B - round(0.3 * B)
    assert torch.equal(before, given)


def test_what_comes_back_is_float32_of_the_same_shape() -> None:
    after = Augmentation(1.0)(batch(), drawn())
    assert after.dtype == torch.float32
    assert after.shape == (B, T, F)


@pytest.mark.parametrize("none", [Augmentation(ratio=0.0), Augmentation(1.0, noise=0, channels=0, warp=0)])
def test_a_ratio_of_zero_or_nothing_to_do_changes_nothing(none: Augmentation) -> None:
    assert torch.equal(none(batch(), drawn()), batch())


def test_a_lost_channel_is_lost_for_the_whole_window() -> None:
    after = Augmentation(1.0, noise=0.1, channels=0.4, warp=0.1)(batch(), drawn())
    lost = after == 0
    assert torch.equal(lost.all(dim=1), lost.any(dim=1))
    assert 0.3 < lost.float().mean() < 0.5


def test_noise_has_the_size_asked_for() -> None:
    moved = Augmentation(1.0, noise=0.2, channels=0, warp=0)(batch(), drawn()) - batch()
    assert abs(float(moved.std()) - 0.2) < 0.01


def test_the_same_generator_changes_the_same_windows_in_the_same_way() -> None:
    first, again, other = (Augmentation()(batch(), drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("wrong", [{"ratio": 1.2}, {"noise": -1.0}, {"channels": 1.0}, {"warp": 1.0}])
def test_a_setting_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"augmentation: {next(iter(wrong))} is"):
        Augmentation(**wrong)
