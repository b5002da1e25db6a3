"""Which features a set's boosters live on: LightGBM's gain by feature, from the set's own files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import lightgbm
import numpy as np

from models.modelset import ModelSet


@dataclass(frozen=True)
class Importance:
    """Share of the total gain by feature, the most first, over the boosters of one role."""

    role: Literal["direction", "regime"]
    boosters: int
    shares: tuple[tuple[str, float], ...]


def importances(of: ModelSet) -> list[Importance]:
    """Gain of the direction's and of the regime's boosters, each booster weighing the same."""
    made = []
    roles: tuple[Literal["direction", "regime"], ...] = ("direction", "regime")
    for role in roles:
        members = [m for m in of.manifest.models if m.kind == "lightgbm" and m.role == role]
        gains = []
        for member in members:
            booster = lightgbm.Booster(model_str=of.contents[member.file].decode())
            gain = np.asarray(booster.feature_importance(importance_type="gain"), dtype=np.float64)
            if gain.sum() > 0:
                gains.append(gain / gain.sum())
        if gains:
            mean = np.mean(gains, axis=0)
            order = np.argsort(-mean, kind="stable")
            names = of.manifest.features.names
            made.append(Importance(role, len(gains), tuple((names[i], float(mean[i])) for i in order.tolist())))
    return made
