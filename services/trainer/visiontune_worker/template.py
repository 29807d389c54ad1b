"""The chat template that a model is trained with, and whether it marks what the assistant says."""

import re
from collections.abc import Collection
from typing import Any

from visiontune_recipes.families import Family

from visiontune_worker.faults import ConfigurationFault

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def tokenizer_of(processor: Any) -> Any:
    """A processor's tokenizer; of a family without pictures the processor is one itself."""
    return getattr(processor, "tokenizer", processor)


def use_for_training(processor: Any, family: Family, stop_ids: Collection[int]) -> None:
    """Takes the family's template where the model's own does not mark answers with their stop token.

    A family may want the model's own all the same: answers are then found by what precedes them.
    """
    own = processor.chat_template
    if own and (family.keeps_template or marks_stop(processor, stop_ids)):
        return
    if not family.chat_template:
        raise ConfigurationFault(
            "NO_CHAT_TEMPLATE",
            "The model's processor has no chat template, so conversations cannot be put to it. Add one to "
            "its repository (chat_template.jinja), or take a model that has one.",
        )
    processor.chat_template = family.chat_template
    tokenizer_of(processor).chat_template = family.chat_template


def marks_stop(processor: Any, stop_ids: Collection[int]) -> bool:
    """True when the template marks what the assistant says, up to a stop token."""
    if not _MARK.search(processor.chat_template or ""):
        return False
    sees = processor is not tokenizer_of(processor)
    probe = [
        {"role": role, "content": [{"type": "text", "text": text}] if sees else text}
        for role, text in (("user", "a"), ("assistant", "b"))
    ]
    found = processor.apply_chat_template(
        [probe], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [i for i, on in zip(found["input_ids"][0], found["assistant_masks"][0], strict=True) if on]
    return bool(marked) and int(marked[-1]) in stop_ids
