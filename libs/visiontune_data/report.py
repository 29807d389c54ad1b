"""What an import found: problems as values, counted exactly, the first places of each rule kept."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from visiontune_data.rules import RULES, Severity
from visiontune_data.text import escape

PLACES_PER_RULE = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an archive: a member, a 1-based line (0: none), a JSON path in the record ("": none)."""

    member: str = ""
    line: int = 0
    json_path: str = ""

    def at(self, json_path: str) -> "Place":
        """The same line, at another path."""
        return Place(self.member, self.line, json_path)


ARCHIVE = Place()


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule at one place. `remedy` stands instead of the rule's own where it knows better."""

    rule: str
    place: Place
    message: str
    value: str = ""
    remedy: str = ""

    @property
    def severity(self) -> Severity:
        """How grave it is, as the rule says."""
        return RULES[self.rule].severity

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.remedy or RULES[self.rule].remedy

    def text(self, archive: str) -> str:
        """The whole as one line: `archive › member:line › path: message. Remedy.`."""
        line = f":{self.place.line}" if self.place.line else ""
        where = [escape(archive), escape(self.place.member) + line, escape(self.place.json_path)]
        stop = "" if self.message.endswith((".", "!", "?")) else "."
        return f"{' › '.join(filter(None, where))}: {self.message}{stop} {self.advice}"


@dataclass(slots=True)
class RuleSummary:
    """All problems of one rule: the exact count and the first places."""

    rule: str
    count: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        """How grave the rule is."""
        return RULES[self.rule].severity


@dataclass(slots=True)
class Report:
    """Everything one import found in one archive."""

    archive: str
    format_reason: str = ""  # why the data were taken for the format that they were taken for
    record_count: int = 0
    example_count: int = 0
    skipped_count: int = 0
    saved_bytes: int = 0  # by the treatment of the images
    by_rule: dict[str, RuleSummary] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Counts a problem, and keeps it while its rule has room."""
        summary = self.by_rule.setdefault(problem.rule, RuleSummary(problem.rule))
        summary.count += 1
        if len(summary.problems) < PLACES_PER_RULE:
            summary.problems.append(problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Adds each."""
        for problem in problems:
            self.add(problem)

    def merge(self, other: "Report") -> None:
        """Adds what another report of the same archive found."""
        for rule, theirs in other.by_rule.items():
            ours = self.by_rule.setdefault(rule, RuleSummary(rule))
            ours.count += theirs.count
            ours.problems += theirs.problems[: PLACES_PER_RULE - len(ours.problems)]
        self.record_count += other.record_count
        self.skipped_count += other.skipped_count
        self.saved_bytes += other.saved_bytes

    @property
    def error_count(self) -> int:
        """Errors found, exact."""
        return sum(s.count for s in self.by_rule.values() if s.severity is Severity.ERROR)

    @property
    def warning_count(self) -> int:
        """Warnings found, exact."""
        return sum(s.count for s in self.by_rule.values() if s.severity is Severity.WARNING)

    @property
    def rules(self) -> list[RuleSummary]:
        """One entry a broken rule, errors first, then the most frequent, then by name."""
        return sorted(self.by_rule.values(), key=lambda s: (-s.severity, -s.count, s.rule))

    @property
    def errors(self) -> list[Problem]:
        """The kept errors, in the order of `rules`."""
        return [p for s in self.rules if s.severity is Severity.ERROR for p in s.problems]
