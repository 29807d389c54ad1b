"""The whole path, as a new user walks it."""

import re

import pytest

from tests.support.stack import RunningStack

pytestmark = pytest.mark.timeout(900)


def accuracies(output: str) -> list[float]:
    """Held-out accuracy after each training, in percent."""
    return [float(value) for value in re.findall(r"before, ([\d.]+) % after", output)]


@pytest.mark.slow
def test_the_demo_teaches_a_model_then_an_adapter_on_top_of_it(stack: RunningStack) -> None:
    output = stack.visiontune("demo", "--full").stdout
    assert len(accuracies(output)) == 2
    assert min(accuracies(output)) >= 90
    answers = re.findall(r"The model says (.+), the data says (.+)\.", output)
    assert len(answers) == 2
    assert stack.json("status")["ready"]

    # Again: the data is there already, its digest says so, and nothing collides.
    version = stack.json("dataset", "show", "digits")
    again = stack.visiontune("demo").stdout
    assert "Unchanged: equal to digits/v1" in again
    assert stack.json("dataset", "show", "digits")["digest"] == version["digest"]
    assert {job["state"] for job in stack.json("job", "list")} == {"STATE_SUCCEEDED"}
