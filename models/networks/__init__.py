"""Networks: one file each, defined once for training and export. Imported under training alone: they need torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from torch import nn

from models.networks.errors import NetworkError
from models.networks.lstm import MultiHorizonLSTM
from models.networks.tft import TemporalFusionTransformer
from models.networks.transformer import MultiHorizonTransformer

__all__ = ["KINDS", "NetworkError", "build", "count_parameters"]

KINDS: Mapping[str, Callable[..., nn.Module]] = {
    "lstm": MultiHorizonLSTM,
    "tft": TemporalFusionTransformer,
    "transformer": MultiHorizonTransformer,
}


def build(kind: str, features: int, heads: int, **options: object) -> nn.Module:
    """A fresh network (B, T, F) -> (B, H) of one of the `KINDS`, its weights drawn from torch's global generator.

    Raises
    ------
    NetworkError
        If there is no such kind, the kind has no such option, or the options do not go together.
    """
    if kind not in KINDS:
        raise NetworkError(f"unknown network {kind!r}; there are {', '.join(KINDS)}")
    known = [name for name in inspect.signature(KINDS[kind]).parameters if name not in ("features", "heads")]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise NetworkError(f"the {kind} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return KINDS[kind](features, heads, **options)


def count_parameters(network: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(p.numel() for p in network.parameters())
