"""The report page: one HTML file that holds all it needs, to be read, kept, sent and printed.

`templates/` lays out what the modules here compute; `page.css` and `scripts/` are put into it whole. The page loads
nothing, and its content security policy lets it do nothing else. The same inputs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from backtest.page import doubts, headline, identity, importance, outcomes, svg, tables, words
from backtest.page.curves import buy_and_hold, drawn
from backtest.page.identity import commit
from backtest.page.inputs import Inputs, Played

__all__ = ["Inputs", "Played", "commit", "render", "write"]

HERE = Path(__file__).resolve().parent
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def write(path: Path, inputs: Inputs) -> None:
    """Write the page of `inputs` to `path`, in UTF-8.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.write_text(render(inputs), encoding="utf-8", newline="\n")


def render(inputs: Inputs) -> str:
    """The page's HTML."""
    loader = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for module in (words, svg):
        loader.globals |= {name: f for name, f in vars(module).items() if callable(f) and not name.startswith("_")}
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = "".join(file.read_text(encoding="utf-8") for file in sorted((HERE / "scripts").glob("*.js")))
    return loader.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        data=Markup(json.dumps(drawn(inputs), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")),
        month_names=_MONTHS,
        **_content(inputs),
    )


def _content(inputs: Inputs) -> dict[str, Any]:
    """What the template reads by name."""
    calibrations = [outcomes.calibration(of) for of in outcomes.foretold(inputs)]
    months = tables.months(inputs.result)
    result, rules = inputs.result, inputs.setting.rules
    held = buy_and_hold(inputs, result.curve_time)
    return {
        "inputs": inputs,
        "headline": headline.headline(inputs, float(held[-1]) - 1),
        "gates": headline.ordered(inputs.verdict) if inputs.verdict else [],
        "tally": headline.tally(inputs.verdict) if inputs.verdict else "",
        "doubts": doubts.doubts(inputs, calibrations, months),
        "months": months,
        "years": sorted({m.year for m in months}),
        "month_of": {(m.year, m.month): m for m in months},
        "scorecard": tables.scorecard(inputs),
        "calibrations": calibrations,
        "passed": {c.of.name: outcomes.thresholds(c.of) for c in calibrations},
        "entry": {1: rules.long_entry / 1e9, -1: rules.short_entry / 1e9},
        "leave": {1: rules.long_exit / 1e9, -1: rules.short_exit / 1e9},
        "importances": importance.importances(inputs.model_set),
        "worst": tables.worst_trades(inputs),
        "ranked": tables.ranked,
        "identity": identity.identity(inputs),
        "still": svg.still_equity(
            result.curve_equity / result.start_cash, held, "Equity of this set, and buy and hold"
        ),
        "held": float(held[-1]) - 1,
        "by_year": _by_year(months),
        "isfinite": np.isfinite,
    }


def _by_year(months: list[tables.Month]) -> dict[int, float]:
    """Equity's change by calendar year."""
    grown: dict[int, float] = {}
    for month in months:
        grown[month.year] = grown.get(month.year, 1.0) * (1 + month.change)
    return {year: growth - 1 for year, growth in grown.items()}


def _hash(text: str) -> str:
    """How a content security policy names an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
