"""What a model card says, to the Hub and to its reader."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import ModelCard
from visiontune.cli import jobfile
from visiontune.worker.v1 import worker_pb2
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.spec import digest
from visiontune_worker import artifacts, cards
from visiontune_worker.claim import Sample, claim_from

from tests.support import families, worker_data

HUB = {"hub": {"repo_id": "owner/tiny", "revision": "c0ffee"}}
SAMPLE = Sample("e", "<image>\nWhich `digit`?", "zero|one", "", "*zero*" * 100, 3)


def story(base: dict[str, Any], method: str = "METHOD_LORA", **fields: Any) -> cards.Story:
    spec = families.resolved(worker_data.spec(base, adaptation={"method": method}))
    values: dict[str, Any] = {
        "training_job": "projects/p/trainingJobs/digits",
        "spec": spec,
        "spec_digest": "sha256:5bec",
        "dataset_digest": "sha256:da7a",
        "metrics_before": {"loss": 2.0},
        "metrics_after": {"loss": 0.5, "exact_match": math.nan},
        "steps": 12_000,
        "samples": [SAMPLE],
    }
    return cards.Story(**{**values, **fields})


def built(base: dict[str, Any], family: str = "llava", **card: Any) -> Any:
    """What a card needs of a built model."""
    spec = worker_data.spec(base)
    return SimpleNamespace(
        family=FAMILIES[family], base=spec.base_model, base_card=card, parameter_count=625_728
    )


def card_of(made: Any, told: cards.Story, *, is_adapter: bool) -> Any:
    """As the Hub's own library reads it."""
    return ModelCard(cards.card(made, told, is_adapter=is_adapter))


def test_the_hub_is_told_what_an_adapter_is() -> None:
    card = card_of(
        built(HUB, license="other", license_name="tiny-1", tags=["x"]), story(HUB), is_adapter=True
    )
    told = card.data.to_dict()
    assert told["base_model"] == "owner/tiny"
    assert told["base_model_relation"] == "adapter"
    assert (told["license"], told["license_name"]) == ("other", "tiny-1")
    assert (told["library_name"], told["pipeline_tag"]) == ("peft", "image-text-to-text")
    assert told["tags"] == ["visiontune", "llava", "lora"]
    # What is no number is nothing that the Hub could compare.
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("loss", 0.5, "validation")
    assert (result.dataset_name, result.dataset_revision) == (worker_data.VERSION, "sha256:da7a")


def test_its_reader_is_told_how_it_came_to_be() -> None:
    card = card_of(built(HUB, license="mit"), story(HUB), is_adapter=True)
    for said in (
        "| exact_match |  | nan |\n| loss | 2.0000 | 0.5000 |\n",
        "Trained from `owner/tiny@c0ffee` by VisionTune: 12,000 steps, low-rank adapters.",
        "That of its base, whose card says `mit`.",
        "- job: `projects/p/trainingJobs/digits`",
        f"- data: `{worker_data.VERSION}`, digest `sha256:da7a`",
        "- spec digest: `sha256:5bec`",
        "- parameters: 625,728",
        "base_model:\n  hub:\n    repo_id: owner/tiny",
        'model = LlavaForConditionalGeneration.from_pretrained(base, revision="c0ffee")',
    ):
        assert said in card.text
    # A sample is text, whatever it looks like.
    [row] = [line for line in card.text.splitlines() if line.startswith("| &#60;image")]
    assert row.count("|") == 5
    assert "Which &#96;digit&#96;?" in row
    assert row.endswith("… |")


@pytest.mark.parametrize(
    ("base", "family", "card", "expected", "licence"),
    [
        ({"preset": "tiny-llava"}, "llava", {}, (None, "image-text-to-text"), "It has no base"),
        ({"path": "/models/x"}, "text", {"base_model": "a/b"}, (None, "text-generation"), "Not known"),
        (
            {"model": "projects/p/models/m"},
            "clip",
            {"base_model": "a/b", "license": "mit"},
            ("a/b", "zero-shot-image-classification"),
            "`mit`",
        ),
        (HUB, "colqwen2", {}, ("owner/tiny", "visual-document-retrieval"), "Not known"),
    ],
)
def test_what_is_not_known_is_not_made_up(
    base: dict[str, Any], family: str, card: dict[str, Any], expected: tuple[Any, str], licence: str
) -> None:
    made = built(base, family, **card)
    found = card_of(made, story(base, "METHOD_FULL", samples=(), metrics_after={}), is_adapter=False)
    assert (found.data.base_model, found.data.pipeline_tag) == expected
    assert found.data.library_name == "transformers"
    assert found.data.to_dict().get("base_model_relation") == ("finetune" if expected[0] else None)
    assert found.data.license == card.get("license")
    assert licence in found.text.partition("## Licence")[2]
    assert "## Samples" not in found.text
    assert found.data.eval_results is None


def test_an_adapter_on_a_registered_model_says_how_to_get_that() -> None:
    base = {"model": "projects/p/models/m"}
    card = card_of(built(base), story(base), is_adapter=True)
    assert "visiontune models download projects/p/models/m --to base-model" in card.text


def test_the_job_file_beside_a_result_is_the_same_job(tmp_path: Any) -> None:
    told = story(HUB)
    (tmp_path / "reproduce.yaml").write_text(artifacts.reproduction(told))
    again = jobfile.load(tmp_path / "reproduce.yaml").training_job.spec
    read = claim_from(worker_pb2.ClaimAttemptResponse(spec=again)).spec
    assert read == told.spec
    assert families.resolved(read) == told.spec
    assert f"# spec_digest: {digest(told.spec)}\n" in artifacts.reproduction(told)
