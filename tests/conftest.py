"""What every test may ask for: the real data beside the checkout, where there is some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real klines and recorded payloads; a checkout without one runs fewer tests."""
    folder = Path(os.environ.get("REGIMEN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set REGIMEN_SHARED to its folder to run this test")
    return folder
