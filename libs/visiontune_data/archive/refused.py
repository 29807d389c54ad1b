"""The one way in which reading an archive stops early."""

from visiontune_data.report import ARCHIVE, Place, Problem


class Refused(Exception):  # noqa: N818 (named for what happened)
    """The archive cannot be imported; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def refuse(rule: str, message: str, *, place: Place = ARCHIVE, value: str = "", remedy: str = "") -> Refused:
    """A `Refused` ready to raise."""
    return Refused(Problem(rule, place, message, value, remedy))
