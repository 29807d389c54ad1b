"""What the durable operations of a dataset have in common: names, and the payload that their row keeps."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, cast


class Work:
    """Base of the dataclasses that say what an operation has to do."""

    __slots__ = ()
    kind: ClassVar[str]  # which handler runs it
    project: str
    dataset: str

    if TYPE_CHECKING:  # a field of some, made of other fields in others

        @property
        def id(self) -> str:
            """Last segment of the names of the operation and of what it makes."""

        @property
        def owner(self) -> str:
            """The resource on whose behalf storage keeps what this makes."""

    @property
    def dataset_name(self) -> str:
        """The dataset's resource name."""
        return f"projects/{self.project}/datasets/{self.dataset}"

    @property
    def operation(self) -> str:
        """The operation's name."""
        return f"{self.dataset_name}/operations/{self.id}"

    def to_bytes(self) -> bytes:
        """The work as the operation's payload."""
        return json.dumps(asdict(cast("Any", self))).encode()


class MakesVersion(Work):
    """Work whose end is a version, and a validation report in any case."""

    __slots__ = ()

    @property
    def report(self) -> str:
        """The validation report's name."""
        return f"{self.dataset_name}/validationReports/{self.id}"
