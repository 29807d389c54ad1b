"""How a result is loaded and asked, as Python that runs where its files are."""

import json

from visiontune_recipes.facts import Kind
from visiontune_recipes.families import Family
from visiontune_recipes.spec import Base

WHOLE_LINES = """from transformers import AutoProcessor, {model_class}

folder = "."  # this folder
processor = AutoProcessor.from_pretrained(folder)
model = {model_class}.from_pretrained(folder)
"""
ADAPTER_LINES = """from peft import PeftModel
from transformers import AutoProcessor, {model_class}

base = {location}  # {note}
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


def of(family: Family, base: Base | None) -> str:
    """The lines. base: what an adapter sits on; None for a whole model."""
    lines = _whole(family) if base is None else _adapter(family, base)
    lines += RECALL_TEMPLATE if family.forgets_template else ""
    use = family.use_lines or USE_LINES.get(family.objective)
    if use is None:
        sees = Kind.CHAT_WITH_IMAGES in family.takes
        use = (ASK_ABOUT_PICTURE if sees else ASK) + ASK_LINES
    return lines + use


def _whole(family: Family) -> str:
    return WHOLE_LINES.format(model_class=_class_of(family))


def _adapter(family: Family, base: Base) -> str:
    note = "what this was trained from"
    if base.model:
        note = f"its files: visiontune models download {base.model} --to base-model"
    return ADAPTER_LINES.format(
        model_class=_class_of(family),
        location=json.dumps(base.hub.repo_id if base.hub else base.path or "base-model"),
        revision=f', revision="{base.hub.revision}"' if base.hub else "",
        note=note,
        load_lines=family.load_lines,
    )


def _class_of(family: Family) -> str:
    return family.model_class.partition(":")[2]
