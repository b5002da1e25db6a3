"""The grid: which keys of the rules file are varied, over which values, and the variants that come of it.

A grid is a YAML file of the rules' dotted keys, each with a list of values or a range::

    entry.long: [0.50, 0.52, 0.54]
    entry.short: 0.44:0.50:0.02                           # both ends included
    regimes.{low,mid,high}.leverage: [[10, 5, 2], 3]      # varied together: one value for each, or one for all

On the command line the same is ``--grid entry.long=0.50,0.52`` and
``--grid 'regimes.{low,mid,high}.leverage=10/5/2,3'``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from configs.loading import ConfigError, file_text, fit, keys_with_values
from configs.yaml_nodes import Document, Place
from strategy.live_config import LiveConfig, Rules

MOST = 100_000
"""Most combinations of a grid: their daily returns are held at once."""

_OPTION = re.compile(r"([\w.{},]+)=(.*)", re.DOTALL)
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER}):({_NUMBER})")
_BRACES = re.compile(r"\{([\w,]+)\}")

Path_ = tuple[str, ...]

_FIELDS: dict[str, Any] = {name: (field.annotation, field) for name, field in LiveConfig.model_fields.items()}
_Keys: type[BaseModel] = create_model("LiveConfig", __config__=LiveConfig.model_config, **_FIELDS)
"""The rules' keys without the constraints between them: a value may fit one combination and not another."""


@dataclass(frozen=True)
class Axis:
    """One key that is varied: the paths it names in the rules, its values as written, and where each stands."""

    key: str
    paths: tuple[Path_, ...]
    values: tuple[Any, ...]

    def settings(self, value: Any) -> Iterator[tuple[Path_, Any]]:
        """What a value means for each path: with several, a list gives one each, anything else holds for all."""
        each = value if len(self.paths) > 1 and isinstance(value, list) else [value] * len(self.paths)
        return zip(self.paths, each, strict=True)


@dataclass(frozen=True)
class Variant:
    """One combination: the values by key, as written, and the rules they make."""

    parameters: dict[str, Any]
    rules: Rules


@dataclass(frozen=True)
class Grid:
    """The variants of a grid in order, the last key varying fastest.

    `dropped` counts combinations the rules' own constraints forbid, by the constraint.
    """

    axes: tuple[Axis, ...]
    variants: tuple[Variant, ...]
    dropped: dict[str, int]

    @classmethod
    def of(cls, specs: Sequence[str], base: LiveConfig) -> Grid:
        """The grid of some files and ``key=values`` texts together, varied around the rules `base`.

        Raises
        ------
        ConfigError
            If a file cannot be read, a key is unknown, given twice or without values, a value does not fit its key, or
            there are more than `MOST` combinations or none that the rules allow.
        """
        data = base.model_dump(mode="json")
        axes = [axis for spec in specs for axis in _axes(spec, data)]
        _apart(axes)
        if (count := prod(len(a.values) for a in axes)) > MOST:
            raise ConfigError([f"the grid has {count:,} combinations; at most {MOST:,} are tried: leave values out"])
        written, variants, dropped = json.dumps(data), [], dict[str, int]()
        for chosen in product(*(a.values for a in axes)):
            asked = json.loads(written)
            for axis, value in zip(axes, chosen, strict=True):
                for path, setting in axis.settings(value):
                    _put(asked, path, setting)
            try:
                rules = LiveConfig.model_validate_json(json.dumps(asked), strict=True).rules()
            except ValidationError as error:
                why = _without_values(str(error.errors()[0].get("ctx", {}).get("error", error)))
                dropped[why] = dropped.get(why, 0) + 1
                continue
            variants.append(Variant({a.key: v for a, v in zip(axes, chosen, strict=True)}, rules))
        if not variants:
            raise ConfigError([f"the rules allow none of the grid's {count} combinations: {'; '.join(dropped)}"])
        return cls(tuple(axes), tuple(variants), dropped)

    def as_json(self) -> dict[str, list[Any]]:
        """The values by key."""
        return {a.key: list(a.values) for a in self.axes}


def _axes(spec: str, base: dict[str, Any]) -> list[Axis]:
    """The axes of one file, or of one ``key=values``."""
    option = _OPTION.fullmatch(spec)
    if option is None:
        document = keys_with_values(file_text(Path(spec)), spec, "the rules that are varied, each with its values")
        return _axes_of(document, spec, base)
    key, values = option.groups()
    joint = re.sub(rf"{_NUMBER}(?:/{_NUMBER})+", lambda m: "[" + m[0].replace("/", ",") + "]", values)
    try:
        name = f"--grid {spec}"
        written = values if _RANGE.fullmatch(values) else f"[{joint}]"
        return _axes_of(keys_with_values(f"{key}: {written}", name, "the rules"), name, base)
    except ConfigError as error:  # a command line has no lines
        raise ConfigError([re.sub(r":1:\d+: ", ": ", line, count=1) for line in error.lines]) from error


def _axes_of(document: Document, name: str, base: dict[str, Any]) -> list[Axis]:
    axes, mistakes = [], [_said(name, place, path, what) for place, path, what in document.problems]
    for key, written in document.data.items():
        place = document.values[(key,)]
        try:
            paths, values = _paths(key), _values(written)
        except ValueError as error:
            mistakes.append(_said(name, place, (key,), str(error)))
            continue
        axis = Axis(key, paths, tuple(values))
        for at, value in enumerate(values):
            where = document.values.get((key, at), place)
            if len(paths) > 1 and isinstance(value, list) and len(value) != len(paths):
                mistakes.append(_said(name, where, (key,), f"{len(value)} values for {len(paths)} keys; give each one"))
                continue
            try:
                fit(_placed(axis, at, base, document), _Keys, name)
            except ConfigError as error:
                mistakes += error.lines
        axes.append(axis)
    if mistakes:
        raise ConfigError(dict.fromkeys(mistakes))
    return axes


def _said(name: str, place: Place, path: tuple[str | int, ...], what: str) -> str:
    return f"{name}:{place.line}:{place.column}: {'.'.join(map(str, path))}: {what}"


def _paths(key: str) -> tuple[Path_, ...]:
    """The paths a key names: one for each word in braces."""
    braces = _BRACES.search(key)
    if braces is None:
        return (tuple(key.split(".")),)
    return tuple(p for word in braces[1].split(",") for p in _paths(key[: braces.start()] + word + key[braces.end() :]))


def _values(written: Any) -> list[Any]:
    """The values of a key: a list of them, a range in text, or one alone."""
    if isinstance(written, str) and (found := _RANGE.fullmatch(written)):
        start, end, step = map(Decimal, found.groups())
        if step <= 0 or end < start:
            raise ValueError(f"range {written} has no values; write from:to:step, rising")
        if (count := int((end - start) / step) + 1) > MOST:
            raise ValueError(f"range {written} has {count:,} values; at most {MOST:,} are tried")
        whole = all("." not in part for part in found.groups())
        return [int(start + step * i) if whole else float(start + step * i) for i in range(count)]
    values = written if isinstance(written, list) else [written]
    if not values:
        raise ValueError("no values to vary it over; write a list such as [0.50, 0.52]")
    if len({json.dumps(v) for v in values}) != len(values):
        raise ValueError("a value is given twice: a variant tried twice is one")
    return values


def _placed(axis: Axis, at: int, base: dict[str, Any], written: Document) -> Document:
    """The base rules with one of the axis's values put in, each part of them standing where the grid says so."""
    key = (axis.key,)
    own = (axis.key, at) if (axis.key, at) in written.values else key
    data = json.loads(json.dumps(base))
    document = Document(data, keys={(): written.keys[key]}, values={(): written.values[own]})
    for path, setting in axis.settings(axis.values[at]):
        _put(data, path, setting)
        for depth in range(1, len(path) + 1):
            document.keys[path[:depth]] = written.keys[key]
            document.values[path[:depth]] = written.values[own]
        for places, known in ((document.keys, written.keys), (document.values, written.values)):
            places |= {
                path + deeper[len(own) :]: p for deeper, p in known.items() if deeper[: len(own)] == own != deeper
            }
    return document


def _put(data: dict[str, Any], path: Path_, value: Any) -> None:
    """Set the value at the path, making sections that are not there (the model judges whether they may be)."""
    for part in path[:-1]:
        if not isinstance(data.get(part), dict):
            data[part] = {}
        data = data[part]
    data[path[-1]] = value


def _apart(axes: Sequence[Axis]) -> None:
    """Refuse two keys of which one sets what the other sets."""
    seen: list[tuple[Path_, str]] = []
    for axis in axes:
        for path in axis.paths:
            for other, key in seen:
                shorter = min(len(path), len(other))
                if path[:shorter] == other[:shorter]:
                    raise ConfigError([f"the grid varies {'.'.join(path)} twice, by {key} and by {axis.key}"])
            seen.append((path, axis.key))


def _without_values(why: str) -> str:
    """A constraint's words without the numbers of one combination."""
    return re.sub(r" \([\d.]+\)", "", why)
