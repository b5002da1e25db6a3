"""Configuration files: YAML read strictly into a pydantic model, with errors that name file, line and column.

The lowest floor of the house: it knows no other package. The files themselves stand beside this code.
"""

from configs.loading import ConfigError, load, parse
from configs.schema import schema_is_current, schema_text, write_schema

__all__ = ["ConfigError", "load", "parse", "schema_is_current", "schema_text", "write_schema"]
