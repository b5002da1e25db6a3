"""Integrity: is the challenger what its manifest says, does it open, and was it made for this market."""

from __future__ import annotations

from backtest.gate.evidence import Contender, Evidence
from backtest.gate.ruling import holds
from backtest.verdict import Gate, Says
from models import features
from models.inference import Predictor
from models.manifest import utc_ms
from models.modelset import ModelSet, ModelSetError

FILES, GOLDEN = "integrity/files", "integrity/golden"
_FILES = "Are all files there, with the hashes and the feature definitions of the manifest?"
_GOLDEN = "Do the models open, and answer their golden inputs as when they were made?"


def opened(model_set: ModelSet) -> Predictor | Gate:
    """The set's predictor; if it does not open or answers otherwise than it did, the gate that says so."""
    try:
        return Predictor.load(model_set)
    except ModelSetError as error:
        return holds(GOLDEN, _GOLDEN, "within 1e-5", False, str(error))


def unreadable(error: ModelSetError) -> Gate:
    """The gate that a set which does not verify fails."""
    return holds(FILES, _FILES, "to the last byte", False, str(error))


def gates(evidence: Evidence) -> list[Gate]:
    """The family; that both sets opened at all is known by now."""
    manifest, market = evidence.challenger.manifest, evidence.market
    names = manifest.features.names
    whole = len(evidence.challenger.predictor.model_set.contents)
    symbol, venue = market.instrument.symbol, manifest.data.venue
    found = [
        holds(FILES, _FILES, "to the last byte", True, f"{whole} files verified"),
        holds(
            "integrity/schema",
            "Are its features defined as they are here?",
            "the same schema hash",
            features.schema_hash(names) == manifest.features.schema_hash,
            f"{len(names)} features",
        ),
        _golden(evidence.challenger),
        holds(
            "integrity/expiry",
            "Does it still stand when the judged data ends?",
            "expires later",
            utc_ms(manifest.expires) > market.end_ms,
            f"expires {manifest.expires}",
        ),
        holds(
            "integrity/symbol",
            "Was it trained on the symbol it is judged on?",
            symbol,
            symbol in manifest.data.symbols,
            f"trained on {', '.join(manifest.data.symbols)}",
        ),
    ]
    if evidence.champion is not None:
        theirs = evidence.champion.manifest.data
        alike = (venue, manifest.data.timeframe) == (theirs.venue, theirs.timeframe)
        found.append(
            holds(
                "integrity/venue",
                "Do both sets speak of one venue and one timeframe?",
                f"{theirs.venue} {theirs.timeframe}",
                alike,
                f"{venue} {manifest.data.timeframe}",
            )
        )
    return found


def _golden(side: Contender) -> Gate:
    golden = side.manifest.golden
    if golden is None:
        return Gate(GOLDEN, _GOLDEN, Says.UNCLEAR, "within 1e-5", why="the set has no golden answers; train it again")
    return holds(GOLDEN, _GOLDEN, "within 1e-5", True, f"{golden.count} inputs, {len(golden.outputs)} outputs")
