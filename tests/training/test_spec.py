"""What a spec may not say: each mistake is told when the file is read, and not after an hour of training."""

from __future__ import annotations

import pytest

from configs import ConfigError, parse
from training.spec import TrainingSpec


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("transformer: {width: 8, attention_heads: 3}", "width 8 does not divide among 3 attention heads"),
        ("tft: {hidden: 10, attention_heads: 4}", "hidden 10 does not divide among 4 attention heads"),
        ("lstm: {augment: {channels: 1.0}}", "less than 1"),
        ("lstm: {loss: auc_margin, epochs: 2}", "auc_margin begins after 2 epochs of cross-entropy"),
        ("lstm: {horizon_weights: [0.5, 0.5]}", "horizon_weights has 2 weights for 3 horizons"),
        ("lstm15m: {horizon_weights: [1.0]}", "horizon_weights means nothing here: lstm15m has one horizon alone"),
        ("lstm15m: {timeframe: 1h}", "lstm15m.timeframe 1h is not shorter than data.timeframe 1h"),
        ("lstm15m: {timeframe: 7x}", "lstm15m.timeframe"),
        ("lstm15m: {bars_ahead: 400}", "bars_ahead reaches 400 candles of 15m ahead, and slices lie 24 of 1h apart"),
        ("student: {loss: auc_margin}", "auc_margin has no soft form"),
        ("regime: {lstm: {diversity: 0.1}}", "diversity means nothing here"),
        ("regime: {lstm: {loss: focal}}", "loss means nothing here"),
        ("lightgbm: {search: {trials: 1}}", "trials"),
        ("ensemble: {context: [moon]}", "moon"),
    ],
)
def test_a_mistake_is_told_with_its_place(said: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(f"name: wrong\n{said}\n", TrainingSpec)
    assert told in str(error.value)
