"""JSON Schema of a configuration model, kept as a file beside the YAML for editors to check against."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel


def schema_text(model: type[BaseModel]) -> str:
    """The model's JSON Schema as it stands in its file, one trailing newline."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schema(model: type[BaseModel], path: Path | str) -> None:
    """Write the model's JSON Schema to `path`."""
    Path(path).write_text(schema_text(model), encoding="utf-8")


def schema_is_current(model: type[BaseModel], path: Path | str) -> bool:
    """Whether the file at `path` is exactly the model's JSON Schema."""
    file = Path(path)
    return file.is_file() and file.read_text(encoding="utf-8") == schema_text(model)
