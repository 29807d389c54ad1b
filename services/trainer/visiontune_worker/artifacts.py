"""The result as a folder that plain transformers and peft load, with a card that says how it came to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from visiontune_recipes.facts import Kind
from visiontune_recipes.spec import Spec

from visiontune_worker.build import Built

WHOLE_LINES = """from transformers import AutoProcessor, {model_class}

folder = "."  # this folder
processor = AutoProcessor.from_pretrained(folder)
model = {model_class}.from_pretrained(folder)
"""
ADAPTER_LINES = """from peft import PeftModel
from transformers import AutoProcessor, {model_class}

base = "{base}"  # {base_note}
folder = "."  # this folder
processor = AutoProcessor.from_pretrained(folder)
model = {model_class}.from_pretrained(base{revision})
{load_lines}model = PeftModel.from_pretrained(model, folder)
"""
RECALL_TEMPLATE = "processor.chat_template = processor.tokenizer.chat_template  # its class forgets it\n"
ASK_ABOUT_PICTURE = """
messages = [
    {"role": "user", "content": [{"type": "image", "path": "picture.png"}, {"type": "text", "text": "..."}]}
]"""
ASK = """
messages = [{"role": "user", "content": "..."}]"""
ASK_LINES = """
inputs = processor.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**inputs, max_new_tokens=32)
print(processor.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""
# How a result is used that has no words of its own, by its objective.
USE_LINES = {
    "contrastive": """
from PIL import Image

picture = Image.open("picture.png").convert("RGB")
inputs = processor(text=["...", "..."], images=picture, padding="max_length", return_tensors="pt")
print(model(**inputs).logits_per_image)  # the higher, the better a text fits
""",
    "late_interaction": """
from PIL import Image

pages = processor.process_images(images=[Image.open("page.png").convert("RGB")])
queries = processor.process_queries(text=["..."])
print(processor.score_retrieval(model(**queries).embeddings, model(**pages).embeddings))
""",
}


@dataclass(frozen=True, slots=True)
class Story:
    """How a result came to be."""

    training_job: str
    spec: Spec
    spec_digest: str
    dataset_digest: str
    metrics_before: Mapping[str, float]
    metrics_after: Mapping[str, float]
    steps: int


def artifact_id(spec: Spec) -> str:
    """`adapter` or `model`."""
    return "adapter" if spec.adaptation.by_adapter else "model"


def write(built: Built, story: Story, folder: Path) -> None:
    """Writes weights, processor, model card and the spec that repeats the training."""
    folder.mkdir(parents=True, exist_ok=True)
    if built.peft is not None:
        # Embeddings never grow here, so that peft need not ask the Hub whether they did.
        built.peft.save_pretrained(str(folder), save_embedding_layers=False)
    else:
        built.model.save_pretrained(folder)
    built.processor.save_pretrained(folder)
    # peft writes a card of its own; this one replaces it.
    (folder / "README.md").write_text(card(built, story), encoding="utf-8")
    (folder / "reproduce.yaml").write_text(reproduction(story), encoding="utf-8")


def reproduction(story: Story) -> str:
    """A job file: the same spec on the same data gives the same numbers."""
    head = f"# visiontune train --file reproduce.yaml repeats {story.training_job}.\n"
    about = {"spec_digest": story.spec_digest, "dataset_digest": story.dataset_digest}
    comment = "".join(f"# {name}: {value}\n" for name, value in about.items())
    return head + comment + yaml.safe_dump({"spec": story.spec.to_dict()}, sort_keys=False)


def card(built: Built, story: Story) -> str:
    """The model card: metadata that the Hub reads, then what a reader wants to know."""
    front = {"library_name": "peft" if built.peft is not None else "transformers", "tags": ["visiontune"]}
    if built.base.hub:
        front["base_model"] = built.base.hub.repo_id
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(front, sort_keys=True)}---",
            f"# {story.training_job.rsplit('/', 1)[-1]}",
            "",
            _summary(built, story),
            "",
            *_metrics_table(story),
            "",
            "## Use",
            "",
            f"```python\n{_code(built)}```",
            "",
            "## Training",
            "",
            f"- job: `{story.training_job}`",
            f"- dataset: `{story.spec.dataset_version}`, digest `{story.dataset_digest}`",
            f"- spec digest: `{story.spec_digest}`; `reproduce.yaml` is the spec",
            f"- parameters: {built.parameter_count:,}",
            "",
            f"```yaml\n{yaml.safe_dump(story.spec.to_dict(), sort_keys=False)}```",
            "",
        ]
    )


def _summary(built: Built, story: Story) -> str:
    how = f"{story.steps} steps, {_method(story.spec)}"
    return f"{built.family.description} Trained from `{_base(story.spec)}` by VisionTune: {how}."


def _metrics_table(story: Story) -> list[str]:
    rows = [
        f"| {name} | {_number(story.metrics_before.get(name))} | {_number(value)} |"
        for name, value in sorted(story.metrics_after.items())
    ]
    return ["On the validation split:", "", "| metric | before | after |", "|---|---|---|", *rows]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _method(spec: Spec) -> str:
    return "low-rank adapters" if spec.adaptation.by_adapter else "all chosen weights"


def _base(spec: Spec) -> str:
    base = spec.base_model
    if base.hub:
        return f"{base.hub.repo_id}@{base.hub.revision}"
    return base.preset or base.path or base.model or ""


def _code(built: Built) -> str:
    base = built.base
    lines = (WHOLE_LINES if built.peft is None else ADAPTER_LINES).format(
        model_class=built.family.model_class.partition(":")[2],
        base=base.hub.repo_id if base.hub else base.path or "base-model",
        load_lines=built.family.load_lines,
        revision=f', revision="{base.hub.revision}"' if base.hub else "",
        base_note=f"the downloaded files of {base.model}" if base.model else "what this was trained from",
    )
    lines += RECALL_TEMPLATE if built.family.forgets_template else ""
    use = built.family.use_lines or USE_LINES.get(built.family.objective)
    if use is None:
        sees = Kind.CHAT_WITH_IMAGES in built.family.takes
        use = (ASK_ABOUT_PICTURE if sees else ASK) + ASK_LINES
    return lines + use
