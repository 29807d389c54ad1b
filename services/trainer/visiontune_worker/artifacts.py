"""The result as folders that plain transformers and peft load, each with a card that tells its story."""

from pathlib import Path

import yaml
from peft.tuners.tuners_utils import BaseTunerLayer
from visiontune_recipes.spec import Spec, digest

from visiontune_worker import cards
from visiontune_worker.build import DTYPES, Built
from visiontune_worker.cards import Story

ADAPTER, MODEL, MERGED = "adapter", "model", "merged"
LARGEST_FILE = "5GB"

__all__ = ["ADAPTER", "MERGED", "MODEL", "Story", "names", "write"]


def names(spec: Spec) -> tuple[str, ...]:
    """The artifacts of a job, in the order in which they are written; what was trained is the first."""
    if not spec.adaptation.by_adapter:
        return (MODEL,)
    return (ADAPTER, MERGED) if spec.publishes_merged else (ADAPTER,)


def write(built: Built, story: Story, artifact: str, folder: Path) -> None:
    """Writes weights, processor, model card and the spec that repeats the training.

    MERGED comes last: what was built is a whole model from then on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if artifact == MERGED:
        _merge(built)
    if artifact == ADAPTER and built.peft is not None:
        # Embeddings never grow here, so that peft need not ask the Hub whether they did.
        built.peft.save_pretrained(str(folder), save_embedding_layers=False)
    else:
        built.model.save_pretrained(folder, max_shard_size=LARGEST_FILE)
    built.processor.save_pretrained(folder)
    # peft writes a card of its own; this one replaces it.
    text = cards.card(built, story, is_adapter=artifact == ADAPTER)
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "reproduce.yaml").write_text(reproduction(story), encoding="utf-8")


def _merge(built: Built) -> None:
    """Works the adapter into the weights: added up in float32, layer by layer, then cast back."""
    if built.peft is None:
        return
    dtype = DTYPES[built.precision]
    for layer in built.peft.modules():
        if isinstance(layer, BaseTunerLayer):
            layer.float()
            layer.merge()
            layer.to(dtype)
    built.model, built.peft = built.peft.merge_and_unload().to(dtype), None


def reproduction(story: Story) -> str:
    """A job file: the same spec on the same data gives the same numbers."""
    head = f"# visiontune train --file reproduce.yaml repeats {story.training_job}.\n"
    about = {"spec_digest": digest(story.spec), "dataset_digest": story.dataset_digest}
    comment = "".join(f"# {name}: {value}\n" for name, value in about.items())
    return head + comment + yaml.safe_dump({"spec": story.spec.to_dict()}, sort_keys=False)
