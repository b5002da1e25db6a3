"""A judgement: evidence gathered, every family of gates asked, all hashes written down that the verdict hangs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pydantic import JsonValue

from backtest.gate import (
    breakdowns,
    calibration,
    fusion,
    integrity,
    leak,
    liveness,
    luck,
    money,
    parity,
    sample,
    skill,
    sufficiency,
)
from backtest.gate.config import Thresholds
from backtest.gate.evidence import Evidence, Market, Progress, Terms, fitted_until, gather, judge_start
from backtest.gate.variants import chosen_among
from backtest.verdict import Gate, Verdict
from models import trials
from models.inference import Predictor
from models.manifest import utc
from models.modelset import STORE, ModelSet, ModelSetError

SOURCE = Path(__file__).resolve().parent


def judge(
    challenger: ModelSet,
    champion: ModelSet | None,
    market: Market,
    terms: Terms,
    thresholds: Thresholds,
    progress: Progress | None = None,
) -> Verdict:
    """The verdict of `consider`."""
    return consider(challenger, champion, market, terms, thresholds, progress)[0]


def consider(
    challenger: ModelSet,
    champion: ModelSet | None,
    market: Market,
    terms: Terms,
    thresholds: Thresholds,
    progress: Progress | None = None,
) -> tuple[Verdict, Evidence | None]:
    """Judge the challenger against the champion, or against being flat.

    A challenger that does not open is refused by the gate that says so, without evidence; a champion that does not is
    an error, since nothing can be compared with it.

    Raises
    ------
    ModelSetError
        If the champion cannot be used.
    BacktestError
        If the market has no candle that can be played.
    """
    theirs = None if champion is None else Predictor.load(champion)
    about = _identity(challenger, theirs, market, terms, thresholds)
    against = None if theirs is None else theirs.id
    ours = integrity.opened(challenger)
    if isinstance(ours, Gate):
        return Verdict(challenger.id, against, (ours,), about), None
    about |= _ranges(ours, theirs, market, thresholds)
    store = challenger.path.parent
    count = _open_the_judged_days(ours, about, store)
    evidence = chosen_among(gather(ours, theirs, market, terms, count, progress), store)
    verdict = Verdict(challenger.id, against, tuple(gates(evidence, progress)), about | {"trials": count})
    return verdict, evidence


def unreadable(challenger: Path, champion: ModelSet | None, error: ModelSetError, thresholds: Thresholds) -> Verdict:
    """The verdict on a folder that does not verify as a set: nothing in it may be believed, its market neither."""
    against = None if champion is None else champion.id
    about = {"challenger": challenger.name, "champion": against} | _of_thresholds(thresholds)
    return Verdict(challenger.name, against, (integrity.unreadable(error),), about)


def gates(evidence: Evidence, progress: Progress | None = None) -> list[Gate]:
    """Every gate, family by family."""

    def doing(what: str) -> None:
        if progress is not None:
            progress(what, 0, 1)

    doing("comparing walk-forward predictions")
    rows = sample.of(evidence)
    found = [
        *integrity.gates(evidence),
        *sufficiency.gates(evidence, rows),
        *parity.gates(evidence),
        *liveness.gates(evidence),
    ]
    doing("auditing for leaks")
    found += leak.gates(evidence, rows)
    doing("measuring skill and calibration")
    if rows is not None:
        found += skill.gates(evidence, rows)
        found += fusion.stacking(evidence, rows)
    found += calibration.gates(evidence, rows)
    found += fusion.regime(evidence)
    doing("counting the money")
    found += [*money.gates(evidence), *luck.gates(evidence), *breakdowns.gates(evidence, rows)]
    return found


def _identity(
    challenger: ModelSet, champion: Predictor | None, market: Market, terms: Terms, thresholds: Thresholds
) -> dict[str, JsonValue]:
    about: dict[str, JsonValue] = {
        "challenger": challenger.id,
        "champion": None if champion is None else champion.id,
        "data_sha256": market.sha256(),
        "symbol": market.instrument.symbol,
        "data_start": utc(int(market.base.open_time[0])),
        "data_end": utc(market.end_ms),
        "rules": terms.rules.name,
        "rules_sha256": terms.rules.sha256(),
        "costs": {"taker_ppm": terms.costs.taker_ppm, "slippage_ppm": terms.costs.slippage_ppm},
        "cash": terms.cash,
    }
    return about | _of_thresholds(thresholds)


def _of_thresholds(thresholds: Thresholds) -> dict[str, JsonValue]:
    return {
        "gate": thresholds.file.name,
        "gate_sha256": thresholds.sha256,
        "max_age_days": thresholds.config.max_age_days,
        "git_commit": _commit(),
    }


def _ranges(
    challenger: Predictor, champion: Predictor | None, market: Market, thresholds: Thresholds
) -> dict[str, JsonValue]:
    unseen = max(fitted_until(p.manifest) for p in (challenger, champion) if p is not None)
    start = judge_start(market, unseen, thresholds.config.sufficiency.judge_days)
    return {"unseen_from": utc(unseen), "judged_from": utc(start), "expires": challenger.manifest.expires}


def _open_the_judged_days(challenger: Predictor, about: dict[str, JsonValue], store: Path) -> int | None:
    """Write into the ledger that these days are looked at, before anything is concluded; how many trials there were.

    The look goes into the user's ledger; the built-in store is part of the program.
    """
    manifest = challenger.manifest
    counted = trials.count(store)
    start, end = (about["judged_from"], about["data_end"])
    assert isinstance(start, str)
    assert isinstance(end, str)
    trials.add(
        store.parent / STORE,
        trials.Trial(
            time=trials.now(),
            what="gate",
            name=manifest.identity.name,
            trials=0,
            set_id=challenger.id,
            symbols=manifest.data.symbols,
            test_start=start,
            test_end=end,
        ),
    )
    told = manifest.evidence.get("trials")
    return counted or (told if isinstance(told, int) else None)


def _commit() -> str | None:
    """The commit this code is at, marked if the code that judges was changed since; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            asked = subprocess.run(["git", *arguments], cwd=SOURCE, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return asked.stdout.strip() if asked.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    root = git("rev-parse", "--show-toplevel")
    if head is None or root is None:
        return None
    code = [f"{root}/{name}" for name in ("market", "models", "strategy", "backtest")]
    return f"{head}-changed" if git("status", "--porcelain", "--", *code) else head
