"""Asks a downloaded model about one image, with transformers and peft alone.

    python examples/ask_model.py DOWNLOADED/model scan.png "Which digit is this?"
    python examples/ask_model.py DOWNLOADED/adapter scan.png "Odd or even?" --base DOWNLOADED/model

Nothing of VisionTune is imported: what it makes works in the ordinary tools.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor


def load(folder: Path, base: Path | None) -> tuple[Any, Any]:
    """A model and its processor; an adapter goes on top of its base."""
    processor: Any = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call] # theirs has no types
    if not (folder / "adapter_config.json").exists():
        return AutoModelForImageTextToText.from_pretrained(folder), processor
    if base is None:
        raise SystemExit(f"{folder} holds an adapter. Say with --base which model it was trained on.")
    model = AutoModelForImageTextToText.from_pretrained(base)
    return PeftModel.from_pretrained(model, folder), processor


@torch.inference_mode()
def ask(model: Any, processor: Any, image: Image.Image, question: str) -> str:
    """The model's answer, chosen greedily."""
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True)
    inputs = processor(images=image, text=prompt, return_tensors="pt")
    tokens = model.eval().generate(**inputs, max_new_tokens=16, do_sample=False)
    answer = tokens[0, inputs["input_ids"].shape[1] :]
    return str(processor.decode(answer, skip_special_tokens=True)).strip()


def main() -> None:
    """Parses the command line and asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="downloaded folder: model/ or adapter/")
    parser.add_argument("image", type=Path)
    parser.add_argument("question")
    parser.add_argument("--base", type=Path, help="what an adapter was trained on")
    options = parser.parse_args()
    model, processor = load(options.folder, options.base)
    print(ask(model, processor, Image.open(options.image).convert("RGB"), options.question))


if __name__ == "__main__":
    main()
