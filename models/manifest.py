"""The manifest: everything a model set says about itself, in one canonical JSON file whose hash is the set's name.

Canonical: UTF-8, keys sorted, no spaces, no NaN. The id is ``<created, yyyymmddThhmmss>-<first 12 hex digits of the
SHA-256 of the manifest without its id>``, so no byte of a set can change under the same name.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from market.timeframes import Timeframe, TimeframeError
from models.baselines import Baselines, RegimeScore
from models.inputs import companion_of
from models.parts import FileName, Finite, HeadName, Part, Positive, Sha256, UtcText

FORMAT: Literal[1] = 1
"""Version of this layout; a set of a newer one is refused."""

REGIMES = ("low", "mid", "high")
HAR = "har"
"""Name of HAR with the calendar among the classifiers of a pool."""


def head(horizon: int, side: int) -> str:
    """Name of the head that foretells a trade of `side` (+1, -1) over `horizon` bars: ``12/long``."""
    return f"{horizon}/{'long' if side > 0 else 'short'}"


def family(member: str) -> str:
    """What kind of member it is: ``lightgbm_5_long``, which has one head, is of the family ``lightgbm``."""
    return re.sub(r"_\d+_(long|short)$", "", member)


def side_of(key: str) -> str:
    """``long`` or ``short`` of a head's name."""
    return key.rpartition("/")[2]


def utc(time_ms: int) -> str:
    """An instant as the manifest writes it, to the second: ``2025-06-30T23:00:00Z``."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_ms(text: str) -> int:
    """UTC ms of an instant as the manifest writes it."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000)


class Identity(Part):
    """Where the set comes from."""

    name: str = Field(description="Name of the training specification.")
    created: UtcText
    parent: str | None = Field(None, description="Id of the set it was made to replace.")
    git_commit: str | None = None
    command: str = Field("", description="The command that made it.")
    seed: int
    libraries: dict[str, str] = Field(default_factory=dict, description="Library -> version.")
    hardware: str = ""


class Range(Part):
    """Bars [start, end) by open time, and how many rows of them were used."""

    start: UtcText
    end: UtcText
    rows: Annotated[int, Field(ge=0)]


class Labels(Part):
    """What is foretold."""

    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    cost: Annotated[float, Field(ge=0, lt=1)]
    regime_horizon: Annotated[int, Field(ge=1)]
    regime_edges: Literal["train", "trailing"] = Field(
        "train", description="What parts volatility in thirds: the training split, or the year before each bar."
    )
    later: ClassVar[tuple[str, ...]] = ("regime_edges",)


class Data(Part):
    """What the set was made of."""

    venue: str
    symbols: tuple[str, ...] = Field(min_length=1)
    timeframe: str
    source: str = Field(description="File name, or the synthetic market with its seed and signal.")
    sha256: Sha256 = Field(description="Of the candles' columns.")
    others: dict[str, Sha256] = Field(
        default_factory=dict, description="The same of the finer candles and the companion's, where they were read."
    )
    later: ClassVar[tuple[str, ...]] = ("others",)
    rows: Annotated[int, Field(ge=1)]
    gaps: Annotated[int, Field(ge=0)]
    splits: dict[str, Range]
    purge: Annotated[int, Field(ge=0)] = Field(description="Bars left out between splits.")
    labels: Labels


class Scaler(Part):
    """How networks' inputs are scaled: (x - center) / scale, clipped to ±clip."""

    center: tuple[Finite, ...]
    scale: tuple[Positive, ...]
    clip: Positive
    fitted_on: str = Field(description="Split it was fitted on.")


class Features(Part):
    """The feature matrix the members read, columns in this order."""

    names: tuple[str, ...] = Field(min_length=1)
    schema_hash: Sha256
    lookback: Annotated[int, Field(ge=1)]
    dtype: Literal["float64"] = "float64"
    fill: Literal["none"] = Field("none", description="A row with a missing value is refused, never filled.")
    scaler: Scaler | None = None
    pair: tuple[str, str] | None = Field(
        None, description="Symbols of cross-asset features: each is compared with the other, a third with the first."
    )
    later: ClassVar[tuple[str, ...]] = ("pair",)

    @model_validator(mode="after")
    def _two_symbols(self) -> Features:
        if self.pair is not None and self.pair[0] == self.pair[1]:
            raise ValueError(f"{self.pair[0]} cannot be compared with itself")
        return self

    @model_validator(mode="after")
    def _scaler_fits(self) -> Features:
        s = self.scaler
        if s is not None and not len(s.center) == len(s.scale) == len(self.names):
            raise ValueError(
                f"the scaler does not have one centre and one scale for each of {len(self.names)} features"
            )
        return self


class Finer(Part):
    """The matrix that members of a finer timeframe read; its lookback and their windows count in its own candles."""

    timeframe: str
    features: Features


class Member(Part):
    """One model file.

    A ``lightgbm`` member reads the last row of the unscaled matrix and has one head, or the three regimes as its heads.
    An ``onnx`` member reads the last `window` rows, scaled, float32 (B, T, F) and gives (B, heads).

    A member with a `timeframe` of its own reads the finer matrix; its horizons count in those candles, and what it says
    of a side is read by the stackers of that side, whatever their horizon.
    """

    name: str = Field(pattern=r"^[a-z0-9_]{1,60}$")
    kind: Literal["lightgbm", "onnx"]
    role: Literal["direction", "regime"]
    file: FileName
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]
    window: Annotated[int, Field(ge=1, le=4096)] = 1
    timeframe: str | None = Field(None, description="Of the candles it reads, if not the decision's.")
    heads: tuple[str, ...] = Field(min_length=1, description="Columns of the output.")
    output: Literal["logit", "probability"]
    opset: int | None = None
    input_name: str = Field("window", description="ONNX input.")
    output_name: str = Field("logits", description="ONNX output.")
    parity: dict[str, Finite] = Field(default_factory=dict, description="Largest difference from the trained original.")
    later: ClassVar[tuple[str, ...]] = ("timeframe",)

    @model_validator(mode="after")
    def _makes_sense(self) -> Member:
        if self.role == "regime" and self.heads != REGIMES:
            raise ValueError(f"a regime member's heads are {', '.join(REGIMES)}, not {', '.join(self.heads)}")
        if self.kind == "lightgbm" and self.window != 1:
            raise ValueError("a lightgbm member reads one row")
        if self.kind == "lightgbm" and self.role == "direction" and len(self.heads) != 1:
            raise ValueError("a lightgbm member of direction has one head")
        if len(set(self.heads)) != len(self.heads):
            raise ValueError("two heads of a member share a name")
        if self.timeframe is not None and self.role != "direction":
            raise ValueError("a member of a finer timeframe is one of direction")
        if self.timeframe is not None and len({side_of(h) for h in self.heads}) != len(self.heads):
            raise ValueError("a member of a finer timeframe has one head for a side")
        return self

    @property
    def family(self) -> str:
        """What kind of member it is: `family` of its name."""
        return family(self.name)

    def head_for(self, key: str) -> str | None:
        """Its head that the stacker of `key` reads: the one of that name, of that side if it is finer; or None."""
        if self.timeframe is None:
            return key if key in self.heads else None
        return next((h for h in self.heads if side_of(h) == side_of(key)), None)


class Context(Part):
    """What a stack reads beside its members' logits: coefficient × (column - center) / scale."""

    name: Literal["volatility", "disagreement"]
    center: Finite
    scale: Positive
    coefficient: Finite


class Stacker(Part):
    """Logistic stacking: intercept + Σ coefficient × logit, one coefficient for each member, in the given order."""

    members: tuple[str, ...] = Field(min_length=1)
    coefficients: tuple[Finite, ...]
    intercept: Finite
    context: tuple[Context, ...] = ()
    later: ClassVar[tuple[str, ...]] = ("context",)

    @model_validator(mode="after")
    def _same_length(self) -> Stacker:
        if len(self.members) != len(self.coefficients):
            raise ValueError(f"{len(self.members)} members and {len(self.coefficients)} coefficients")
        return self


class Calibrator(Part):
    """Platt: P = σ(slope × logit + intercept)."""

    slope: Finite
    intercept: Finite


class Har(Part):
    """HAR with the calendar as a classifier: a linear score of the features that tell volatility and clock.

    Corsi (2009), A simple approximate long-memory model of realized volatility.
    """

    columns: tuple[str, ...] = Field(min_length=1, description="Features it reads.")
    score: RegimeScore

    @model_validator(mode="after")
    def _fits(self) -> Har:
        if any(len(each.center) != len(self.columns) for each in (self.score.low, self.score.mid, self.score.high)):
            raise ValueError(f"its score does not read the {len(self.columns)} columns")
        return self


class RegimePool(Part):
    """Several classifiers as one: P(k) in proportion to exp(bias_k) × Π p_m(k) ** weight_m (`models.pooling`)."""

    members: tuple[str, ...] = Field(min_length=1, description="Models of the set, and `har`.")
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
    bias: tuple[Finite, Finite, Finite]
    har: Har | None = None

    @model_validator(mode="after")
    def _same_length(self) -> RegimePool:
        if len(self.members) != len(self.weights):
            raise ValueError(f"{len(self.members)} members and {len(self.weights)} weights")
        if (HAR in self.members) != (self.har is not None):
            raise ValueError("har is among the members without its score, or the other way about")
        return self


class Fusion(Part):
    """What makes one head's probability of members' logits."""

    stacker: Stacker
    calibrator: Calibrator


class Ensemble(Part):
    """How the members' logits become one probability for each side."""

    stackers: dict[HeadName, Stacker]
    calibrators: dict[HeadName, Calibrator]
    weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(description="Horizon -> weight; they sum to 1.")
    regime: str = Field(description="Name of the regime member.")
    pool: RegimePool | None = Field(None, description="What the regime is told by; null: its member alone.")
    regime_edges: tuple[Positive, Positive] = Field(description="Volatility a bar, from the training split.")
    dead_member: Literal["refuse", "without"] = Field(
        "refuse", description="A member without a finite answer: no prediction, or the one that `without` makes."
    )
    without: dict[str, dict[HeadName, Fusion]] = Field(
        default_factory=dict, description="Family that gave no answer -> head -> what fuses the others'."
    )
    later: ClassVar[tuple[str, ...]] = ("without", "pool")

    @model_validator(mode="after")
    def _complete(self) -> Ensemble:
        wanted = {f"{h}/{side}" for h in self.weights for side in ("long", "short")}
        for what, found in (("stackers", set(self.stackers)), ("calibrators", set(self.calibrators))):
            if found != wanted:
                raise ValueError(f"{what} are for {sorted(found)}, the weights ask for {sorted(wanted)}")
        if abs(sum(self.weights.values()) - 1) > 1e-9:
            raise ValueError(f"weights sum to {sum(self.weights.values()):g}, not 1")
        if not self.regime_edges[0] < self.regime_edges[1]:
            raise ValueError(f"regime edges {self.regime_edges} do not rise")
        self._without_fits(wanted)
        return self

    def _without_fits(self, wanted: set[str]) -> None:
        if (self.dead_member == "without") != bool(self.without):
            raise ValueError(f"dead_member is {self.dead_member}, and {len(self.without)} families can be done without")
        for gone, fusions in self.without.items():
            if set(fusions) != wanted:
                raise ValueError(f"without {gone} is for {sorted(fusions)}, the weights ask for {sorted(wanted)}")
            for key, fusion in fusions.items():
                if gone in map(family, fusion.stacker.members):
                    raise ValueError(f"stacker {key} without {gone} reads it all the same")


class Rules(Part):
    """What a decision takes from the set."""

    max_hold_bars: Annotated[int, Field(ge=1)] = Field(description="The weights' average horizon, rounded up.")


class Golden(Part):
    """What the set answers to inputs drawn from a seed (`models.inference.golden_inputs`), to be answered again."""

    seed: int
    count: Annotated[int, Field(ge=1, le=1000)]
    outputs: dict[str, tuple[Finite, ...]] = Field(description="Output -> its value for each input.")
    trained: dict[str, tuple[Finite, ...]] = Field(
        default_factory=dict,
        description="Logits of the trained networks, before they were exported: lstm/5/long -> one for each input.",
    )

    @model_validator(mode="after")
    def _one_for_each(self) -> Golden:
        for name, values in (*self.outputs.items(), *self.trained.items()):
            if len(values) != self.count:
                raise ValueError(f"{len(values)} golden values of {name} for {self.count} inputs")
        return self


class Recorded(Part):
    """A file of the set that holds records rather than a model."""

    file: FileName
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=0)]


class Manifest(Part):
    """A model set's manifest."""

    format: Literal[1] = FORMAT
    id: str = Field("", description="Derived: see `identify`.")
    identity: Identity
    data: Data
    features: Features
    finer: Finer | None = Field(None, description="What members of a finer timeframe read.")
    models: tuple[Member, ...] = Field(min_length=1)
    ensemble: Ensemble
    decision: Rules
    evidence: dict[str, JsonValue] = Field(default_factory=dict, description="Metrics, intervals, baselines.")
    golden: Golden | None = None
    baselines: Baselines | None = Field(None, description="What the set must be better than, fitted when it was made.")
    walkforward: Recorded | None = Field(
        None, description="What the recipe said of rows it had not seen: `models.walkforward`."
    )
    stages: Recorded | None = Field(None, description="A few rows as they were at every stage: `models.stages`.")
    drift: Recorded | None = Field(None, description="What later windows are compared with: `models.drift`.")
    expires: UtcText = Field(description="Entries with this set stop at this instant.")
    later: ClassVar[tuple[str, ...]] = ("finer", "stages", "drift")

    @model_validator(mode="after")
    def _holds_together(self) -> Manifest:
        names = [m.name for m in self.models]
        if len(set(names)) != len(names) or len({m.file for m in self.models}) != len(names):
            raise ValueError("two models share a name or a file")
        by_name = {m.name: m for m in self.models}
        families = {m.family for m in self.models if m.role == "direction"}
        for gone in self.ensemble.without:
            if gone not in families:
                raise ValueError(
                    f"without {gone!r}, which is no family of direction among {', '.join(sorted(families))}"
                )
        fusions = [(key, f.stacker) for told in self.ensemble.without.values() for key, f in told.items()]
        for key, stacker in (*self.ensemble.stackers.items(), *fusions):
            for name in stacker.members:
                if name not in by_name or by_name[name].role != "direction" or by_name[name].head_for(key) is None:
                    raise ValueError(f"stacker {key} reads {name}, which is no model of direction with that head")
        if self.ensemble.regime not in by_name or by_name[self.ensemble.regime].role != "regime":
            raise ValueError(f"regime member {self.ensemble.regime!r} is no model of the regime")
        for name in () if self.ensemble.pool is None else self.ensemble.pool.members:
            if name != HAR and (name not in by_name or by_name[name].role != "regime"):
                raise ValueError(f"the regime's pool reads {name}, which is no model of the regime")
        self._finer_fits()
        if any(m.kind == "onnx" and self.features_of(m).scaler is None for m in self.models):
            raise ValueError("an onnx member reads scaled features, and there is no scaler")
        taken = {m.file for m in self.models}
        for record in self.records:
            if record.file in taken:
                raise ValueError(f"a record and another part of the set share the file {record.file}")
            taken.add(record.file)
        self._baselines_fit()
        return self

    def _finer_fits(self) -> None:
        told = {m.timeframe for m in self.models if m.timeframe is not None}
        if told != ({self.finer.timeframe} if self.finer else set()):
            wanted = self.finer.timeframe if self.finer else "none"
            raise ValueError(f"members read the finer timeframes {sorted(told)}, the manifest's is {wanted}")
        if self.finer is None:
            return
        try:
            finer, decision = Timeframe.parse(self.finer.timeframe), Timeframe.parse(self.data.timeframe)
            apart = decision.ratio(finer)
        except TimeframeError as error:
            raise ValueError(f"finer: {error}") from error
        if apart < 2:
            raise ValueError(f"finer: {finer} is not finer than {decision}")
        if self.finer.features.pair is not None:
            raise ValueError("finer: features of a finer timeframe are not compared with another symbol's")

    def _baselines_fit(self) -> None:
        if self.baselines is None:
            return
        wanted = {f"{h}/{what}" for h in self.ensemble.weights for what in ("up", "long", "short")}
        if set(self.baselines.direction) != wanted:
            raise ValueError(f"baselines are for {sorted(self.baselines.direction)}, not {sorted(wanted)}")
        for key, scores in self.baselines.direction.items():
            if len(scores["logistic"].center) != len(self.features.names):
                raise ValueError(
                    f"the logistic baseline of {key} does not read the {len(self.features.names)} features"
                )

    @property
    def records(self) -> tuple[Recorded, ...]:
        """The files that hold records rather than models."""
        return tuple(record for record in (self.walkforward, self.stages, self.drift) if record is not None)

    @property
    def window(self) -> int:
        """Rows of features the longest-sighted member of the decision's timeframe reads."""
        return max(m.window for m in self.models if m.timeframe is None)

    @property
    def lookback(self) -> int:
        """Candles needed for one prediction, without a hole, the last one included."""
        return self.features.lookback + self.window - 1

    @property
    def finer_window(self) -> int:
        """Rows of the finer matrix that the longest-sighted member of it reads; 0 without one."""
        return max((m.window for m in self.models if m.timeframe is not None), default=0)

    @property
    def finer_lookback(self) -> int:
        """Finer candles needed for one prediction, without a hole, the last one included; 0 if none is read."""
        return self.finer.features.lookback + self.finer_window - 1 if self.finer else 0

    @property
    def warmup(self) -> int:
        """Decision candles of history that one prediction with all members looks back on."""
        finer = self.finer_timeframe
        reach = -(-self.finer_lookback * finer.ms // Timeframe.parse(self.data.timeframe).ms) if finer else 0
        return max(self.lookback, reach)

    @property
    def finer_timeframe(self) -> Timeframe | None:
        """Of the finer candles; None if none is read."""
        return Timeframe.parse(self.finer.timeframe) if self.finer else None

    def features_of(self, member: Member) -> Features:
        """The matrix a member reads."""
        if member.timeframe is None:
            return self.features
        assert self.finer is not None, "checked when the manifest was made"
        return self.finer.features

    def companion_of(self, symbol: str) -> str | None:
        """The symbol whose candles are read beside this one's; None if no feature compares."""
        return companion_of(self.features.pair, symbol)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Bars ahead, rising."""
        return tuple(sorted(int(h) for h in self.ensemble.weights))

    def member(self, name: str) -> Member:
        """The model of that name."""
        return next(m for m in self.models if m.name == name)


def canonical(content: Any) -> bytes:
    """JSON in the one form that is hashed: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def derive_id(content: dict[str, Any]) -> str:
    """The id that belongs to a manifest's content, whatever id it claims."""
    body = {k: v for k, v in content.items() if k != "id"}
    when = "".join(c for c in body["identity"]["created"] if c not in "-:Z")
    return f"{when}-{hashlib.sha256(canonical(body)).hexdigest()[:12]}"


def identify(manifest: Manifest) -> Manifest:
    """The same manifest under the id its content gives it."""
    return manifest.model_copy(update={"id": derive_id(manifest.model_dump(mode="json"))})


def to_bytes(manifest: Manifest) -> bytes:
    """The file's content, with the id the manifest's content gives it."""
    return canonical(identify(manifest).model_dump(mode="json"))
