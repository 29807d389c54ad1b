"""Failures to google.rpc.Status and back."""

import pytest
from visiontune_kit import errors, status
from visiontune_kit.errors import Violation


class QuotaExceeded(errors.ResourceExhausted):
    pass


def leaves() -> list[type[errors.Failure]]:
    return list(status.CODES)


@pytest.mark.parametrize("failure", leaves(), ids=lambda failure: failure.__name__)
def test_each_failure_survives_the_round_trip(failure: type[errors.Failure]) -> None:
    sent = failure(
        "It broke.",
        violations=[Violation("a.b[1]", "is wrong", "rule")],
        metadata={"needed": "2"},
        resource="projects/p/quota",
    )
    got = status.from_status(status.to_status(sent))
    assert type(got) is failure
    assert (got.message, got.violations, got.resource) == (sent.message, sent.violations, sent.resource)
    assert got.metadata["needed"] == "2"


def test_every_class_of_the_tree_has_a_code() -> None:
    assert set(errors.Failure.__subclasses__()) <= set(status.CODES)


def test_the_class_name_is_the_reason_and_survives() -> None:
    got = status.from_status(status.to_status(QuotaExceeded("Full.")))
    assert type(got) is errors.ResourceExhausted
    assert got.reason == "QuotaExceeded"


def test_details_stay_small_enough_for_headers() -> None:
    violations = [Violation(f"field[{i}]", "x" * 1000, "rule") for i in range(500)]
    packed = status.to_status(errors.InvalidArgument("y" * 9000, violations=violations))
    assert packed.ByteSize() < 8 * 1024
    got = status.from_status(packed)
    assert 1 <= len(got.violations) <= 20
    assert got.metadata["violation_count"] == "500"
