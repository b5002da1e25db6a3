"""The engines of the comparison: where each one's room is, what it needs, and what is to be expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rounding(StrEnum):
    """Where an engine's stop stands, relative to 3 % below the entry; each has an outcome of its own."""

    NEAREST = "to the nearest tick"
    UP = "up to the tick"
    NONE = "not at all"


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes
    ----------
    name : str
        As in `--only` and in the answer.
    module, function : str
        What measures it: a room in this folder, and a function of the frame there.
    requirement : str
        The package it comes in; empty for what the project itself has.
    rounding : Rounding
        How it rounds stops.
    slow : bool
        Whether it is kept to `--slow-bars`.
    exact_equity : bool
        Whether it can give the rule's equity; the others differ by intention.
    note : str
        What differs by intention.
    """

    name: str
    module: str
    requirement: str = ""
    function: str = "measure"
    rounding: Rounding = Rounding.NEAREST
    slow: bool = False
    exact_equity: bool = True
    note: str = ""


_LISTED = (
    Engine("regimen", "regimen", rounding=Rounding.UP, note="stops rounded toward the entry, fees up to 1e-8"),
    Engine("numba", "numba_loop"),
    Engine("vectorbt", "vectorbt_portfolio", "vectorbt", rounding=Rounding.NONE, note="stops off the grid, no margin"),
    Engine("hftbacktest", "hft", "hftbacktest", exact_equity=False, note="stops fill at the low, the ask is a tick up"),
    Engine("python", "python_loop"),
    Engine("backtesting", "backtesting_py", "backtesting", slow=True, note="its run makes its statistics as well"),
    Engine("regimen_plain", "regimen", function="measure_plain", rounding=Rounding.UP, slow=True, note="as regimen"),
    Engine("nautilus_trader", "nautilus", "nautilus_trader", slow=True, note="every order goes through its venue"),
)
ENGINES = {engine.name: engine for engine in _LISTED}
