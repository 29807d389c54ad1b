"""What all parts of a spec have in common."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _unspecified_is_none(value: object) -> object:
    return None if isinstance(value, str) and value.endswith("_UNSPECIFIED") else value


T = TypeVar("T")
# An enum of which the proto's zero value means unset.
Unset = Annotated[T | None, BeforeValidator(_unspecified_is_none)]


class Message(BaseModel):
    """A message of the proto as a value; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
