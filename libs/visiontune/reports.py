"""A validation report as the API gives it: written by the service, and by the CLI where there is none."""

from typing import Any

from visiontune_data.report import Problem, Report
from visiontune_data.text import escape

from visiontune.dataset.v1 import dataset_pb2 as pb


def report_to(found: Report, **more: Any) -> pb.ValidationReport:
    """Writes what was found in an archive; `more` are the other fields."""
    return pb.ValidationReport(
        filename=found.archive,
        record_count=found.record_count,
        example_count=found.example_count,
        skipped_count=found.skipped_count,
        error_count=found.error_count,
        warning_count=found.warning_count,
        rules=[
            pb.RuleSummary(
                rule=summary.rule,
                severity=pb.Severity.ValueType(summary.severity),
                count=summary.count,
                problems=[problem_to(problem, found.archive) for problem in summary.problems],
            )
            for summary in found.rules
        ],
        format_reason=found.format_reason,
        saved_bytes=found.saved_bytes,
        **more,
    )


def problem_to(problem: Problem, archive: str) -> pb.Problem:
    """Writes one problem of that archive, or of a draft."""
    return pb.Problem(
        rule=problem.rule,
        severity=pb.Severity.ValueType(problem.severity),
        archive=escape(archive),
        member=escape(problem.place.member),
        line=problem.place.line,
        json_path=escape(problem.place.json_path),
        value=problem.value,
        message=problem.message,
        remedy=problem.advice,
        text=problem.text(archive),
    )
