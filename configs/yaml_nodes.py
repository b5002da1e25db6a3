"""YAML text as plain data, with the line and column of each key and value kept.

Only what YAML 1.2 calls a bool or a number is one: `no`, `012` and `1:30` stay text, so a strict model can refuse them
instead of getting a surprise.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path_ = tuple[str | int, ...]
_MOST_NODES = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column in a file, both counted from 1."""

    line: int
    column: int


@dataclass
class Document:
    """Plain data and where it stands: `keys` where a mapping's key is written, `values` where its value starts."""

    data: Any = None
    keys: dict[Path_, Place] = field(default_factory=dict)
    values: dict[Path_, Place] = field(default_factory=dict)
    problems: list[tuple[Place, Path_, str]] = field(default_factory=list)
    nodes: int = 0


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own attribute)


_BOOL = r"^(?:true|True|TRUE|false|False|FALSE)$"
_NUMBER = "-+0123456789."
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(_BOOL), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list(_NUMBER))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list(_NUMBER),
)


class BrokenYaml(ValueError):
    """The text is no YAML, or no YAML this program takes; `place` says where."""

    def __init__(self, what: str, place: Place) -> None:
        super().__init__(what)
        self.place = place


def read(text: str) -> Document:
    """Data and places of the single YAML document in `text`; `data` is None if there is none.

    Raises
    ------
    BrokenYaml
        If the text cannot be parsed, holds several documents, or nests or repeats without measure.
    """
    document = Document()
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            document.data = _plain(root, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise BrokenYaml(" ".join(filter(None, (error.context, error.problem))), place) from error
    except yaml.YAMLError as error:  # ReaderError: a character YAML forbids
        raise BrokenYaml(str(error).splitlines()[0], Place(1, 1)) from error
    except RecursionError as error:
        raise BrokenYaml("nested too deeply", Place(1, 1)) from error
    return document


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _plain(node: yaml.Node, path: Path_, document: Document) -> Any:
    document.nodes += 1
    if document.nodes > _MOST_NODES:  # anchors that repeat anchors grow without bound
        raise BrokenYaml(f"more than {_MOST_NODES} values", _place(node))
    document.values[path] = _place(node)
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.MappingNode) and tag == "map":
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode) and tag == "seq":
        return [_plain(item, (*path, i), document) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, tag)
    raise BrokenYaml(f"tag {node.tag} is not taken; write plain lists and keys", _place(node))


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise BrokenYaml("a key must be a single word", _place(key_node))
        key = key_node.value
        at = (*path, key)
        if key in out:
            first = document.keys[at].line
            document.problems.append((_place(key_node), at, f"given twice, first in line {first}"))
            continue
        document.keys[at] = _place(key_node)
        out[key] = _plain(value_node, at, document)
    return out


def _scalar(node: yaml.ScalarNode, tag: str) -> Any:
    try:
        match tag:
            case "null":
                return None
            case "bool":
                return node.value.lower() == "true"
            case "int":
                return int(node.value)
            case "float" if math.isfinite(value := float(node.value)):
                return value
            case "str":
                return node.value
    except ValueError as error:  # a number of thousands of digits, or a tag that does not fit its text
        raise BrokenYaml(f"not a {tag}", _place(node)) from error
    raise BrokenYaml(f"tag {tag} is not taken here; write plain text, finite numbers, true or false", _place(node))
