"""What identifies a run: hashes, commit, ranges, seeds, trials, versions; enough to make it again."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from backtest.bars import data_hash
from backtest.page.inputs import Inputs
from backtest.page.words import DASH, count, minute, money

ROOT = Path(__file__).resolve().parents[2]
_LIBRARIES = ("lightgbm", "numba", "numpy", "onnxruntime", "onnxruntime-gpu", "pandas", "scikit-learn", "ta-lib")

Lines = list[tuple[str, str]]


def identity(inputs: Inputs) -> list[tuple[str, Lines]]:
    """Groups of (what, value), each group under its heading."""
    setting, result, manifest = inputs.setting, inputs.result, inputs.model_set.manifest
    made_from, now = manifest.identity, versions()
    run: Lines = [
        ("range", f"{minute(result.start_ms)} to {minute(result.end_ms)} UTC"),
        ("bars", f"{count(result.bars)} of {inputs.frames[0].base.timeframe}, {count(result.decisions)} decisions"),
        ("data", setting.data),
        ("data SHA-256", data_hash(inputs.frames)),
        ("rules", setting.rules.name),
        ("rules SHA-256", setting.rules.sha256()),
        ("costs", f"fee {setting.costs.taker_ppm / 1e4:g} %, slippage {setting.costs.slippage_ppm / 1e4:g} %"),
        ("cash", f"{money(result.start_cash)} {setting.instruments[0].quote}"),
        ("mark price", "last price (no mark history)"),
        ("program's commit", inputs.commit or "not known (no git here)"),
        *inputs.more.items(),
    ]
    trials = manifest.evidence.get("trials")
    splits = sorted(manifest.data.splits.items(), key=lambda pair: pair[1].start)
    the_set: Lines = [
        ("id", manifest.id),
        ("name", made_from.name),
        ("made", f"{made_from.created} by {made_from.command or DASH}"),
        ("commit", made_from.git_commit or DASH),
        ("parent", made_from.parent or DASH),
        ("seed", str(made_from.seed)),
        ("trials counted", DASH if trials is None else str(trials)),
        ("trained on", f"{manifest.data.venue} {', '.join(manifest.data.symbols)}, {manifest.data.source}"),
        ("data SHA-256", manifest.data.sha256),
        *((f"{name} split", f"{r.start} to {r.end}, {count(r.rows)} rows") for name, r in splits),
        ("purge", f"{manifest.data.purge} bars"),
        ("features", f"{len(manifest.features.names)}, schema {manifest.features.schema_hash}"),
        ("expires", manifest.expires),
    ]
    libraries: Lines = []
    for name in sorted({*made_from.libraries, *now}, key=str.lower):
        then, here = made_from.libraries.get(name, DASH), now.get(name, DASH)
        libraries.append((name, here if then in (here, DASH) else f"{here} here, {then} when the set was made"))
    groups = [("This run", run), ("The set", the_set)]
    if inputs.verdict:
        groups.append(("The judgement", [(key, _plain(v)) for key, v in inputs.verdict.identity.items()]))
    groups.append(("Files of the set, SHA-256", [(m.file, m.sha256) for m in manifest.models]))
    groups.append(("Libraries", libraries))
    return groups


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on, of those that are here."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The checkout's commit, with a word if files differ from it; None where git or a checkout is missing."""
    try:
        found = _git("rev-parse", "HEAD")
        return f"{found} and changed since" if _git("status", "--porcelain", "--untracked-files=no") else found
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    asked = ("git", "-C", str(ROOT), *arguments)
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
