"""What every section of a daemon's configuration is made of: strict keys, read-only, finite numbers alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section; a key that is not known stops the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


Seconds = Annotated[float, Field(gt=0, le=3_600)]
