"""Promotion: the only way a set becomes champion, by a passing verdict for these exact hashes or by an audited force.

A rollback gives the pointer back to whom it named before; that set was promoted once, and needs no new verdict.

Every promotion is a line of ``<store>/promotions.jsonl``, on the disk before the pointer moves and never removed.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from models import verdicts
from models.manifest import Manifest, utc, utc_ms
from models.modelset import CHAMPION, ModelSet, ModelSetError, point, pointed
from models.parts import Part, UtcText
from models.verdicts import GATE_FILE, StoredVerdict

LOG = "promotions.jsonl"
DAY_MS = 86_400_000
SYNTHETIC = "synthetic"


class PromotionRefused(Exception):
    """A set that may not become champion now; the message says what is missing, and which command gives it."""

    exit_code = 6


class Promotion(Part):
    """One line of the log."""

    time: UtcText
    who: str = Field(description="user@host, or who asked the daemon")
    model_set: str | None = Field(description="null: rolled back to having no champion.")
    previous: str | None = Field(description="The champion before; null: none.")
    by: Literal["verdict", "force", "rollback"]
    verdict: str | None = Field(description="When the verdict it rests on was made; null if forced.")
    gate_sha256: str | None = None
    missing: str | None = Field(None, description="Why a verdict would not have sufficed, if forced.")
    reason: str | None = None


@dataclass(frozen=True)
class Log:
    """Promotions in order, and the numbers (from 1) of lines that cannot be read."""

    promotions: tuple[Promotion, ...]
    unreadable: tuple[int, ...]


def promote(
    candidate: ModelSet,
    store: Path,
    reason: str | None = None,
    forced: bool = False,
    now_ms: int | None = None,
    gate_file: Path = GATE_FILE,
    who: str | None = None,
) -> Promotion:
    """Let `champion` name the set, if its verdict allows it or it is forced.

    Parameters
    ----------
    candidate : ModelSet
        Verified just now.
    store : Path
        Folder of the user's sets.
    reason : str, optional
        Why, for the log; a forced promotion must give one.
    forced : bool
        Whether to do without a verdict.
    gate_file : Path
        The thresholds that the verdict must have been reached by.
    who : str, optional
        Who asked; user and host of this process without.

    Raises
    ------
    PromotionRefused
        If the verdict is missing, refuses, or is of other hashes; also if the set is the built-in one.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    store.mkdir(parents=True, exist_ok=True)
    if candidate.path.parent.resolve() != store.resolve():
        raise PromotionRefused(
            f"{candidate.id} is the built-in starter set: it knows the synthetic market alone and may not "
            f"trade on a real venue; train a set on real data (`make train DATA=klines.parquet`) and have it judged"
        )
    handle = os.open(store / LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two operators may promote at once
        previous = pointed(CHAMPION, store)
        verdict, missing = None, None
        try:
            verdict = sufficient(candidate, previous, store, now_ms, gate_file)
        except PromotionRefused as refusal:
            if not forced:
                raise
            missing = str(refusal)
        made = Promotion(
            time=utc(now_ms),
            who=who or _who(),
            model_set=candidate.id,
            previous=previous,
            by="force" if verdict is None else "verdict",
            verdict=None if verdict is None else verdict.made,
            gate_sha256=None if verdict is None else verdict.gate_sha256,
            missing=missing,
            reason=reason,
        )
        _append(handle, made)
        point(CHAMPION, candidate.id, store)
    finally:
        os.close(handle)
    return made


def roll_back(to: str | None, store: Path, reason: str, who: str | None = None, now_ms: int | None = None) -> Promotion:
    """Let `champion` name the set `to` again, which it named before; None: no set, as before the first promotion.

    Raises
    ------
    PromotionRefused
        If the pointer never named that set.
    """
    handle = os.open(store / LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made = history(store).promotions
        if to is not None and to not in {p.model_set for p in made} | {p.previous for p in made}:
            raise PromotionRefused(f"{to} never was the champion; promote it: python -m models promote {to}")
        now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        line = Promotion(
            time=utc(now_ms), who=who or _who(), model_set=to, previous=pointed(CHAMPION, store), by="rollback",
            verdict=None, reason=reason,
        )  # fmt: skip
        _append(handle, line)
        if to is None:
            (store / CHAMPION).unlink(missing_ok=True)
        else:
            point(CHAMPION, to, store)
    finally:
        os.close(handle)
    return line


def history(store: Path) -> Log:
    """Every promotion of a store, the oldest first."""
    try:
        content = (store / LOG).read_bytes()
    except FileNotFoundError:
        return Log((), ())
    found: list[Promotion] = []
    unreadable: list[int] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line:
            continue
        try:
            found.append(Promotion.model_validate_json(line))
        except ValidationError:
            unreadable.append(number)
    return Log(tuple(found), tuple(unreadable))


def sufficient(
    candidate: ModelSet, champion: str | None, store: Path, now_ms: int, gate_file: Path = GATE_FILE
) -> StoredVerdict:
    """The verdict that allows to promote `candidate` in the place of `champion` (None: of nobody).

    Raises
    ------
    PromotionRefused
        If there is none.
    """
    if champion == candidate.id:
        raise PromotionRefused(f"{candidate.id} is the champion already")
    missing = []
    if utc_ms(candidate.manifest.expires) <= now_ms:
        missing.append(f"{candidate.id} expired on {candidate.manifest.expires[:10]}; train a new one")
    try:
        verdict = _judged(candidate, champion, store, now_ms, gate_file)
    except PromotionRefused as refusal:
        missing.append(str(refusal))
    if missing:
        raise PromotionRefused("; and ".join(missing))
    return verdict


def _judged(candidate: ModelSet, champion: str | None, store: Path, now_ms: int, gate_file: Path) -> StoredVerdict:
    """The set's verdict, if it promotes by what is now in force; raises PromotionRefused otherwise."""
    command = judging(candidate.manifest, champion)
    try:
        verdict = verdicts.read(candidate.id, store)
    except ModelSetError as error:
        raise PromotionRefused(f"{error}: {command}") from error
    if verdict is None:
        raise PromotionRefused(f"there is no verdict on {candidate.id}; have it judged: {command}")
    if verdict.exit_code != 0:
        told = verdict.named("fail") or verdict.named("not enough evidence")
        raise PromotionRefused(
            f"the verdict of {verdict.made[:10]} on {candidate.id} is '{verdict.verdict}': {', '.join(told[:6])}"
            f"{' and more' if len(told) > 6 else ''}"
            + ("" if verdict.named("fail") else f"; gather more, and judge again: {command}")
        )
    if verdict.champion != champion:
        against = verdict.champion or "being flat"
        now = champion or "none"
        raise PromotionRefused(
            f"the verdict on {candidate.id} is against {against}, and the champion now is {now}; judge again: {command}"
        )
    if verdict.gate_sha256 != verdicts.gate_sha256(gate_file):
        raise PromotionRefused(
            f"{gate_file.name} has changed since {candidate.id} was judged by it; judge again: {command}"
        )
    age = now_ms - utc_ms(verdict.made)
    if age > verdict.max_age_days * DAY_MS:
        raise PromotionRefused(
            f"the verdict on {candidate.id} is {age / DAY_MS:.0f} days old, older than the {verdict.max_age_days} that "
            f"{gate_file.name} allows; judge again: {command}"
        )
    return verdict


def judging(manifest: Manifest, champion: str | None) -> str:
    """The command that judges a set, in the words of a shell."""
    against = "--model-set champion --challenger" if champion else "--challenger"
    data = "" if SYNTHETIC in (manifest.data.venue, manifest.data.source.split()[0]) else " --data KLINES.parquet"
    data += " --funding FUNDING.parquet" if data and any("funding" in n for n in manifest.features.names) else ""
    return f"python -m backtest {against} {manifest.id}{data}"


def _append(handle: int, made: Promotion) -> None:
    size = os.fstat(handle).st_size
    torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
    line = json.dumps(made.model_dump(mode="json"), sort_keys=True, ensure_ascii=False).encode()
    rest = memoryview((b"\n" if torn else b"") + line + b"\n")
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
