"""A job as a file: checked by pydantic models made from the contract, which they so follow."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictStr,
    ValidationError,
    create_model,
)

from visiontune.cli.failures import Failed
from visiontune.trainer.v1 import trainer_pb2

_INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_INTEGERS |= {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}


def load(path: Path) -> trainer_pb2.CreateTrainingJobRequest:
    """The job that a YAML or JSON file describes. Raises Failed with every wrong field and its place."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise Failed(f"{path} is no YAML: {error}") from error
    return parse(data, str(path))


def parse(data: Any, source: str) -> trainer_pb2.CreateTrainingJobRequest:
    """The same from parsed data; `source` names it in errors."""
    try:
        checked = JobFile.model_validate(data).model_dump(exclude_unset=True)
    except ValidationError as error:
        lines = [f"{source} › {_path(e['loc'])}: {_sentence(e)}" for e in error.errors()]
        raise Failed("\n".join(lines), "examples/job.yaml shows how a job file looks.") from error
    request = trainer_pb2.CreateTrainingJobRequest(training_job_id=checked.get("training_job_id", ""))
    request.training_job.display_name = checked.get("display_name", "")
    try:
        ParseDict(checked["spec"], request.training_job.spec)
    except ParseError as error:
        raise Failed(f"{source} › $.spec: {error}.") from error
    return request


def model_of(message: Descriptor) -> type[BaseModel]:
    """A pydantic model with the fields of a message; unknown fields are errors."""
    fields: dict[str, Any] = {field.name: (_type_of(field) | None, None) for field in message.fields}
    return create_model(message.name, __config__=ConfigDict(extra="forbid"), **fields)


def _type_of(field: FieldDescriptor) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return dict[_type_of_one(key), _type_of_one(value)]  # type: ignore[misc]  # types made while running
    return list[_type_of_one(field)] if field.is_repeated else _type_of_one(field)  # type: ignore[misc]


def _type_of_one(field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Duration":
            return Annotated[str, BeforeValidator(_duration)]
        return model_of(field.message_type)
    if field.enum_type is not None:
        return _enum_type(field.enum_type)
    if field.cpp_type in _INTEGERS:
        return Annotated[int, BeforeValidator(_no_bool)]
    if field.cpp_type in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return Annotated[float, BeforeValidator(_number)]
    return StrictBool if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else StrictStr


def _enum_type(enum: EnumDescriptor) -> Any:
    """`lora` for METHOD_LORA; the long name is taken too."""
    known = {short_name(enum, value.name): value.name for value in enum.values if value.number}
    return Annotated[
        Literal[tuple(known.values())],
        BeforeValidator(lambda value: known.get(value.lower(), value) if isinstance(value, str) else value),
    ]


def short_name(enum: EnumDescriptor, name: str) -> str:
    """`lora` of `METHOD_LORA`."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return name.removeprefix(prefix).lower()


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool | str) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-3 as text; whoever writes it means the number.
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number")
    return number


def _duration(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}s"
    if isinstance(value, str) and value.endswith("s"):
        return value
    raise ValueError(f"{value!r} is no duration; write seconds, for example 3600 or 3600s")


def _path(location: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _sentence(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return {
        "extra_forbidden": "there is no such field.",
        "missing": "it is required.",
        "string_type": f"{error.get('input')!r} is not text.",
    }.get(error["type"], f"{message}.")


JobFile = create_model(
    "JobFile",
    __config__=ConfigDict(extra="forbid"),
    training_job_id=(StrictStr, ""),
    display_name=(StrictStr, ""),
    spec=(model_of(trainer_pb2.TrainingJobSpec.DESCRIPTOR), ...),
)
