"""Faults 37 to 40: sets that do not arrive whole, swaps under a position, no GPU, and a schedule that is missed."""

from __future__ import annotations

from typing import Any

from tests.faults.acts import Do, Ends, Holds, Killed, Play, Settled, Start, Terminate
from tests.faults.boxes import Spoiled, Trains
from tests.faults.scenario import Act, Scenario
from tests.faults.sets import (
    LONG_ALONE,
    STORE,
    KeepsItsPosition,
    Noted,
    PastDue,
    Reaches,
    Retrain,
    Rollback,
    Runs,
    Scheduled,
    Serves,
    Stored,
    Suspended,
    Swap,
    Until,
    cut_short,
    half_copied,
    of_another_venue,
    of_other_features,
    one_bit_off,
)

ARTEFACT = "GPU box unreachable, partial artefact, wrong hash or schema"
OPEN = "swap with a position open"
PROVIDER = "GPU provider missing: CPU fallback, parity checked"
SCHEDULE = "scheduler misfire, overlapping retrains"
SWAPPING: dict[str, Any] = {"shadow": {"candles": 2}, "watch": {"candles": 6}}
WARM = {"warmup": 3_100}
"""Candles enough to train on."""
CUDA = (("provider", "cuda"), ("model_sets", "../daemon/models"), ("state_dir", "../daemon/state"))
FIRST, SECOND = Stored("first", champion=True), Stored("second")


def refused(variant: str, second: Act, words: str) -> Scenario:
    """A set that is asked for and must not come into service."""
    return Scenario(
        37, ARTEFACT, variant,
        [FIRST, Start(), Play(), second, Swap("second"), Reaches("second", "refused", words), Serves("first"), Play(2)],
        "refused with the reason before it is opened; the champion answers on, and its pointer never moved",
        daemon=STORE | {"swapping": SWAPPING},
    )  # fmt: skip


def trained(number: int, name: str, variant: str, acts: list[Act], response: str) -> Scenario:
    """A daemon that has sets trained."""
    return Scenario(number, name, variant, acts, response, exchange=WARM, daemon=STORE)


SCENARIOS = (
    trained(
        37, ARTEFACT, "the box cannot be reached",
        [FIRST, Trains("nobody"), Start(), Play(), Retrain(), Play(2), Runs(1, "failed", "127.0.0.1"), Serves("first"),
         Play(2)],
        "tried again after a pause, so many times and no more; told; the daemon trades on with what it has",
    ),
    trained(
        37, ARTEFACT, "the set comes back spoiled",
        [FIRST, Trains("box"), Start(), Play(), Retrain(), Spoiled(), Runs(1, "failed", "is refused"), Serves("first"),
         Play(2)],
        "verified where it lands, against the hashes that the job wrote down; it never gets its place in the store",
    ),
    refused("half-copied", Stored("second", harm=half_copied), "half-copied"),
    refused("a file is cut short", Stored("second", harm=cut_short), "bytes where the manifest says"),
    refused("a bit is wrong", Stored("second", harm=one_bit_off), "SHA-256"),
    refused("features defined otherwise", Stored("second", harm=of_other_features), "other definitions"),
    refused("trained on another venue", Stored("second", harm=of_another_venue), "trained on bybit"),
    Scenario(
        38, OPEN, "swapped in, and rolled back by hand",
        [
            FIRST, Stored("second", holds=2), Start(), Until(), Swap("second"), Reaches("second", "shadow"),
            Do(KeepsItsPosition(2)), Reaches("second", "watched"), Serves("second"), KeepsItsPosition(4),
            Rollback(), Reaches("second", "rolled back", bars=2), Serves("first"), Play(3),
        ],
        "one reference between two candles: the position keeps the longest holding of the set that opened it, and its "
        "stop is tightened at most",
        daemon=STORE | {"swapping": SWAPPING, "_rules": LONG_ALONE},
    ),
    Scenario(
        38, OPEN, "killed as the new set is watched",
        [
            FIRST, Stored("second", holds=2), Start(), Until(), Swap("second"), Reaches("second", "watched", bars=4),
            KeepsItsPosition(2), Killed(), Start(), Serves("second"), Holds(1, 1), KeepsItsPosition(2),
            Reaches("second", "kept", bars=6), Serves("second"), Play(2),
        ],
        "the next life begins with the set that the pointer names, and takes the watch up where it was",
        daemon=STORE | {"swapping": SWAPPING, "_rules": LONG_ALONE},
    ),
    Scenario(
        39, PROVIDER, "asked for automatically",
        [
            FIRST, SECOND, Start(), Play(), Swap("second"),
            Reaches("second", "shadow", "on cpu, golden answers as recorded"),
            Reaches("second", "watched", bars=4), Serves("second"), Play(2),
        ],
        "the network runs on the CPU; golden answers, kept when the set was made, are asked again as it is opened",
        daemon=STORE | {"swapping": SWAPPING, "provider": "auto"},
    ),
    Scenario(
        39, PROVIDER, "insisted on",
        [FIRST, Start(), Play(2), Terminate(), Start("insisting", ready=False, changes=CUDA),
         Ends(7, "the GPU cannot be used", "insisting"), Start(), Holds(1, 1), Play(2)],
        "a start that insists on the GPU ends with the reason; the stop rests at the exchange",
        daemon=STORE,
    ),
    trained(
        40, SCHEDULE, "killed across the hour it was due",
        [FIRST, Trains(), Scheduled(8), Start(), Play(), Killed(), PastDue(), Start(), Noted("made up for"), Play(2),
         Runs(1, "done"), Play()],
        "what came due while nobody was there is asked for once at the next start",
    ),
    trained(
        40, SCHEDULE, "the host stands still as it is due",
        [FIRST, Trains(), Scheduled(8), Start(), Play(), Suspended(), Settled(), Runs(1, "done"), Play(2)],
        "asked for once when it goes on",
    ),
    trained(
        40, SCHEDULE, "asked for again and again",
        [FIRST, Trains(), Start(), Play(), Retrain(), Retrain("under way"), Play(2), Retrain("under way"),
         Runs(1, "done"), Play(2)],
        "there is one run at a time: who asks meanwhile is told of that one",
    ),
)  # fmt: skip
