"""What every part of a manifest is made of: strict, read-only, and of finite numbers alone."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
HeadName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}/(long|short)$")]
"""Bars ahead and side: ``12/long``."""
QuestionName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}/(up|long|short)$")]
"""Bars ahead and what is asked: whether the price rises (``12/up``), or a side pays beyond costs (``12/long``)."""
UtcText = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Part(BaseModel):
    """Strict keys and types, read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    later: ClassVar[tuple[str, ...]] = ()
    """Fields that came after the first sets were made: written only where they differ from their default, so that those
    sets keep their bytes, and with them their hashes."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = handler(self)
        usual = {k: type(self).model_fields[k].get_default(call_default_factory=True) for k in self.later}
        return {k: v for k, v in told.items() if k not in usual or getattr(self, k) != usual[k]}
