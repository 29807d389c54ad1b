"""The whole path, as a new user walks it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from visiontune.trainer.v1 import trainer_pb2

from tests.support import stack as stacks
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = stacks.make(tmp_path / "home")
    yield made
    made.down()


def accuracies(output: str) -> list[float]:
    """Held-out accuracy after each training, in percent."""
    return [float(value) for value in re.findall(r"before, ([\d.]+) % after", output)]


@pytest.mark.slow
def test_the_demo_teaches_a_model_then_an_adapter_on_top_of_it(stack: Stack) -> None:
    output = stack.cli("demo", "--full", timeout_s=900).stdout
    assert len(accuracies(output)) == 2
    assert min(accuracies(output)) >= 90
    answers = re.findall(r"The model says (.+), the data says (.+)\.", output)
    assert len(answers) == 2
    assert stack.status()["ready"]

    # Again: the data is there already, its digest says so, and nothing collides.
    with stack.client() as client:
        version = client.get_version("digits")
        again = stack.cli("demo", "--output", "json", timeout_s=900)
        assert "Unchanged: equal to digits/v1" in again.stderr
        assert (
            client.get_job(json.loads(again.stdout)["name"]).state == trainer_pb2.TrainingJob.STATE_SUCCEEDED
        )
        assert client.get_version("digits") == version
        assert {job.state for job in client.list_jobs()} == {trainer_pb2.TrainingJob.STATE_SUCCEEDED}
