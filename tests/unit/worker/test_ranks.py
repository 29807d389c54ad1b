"""What is decided about ranks without any other process."""

import json
import socket
import time
from typing import Any

import pytest
import torch
from visiontune_recipes.facts import DatasetFacts, Kind
from visiontune_worker import ranks
from visiontune_worker.claim import CLAIM, Claim, Manifest, ModelLayer, RemoteFile, RemoteShard, Sample
from visiontune_worker.faults import Cancelled, EnvironmentFault, PassingFault
from visiontune_worker.interrupts import Interrupts
from visiontune_worker.loop import seed_of_step

from tests.support import worker_data


def test_a_host_without_an_address_is_asked_for_again() -> None:
    answers: list[Any] = [socket.gaierror("not yet"), socket.gaierror("not yet"), []]

    def lookup(host: str, _: None) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ranks.resolve("vt-0.vt", time.monotonic() + 10, lambda: None, lookup)
    assert answers == []


def test_a_host_that_never_gets_an_address_is_named() -> None:
    def lookup(host: str, _: None) -> Any:
        raise socket.gaierror("not known")

    with pytest.raises(PassingFault, match=r"vt-0\.vt, the host of rank 0, has no address") as fault:
        ranks.resolve("vt-0.vt", time.monotonic(), lambda: None, lookup)
    assert fault.value.reason == "RANK_MISSING"


def test_a_machine_with_fewer_accelerators_than_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(EnvironmentFault, match=r"Process 4 .* finds 4"):
        ranks.device(8, 4)
    assert ranks.device(0, 4) == torch.device("cpu")


def test_one_process_is_a_group_of_its_own() -> None:
    alone = ranks.Ranks()
    assert (alone.leads, alone.exchange("x"), alone.totals(3, 4)) == (True, ["x"], (3, 4))
    interrupts = Interrupts()
    alone.check(interrupts)
    interrupts.hear(Cancelled("by a user"))
    with pytest.raises(Cancelled):
        alone.check(interrupts)


def test_steps_and_ranks_draw_differently_and_repeat_themselves() -> None:
    seeds = {(step, rank): seed_of_step(7, step, rank) for step in range(50) for rank in range(8)}
    assert len(set(seeds.values())) == len(seeds)
    assert seed_of_step(7, 49, 7) == seeds[49, 7]


def test_gradients_go_in_pieces_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "BUCKET_BYTES", 16)
    tensors = [torch.zeros(size) for size in (1, 3, 9, 2, 2, 1)]
    buckets = list(ranks._buckets(tensors))
    assert [[len(each) for each in bucket] for bucket in buckets] == [[1, 3], [9], [2, 2], [1]]


def test_a_claim_reaches_the_other_ranks_as_it_was() -> None:
    file = RemoteFile("weights.safetensors", "ab", 3, "http://store/w")
    claim = Claim(
        training_job="projects/p/trainingJobs/j",
        attempt_number=2,
        spec=worker_data.spec(hyperparameters={"batch_size": 8, "schedule": "SCHEDULE_COSINE"}),
        spec_digest="sha256:00",
        manifest=Manifest(
            "v",
            "sha256:11",
            [RemoteShard(0, "cd", 9, 5, {"train": 5}, "http://store/s")],
            DatasetFacts(frozenset({Kind.CHAT_WITH_IMAGES}), {"train": 5}),
        ),
        resume_step=4,
        resume_files=[file],
        best_step=2,
        best_files=[file],
        layers=[ModelLayer("m", True, [file])],
        samples=[Sample("e", "p", "x", "b", "", 0)],
        metrics_before={"loss": 0.1 + 0.2},
    )
    assert CLAIM.validate_python(json.loads(json.dumps(CLAIM.dump_python(claim, mode="json")))) == claim
