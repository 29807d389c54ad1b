"""The log keeps every problem, up to a bound, in pages; the report keeps exact counts."""

from visiontune_data import problem_log
from visiontune_data.problem_log import LoggedReport, ProblemLog, problems_of, together
from visiontune_data.report import Place, Problem, Report


def problem(number: int) -> Problem:
    return Problem("image-missing", Place("train.jsonl", number, "$.image"), f"no {number}", "value", "Do.")


def test_problems_come_back_in_order() -> None:
    log, count = ProblemLog(), 2 * problem_log.PAGE_PROBLEMS + 3
    report = LoggedReport("a.tar", log)
    report.extend(map(problem, range(count)))
    pages = log.pages()
    assert [each for page in pages for each in problems_of(page)] == list(map(problem, range(count)))
    assert [len(problems_of(page)) for page in pages[:-1]] == [problem_log.PAGE_PROBLEMS] * 2
    assert report.error_count == count


def test_a_full_log_takes_no_more_and_the_report_counts_on() -> None:
    log = ProblemLog()
    report = LoggedReport("a.tar", log)
    report.extend(map(problem, range(problem_log.MOST_PROBLEMS + 5)))
    assert sum(len(problems_of(page)) for page in log.pages()) == problem_log.MOST_PROBLEMS
    assert report.error_count == problem_log.MOST_PROBLEMS + 5


def test_reports_are_put_together_without_being_changed() -> None:
    first, second = Report("a.tar"), Report("a.tar")
    first.add(problem(1))
    second.extend(map(problem, range(30)))
    second.record_count = 30
    whole = together([first, second])
    assert (whole.archive, whole.error_count, whole.record_count) == ("a.tar", 31, 30)
    assert len(whole.by_rule["image-missing"].problems) == 20
    assert (first.error_count, second.error_count) == (1, 30)
