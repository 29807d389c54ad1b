"""Every problem of an import, in order, in compressed pages: a report keeps only the first of each rule."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from visiontune_data.report import Place, Problem, Report

PAGE_PROBLEMS: Final = 1_000
MOST_PROBLEMS: Final = 100_000


@dataclass(slots=True)
class ProblemLog:
    """Takes problems up to MOST_PROBLEMS; those after it are only counted by the report."""

    count: int = 0
    _pages: list[bytes] = field(default_factory=list)
    _rows: list[list[str | int]] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Takes one, unless the log is full."""
        if self.count == MOST_PROBLEMS:
            return
        self.count += 1
        place = problem.place
        self._rows.append(
            [problem.rule, place.member, place.line, place.json_path, problem.message, problem.value,
             problem.remedy]
        )  # fmt: skip
        if len(self._rows) == PAGE_PROBLEMS:
            self._turn()

    def pages(self) -> tuple[bytes, ...]:
        """All of it; each page but the last has PAGE_PROBLEMS."""
        if self._rows:
            self._turn()
        return tuple(self._pages)

    def _turn(self) -> None:
        self._pages.append(zlib.compress(json.dumps(self._rows).encode()))
        self._rows = []


def problems_of(page: bytes) -> list[Problem]:
    """The problems of one page."""
    rows = json.loads(zlib.decompress(page))
    return [
        Problem(rule, Place(member, line, path), message, value, remedy)
        for rule, member, line, path, message, value, remedy in rows
    ]


class LoggedReport(Report):
    """A report whose problems go to a log, too."""

    __slots__ = ("_log",)

    def __init__(self, archive: str, log: ProblemLog) -> None:
        super().__init__(archive)
        self._log = log

    def add(self, problem: Problem) -> None:
        """Counts a problem, keeps it while its rule has room, and logs it."""
        super().add(problem)
        self._log.add(problem)


def together(reports: Iterable[Report]) -> Report:
    """One report of the same archive that several have parts of; changes none of them."""
    whole = Report("")
    for report in reports:
        whole.archive = report.archive
        whole.format_reason = whole.format_reason or report.format_reason
        whole.example_count += report.example_count
        whole.merge(report)
    return whole
