"""`load`: one YAML file into one pydantic model, or a `ConfigError` that says where each mistake is.

An error line reads ``file:line:column: key.path: what is wrong, did you mean 'x'?``.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.yaml_nodes import BrokenYaml, Document, Path_, Place, read

M = TypeVar("M", bound=BaseModel)

_SECRET = re.compile(r"secret|password|token|key|url", re.IGNORECASE)

_EXPECTED = {
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "decimal_type": "expected a number",
    "decimal_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected text",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected keys with values",
    "model_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
}


class ConfigError(Exception):
    """A configuration that cannot be used; `lines` holds one finished message for each mistake, in file order."""

    exit_code = 4

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


def load(path: Path | str, model: type[M]) -> M:
    """Read the YAML file at `path` into `model`.

    Raises
    ------
    ConfigError
        If the file is missing, empty, broken YAML, or does not fit the model; every mistake is listed.
    """
    return parse(file_text(path), model, str(path))


def parse(text: str, model: type[M], name: str = "<text>") -> M:
    """As `load`, for text already read; `name` stands where the file's name would."""
    return fit(keys_with_values(text, name, model.__name__), model, name)


def file_text(path: Path | str) -> str:
    """The text of a configuration file; raises ConfigError if it is missing or no text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file; name an existing configuration file"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error


def keys_with_values(text: str, name: str, of: str) -> Document:
    """The document in `text`, which must hold the keys of what is called `of`; raises ConfigError otherwise."""
    try:
        document = read(text)
    except BrokenYaml as error:
        raise ConfigError([f"{name}:{error.place.line}:{error.place.column}: broken YAML: {error}"]) from error
    if document.data is None:
        raise ConfigError([f"{name}:1:1: the file is empty; it must hold the keys of {of}"])
    if not isinstance(document.data, dict):
        raise ConfigError([f"{name}:1:1: expected keys with values, found {_found(document.data)}"])
    return document


def fit(document: Document, model: type[M], name: str) -> M:
    """A document's data in `model`; raises ConfigError with each mistake where the document says it stands."""
    problems = list(document.problems)
    value: M | None = None
    try:
        # Through JSON: strict about types, yet a list is a tuple, text is a path or an enum's value.
        value = model.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems += [_problem(model, document, detail) for detail in error.errors(include_url=False)]
    if problems or value is None:
        problems.sort(key=lambda p: (p[0].line, p[0].column))
        lines = [_line(name, place, path, what) for place, path, what in problems]
        raise ConfigError(dict.fromkeys(lines))
    return value


def _line(name: str, place: Place, path: Path_, what: str) -> str:
    key = ".".join(map(str, path))
    return f"{name}:{place.line}:{place.column}: " + (f"{key}: {what}" if key else what)


def _problem(model: type[BaseModel], document: Document, error: ErrorDetails) -> tuple[Place, Path_, str]:
    path, missing = _written_path(document, error["loc"], error["type"])
    kind, given = error["type"], error["input"]
    place = document.values.get(path, document.values[()])
    shown = "" if any(_SECRET.search(str(part)) for part in path[-1:]) else f", found {_found(given)}"
    if kind == "missing":
        return document.keys.get(path, place), (*path, *missing), "missing; it has no default"
    if kind == "extra_forbidden":
        near = _nearest(str(path[-1]), _fields_at(model, error["loc"][:-1]))
        return document.keys.get(path, place), path, f"unknown key{near}"
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        return place, path, f"must be one of {', '.join(choices)}{shown}{_nearest(str(given), choices)}"
    if kind in _EXPECTED:
        return place, path, f"{_EXPECTED[kind]}{shown}"
    if kind == "value_error":
        return place, path, str(error.get("ctx", {}).get("error", error["msg"]))
    what = error["msg"].replace("Input should", "should").replace("String should", "should")
    return place, path, what if isinstance(given, dict | list) else f"{what}{shown}"


def _written_path(document: Document, loc: tuple[int | str, ...], kind: str) -> tuple[Path_, Path_]:
    """The part of pydantic's location that is written in the file (it adds names of union members), and the rest."""
    path: Path_ = ()
    for part in loc:
        if (*path, part) in document.values:
            path = (*path, part)
    return path, loc[-1:] if kind == "missing" else ()


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Names of the keys allowed at a location of the model."""
    level: list[Any] = [model]
    for part in loc:
        level = [inner for kind in level for inner in _inner(kind, part)]
    return [name for kind in level for name in _names(kind)]


def _names(kind: Any) -> list[str]:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _inner(kind: Any, part: int | str) -> list[Any]:
    """Types found one step down; a part that names a union's member stays on the same level."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                return _members(field.annotation)
        return [kind]
    arguments = typing.get_args(kind)
    return [m for a in arguments for m in _members(a)]


def _members(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [m for a in typing.get_args(annotation) for m in _members(a)]
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    return [annotation]


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


def _found(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return f"text {value[:60]!r}"
        case list():
            return "a list"
    return "keys with values"
