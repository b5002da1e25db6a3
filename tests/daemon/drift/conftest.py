"""What drift is watched on: a small real set with a reference, made once."""

from __future__ import annotations

import pytest

from models.modelset import ModelSet
from tests.models.drift_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World().ready(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="session")
def model_set(world: World, tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return world.saved(tmp_path_factory.mktemp("made"))
