"""Every network, and each of its forms, small."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models import networks

FEATURES, HEADS, LENGTH = 6, 3, 12
ZOO: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("lstm", {"hidden": 8}),
    "lstm attention": ("lstm", {"hidden": 8, "pooling": "attention"}),
    "lstm both ways": ("lstm", {"hidden": 8, "bidirectional": True}),
    "lstm full form": ("lstm", {"hidden": 8, "layers": 2, "bidirectional": True, "pooling": "attention"}),
    "tft": ("tft", {"hidden": 8, "attention_heads": 2, "embedding": 8}),
    "transformer": ("transformer", {"width": 8, "attention_heads": 2, "layers": 2, "length": LENGTH}),
    "transformer attention": (
        "transformer",
        {"width": 8, "attention_heads": 2, "layers": 2, "length": LENGTH, "pooling": "attention"},
    ),
    "transformer patches": (
        "transformer",
        {"width": 8, "attention_heads": 2, "layers": 2, "length": LENGTH, "patch": 3},
    ),
}


def small(name: str, seed: int = 1, **options: Any) -> nn.Module:
    """One of the zoo, freshly drawn."""
    kind, form = ZOO[name]
    torch.manual_seed(seed)
    return networks.build(kind, FEATURES, HEADS, **form, **options)
