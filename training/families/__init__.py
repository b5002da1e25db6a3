"""The zoo: every family of members, by name, and which of them a mode asks for."""

from __future__ import annotations

from configs import ConfigError
from training.families.boosted import Boosted, BoostedRegime
from training.families.networks import NetworkFamily
from training.families.search import Search
from training.modes import MODES
from training.spec import TrainingSpec
from training.units import Family

BOOSTED, PLAIN, REGIME = Boosted(), Boosted("lightgbm_plain", plain=True), BoostedRegime()
SEARCH = Search()
NETWORKS = {
    family.name: family
    for family in (
        NetworkFamily("lstm", "lstm"),
        NetworkFamily("tft", "tft"),
        NetworkFamily("transformer", "transformer"),
        NetworkFamily("lstm15m", "lstm"),
        NetworkFamily("student", "lstm"),
        NetworkFamily("regime_lstm", "lstm"),
    )
}
FINER = "lstm15m"
_EVERY: tuple[Family, ...] = (BOOSTED, PLAIN, REGIME, SEARCH, *NETWORKS.values())
FAMILIES = {family.name: family for family in _EVERY}


def direction(spec: TrainingSpec) -> list[str]:
    """The families of direction a spec asks for, the student last: it learns from the others."""
    asked = [name for name in ("lstm", "tft", "transformer", "lstm15m", "student") if getattr(spec, name) is not None]
    return [BOOSTED.name, *asked]


def wanted(spec: TrainingSpec, mode: str) -> list[str]:
    """The families of direction that the set of a mode consists of.

    Raises
    ------
    ConfigError
        If the spec has no section for the mode's family.
    """
    family = MODES[mode]
    if family is None:
        return direction(spec)
    if family not in direction(spec):
        raise ConfigError([f"mode {mode} trains {family}, and the spec has no section {family}: add one"])
    return [family]


def regime(spec: TrainingSpec) -> list[str]:
    """The families of the regime classifier."""
    return [REGIME.name, *(["regime_lstm"] if spec.regime.lstm is not None else [])]
