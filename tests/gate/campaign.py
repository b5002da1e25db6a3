"""A campaign: every planted kind judged on many seeds, and how often the gate was wrong."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.stats import beta

from backtest.verdict import NOT_ENOUGH, PROMOTE, REFUSE
from tests.gate.planted import KINDS, judged
from tests.gate.worlds import World, thresholds

WORDS = {PROMOTE: "promote", REFUSE: "refuse", NOT_ENOUGH: "not enough"}
HARMLESS = "equal"
"""As good as the champion: promoting it does no harm, so it counts in neither rate."""


@dataclass(frozen=True)
class Row:
    """One judgement of the campaign."""

    kind: str
    seed: int
    code: int
    right: bool
    reason: str
    seconds: float


def of_seed(seed: int) -> list[Row]:
    """Every kind on one seed's market."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        world = World(seed, Path(folder))
        for kind in KINDS:
            began = time.perf_counter()
            found = judged(world, kind)
            took = time.perf_counter() - began
            rows.append(Row(kind.name, seed, found.verdict.code, found.right, found.reason, round(took, 2)))
    return rows


def summary(rows: list[Row], seeds: int, seconds: float) -> dict[str, Any]:
    """The rates with their intervals, and every row."""
    bad = [r for r in rows if not _kind(r).promotes and r.kind != HARMLESS]
    fine = [r for r in rows if _kind(r).promotes]
    return {
        "command": f"python -m tests.gate --seeds {seeds}",
        "seeds": seeds,
        "seconds": round(seconds, 1),
        "gate_sha256": thresholds().sha256,
        "false_promotions": rate(sum(r.code == PROMOTE for r in bad), len(bad)),
        "missed_promotions": rate(sum(r.code != PROMOTE for r in fine), len(fine)),
        "wrong_reasons": rate(sum(not r.right for r in bad), len(bad)),
        "kinds": {
            k.name: {
                "what": k.what,
                "must": "promote" if k.promotes else "not promote",
                **{word: sum(r.code == code for r in rows if r.kind == k.name) for code, word in WORDS.items()},
                "right": sum(r.right for r in rows if r.kind == k.name),
                "promoted": rate(sum(r.code == PROMOTE for r in rows if r.kind == k.name), seeds),
            }
            for k in KINDS
        },
        "rows": [asdict(r) for r in rows],
    }


def rate(count: int, of: int) -> dict[str, Any]:
    """A share with its exact 95 % binomial interval (Clopper and Pearson, 1934)."""
    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return {"count": count, "of": of, "rate": round(count / of, 4), "interval": [round(low, 4), round(high, 4)]}


def page(told: dict[str, Any]) -> str:
    """docs/gate.md."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield "# The gate on planted sets"
    yield ""
    yield f"Written by `{told['command']}` ({told['seconds'] / 60:.0f} minutes). Each seed is a synthetic market of"
    yield "24,000 hours whose price follows the taker flow in one half of the week and leaves it in the other (strength"
    yield ".9; an honest direction AUC is about .57), and a month more to be judged. Sets are trained by `training`,"
    yield "broken by the operation that would break a real one, and judged by `configs/gate.yaml` as committed (300"
    yield "bootstrap draws). A refusal for another reason than the planted one counts as wrong."
    yield ""
    yield from (
        _rate_line(
            "false promotions (worse, noise, leaking or broken sets that would trade)", told["false_promotions"]
        ),
        _rate_line("missed promotions (better sets that would not)", told["missed_promotions"]),
        _rate_line("bad sets that were promoted, or held back without the planted reason", told["wrong_reasons"]),
    )
    yield ""
    yield "| planted | what | must | promote | refuse | not enough | right, for the right reason |"
    yield "|---|---|---|---|---|---|---|"
    for name, k in told["kinds"].items():
        counts = " | ".join(str(k[word]) for word in WORDS.values())
        yield f"| {name} | {k['what']} | {k['must']} | {counts} | {k['right']} of {told['seeds']} |"
    missed = [r for r in told["rows"] if not r["right"]]
    if missed:
        yield ""
        yield "Not as it should be:"
        yield ""
        for r in missed:
            yield f"- seed {r['seed']}, {r['kind']}: {WORDS[r['code']]}; {r['reason'] or 'no gate spoke against it'}"


def _rate_line(what: str, told: dict[str, Any]) -> str:
    low, high = told["interval"]
    return f"- {what}: **{told['count']} of {told['of']}** ({told['rate']:.1%}, 95 % interval {low:.1%} to {high:.1%})"


def _kind(row: Row) -> Any:
    return next(k for k in KINDS if k.name == row.kind)
