"""What a finished run says: tables for people, one object for programs. Both read the manifest alone."""

from __future__ import annotations

import time
from typing import Any

from pydantic import JsonValue
from rich import box
from rich.console import Console
from rich.table import Table

from models.manifest import family, utc_ms
from training.run import Outcome

_NAMES = {
    "lightgbm": "Light\nGBM",
    "lstm": "LSTM",
    "tft": "TFT",
    "transformer": "Trans-\nformer",
    "lstm15m": "LSTM\n15m",
    "student": "Stu-\ndent",
}


def as_json(outcome: Outcome) -> dict[str, JsonValue]:
    """The set's id and place, what was weighed how, the test figures, and the seconds of each step."""
    manifest = outcome.manifest
    return {
        "model_set": manifest.id,
        "path": str(outcome.path),
        "bytes": sum(m.bytes for m in manifest.models),
        "features": len(manifest.features.names),
        "lookback": manifest.lookback,
        "weights": dict(manifest.ensemble.weights),
        "max_hold_bars": manifest.decision.max_hold_bars,
        "expires": manifest.expires,
        "evidence": dict(manifest.evidence),
        "seconds": {step: round(took, 2) for step, took in outcome.seconds.items()},
    }


def show(outcome: Outcome, console: Console) -> None:
    """Tables of the test slice: direction heads and regime, each beside its baselines."""
    manifest = outcome.manifest
    told: Any = manifest.evidence
    console.print(direction_table(told))
    console.print(members_table(told))
    console.print(regime_table(told["regime"]))
    if not told["weights"]["by_skill"]:
        console.print("no horizon showed skill in validation; they weigh the same", style="yellow")
    if told.get("canary") and not told["canary"]["quiet"]:
        console.print("the canary found skill in shuffled labels: look for a leak", style="red")
    if dead := [key for key, head in told["heads"].items() if head["auc"]["low"] == head["auc"]["high"]]:
        console.print(f"{', '.join(dead)}: says the same of every bar; the gate will refuse it", style="yellow")
    weights = ", ".join(f"{h} bars {w:.2f}" for h, w in manifest.ensemble.weights.items())
    console.print(f"weights: {weights}; hold at most {manifest.decision.max_hold_bars} bars")
    console.print(f"{len(manifest.features.names)} features, {manifest.lookback} candles of lookback")
    past = " (past: give newer bars to trade with it)" if utc_ms(manifest.expires) <= time.time() * 1000 else ""
    console.print(f"expires {manifest.expires[:10]}{past}")
    console.print(f"model set {manifest.id} in {outcome.path} ({sum(outcome.seconds.values()):.0f} s)", soft_wrap=True)


def direction_table(told: Any) -> Table:
    """AUC of each head on the untouched slice with its 90 % interval, beside baselines.

    A star marks a baseline that the ensemble leads by an interval wholly above 0.
    """
    table = _table("test slice, AUC [90 %]; * surely beaten")
    for name in ("head", "ensemble", "minus\n24 h", "volat.\nclock", "logis-\ntic"):
        table.add_column(name, no_wrap=True)
    for key, head in told["heads"].items():
        rivals = (
            f"{figure['value']:.3f}" + ("*" if (head["lead_on_baselines"][name]["low"] or 0) > 0 else " ")
            for name, figure in head["baselines"].items()
        )
        table.add_row(key, _text(head["auc"]), *rivals)
    return table


def members_table(told: Any) -> Table:
    """AUC of each family of members on the untouched slice, head by head, beside the ensemble of them all."""
    table = _table("members on the test slice, AUC")
    heads = {key: {family(name): f for name, f in head["members"].items()} for key, head in told["heads"].items()}
    families = list(dict.fromkeys(name for members in heads.values() for name in members))
    for name in ("head", *(_NAMES.get(name, name) for name in families)):
        table.add_column(name, no_wrap=True)
    for key, members in heads.items():
        table.add_row(key, *(f"{members[name]['value']:.3f}" if name in members else "-" for name in families))
    return table


def regime_table(told: Any) -> Table:
    """Accuracy, kappa and log-loss of the regime classifier, beside its baselines."""
    table = _table("regime on the test slice [90 %]")
    for name in ("", "accuracy", "kappa", "log-loss"):
        table.add_column(name, no_wrap=True)
    for name, figures in {"regime": told, **told["baselines"]}.items():
        shown = (figures.get("accuracy"), figures.get("kappa"), figures.get("log_loss"))
        table.add_row(name.replace("_and_", ", "), *(_text(figure) for figure in shown))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)


def _text(figure: Any) -> str:
    if not figure:
        return "-"
    low, high = figure["low"], figure["high"]
    bounds = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{figure['value']:.3f}{bounds}"
