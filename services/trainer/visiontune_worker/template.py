"""The chat template that a model is trained with, and whether it marks what the assistant says."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from jinja2 import TemplateError
from visiontune_recipes.families import Family

from visiontune_worker.faults import ConfigurationFault

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = (("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))


def tokenizer_of(processor: Any) -> Any:
    """A processor's tokenizer; of a family without pictures the processor is one itself."""
    return getattr(processor, "tokenizer", processor)


def use_for_training(processor: Any, family: Family, stop_ids: Collection[int]) -> None:
    """Keeps the model's own template where answers, with their stop tokens, can be told by it.

    By its marks, or by what precedes an answer; the latter takes a pass more, so that the family's template
    takes its place where it writes the same. That one is taken, too, where answers cannot be told.
    """
    own = processor.chat_template
    if own and marks_stop(processor, stop_ids):
        return
    if own and _tells_answers(processor, own, stop_ids):
        if not family.chat_template or _text(processor, family.chat_template) != _text(processor, own):
            return
    elif not family.chat_template:
        raise ConfigurationFault(
            "NO_CHAT_TEMPLATE",
            "The model's processor has no chat template by which answers and their ends can be told. Add one "
            "to its repository (chat_template.jinja), with {% generation %} around what the assistant says, "
            "or take a model that has one.",
        )
    processor.chat_template = family.chat_template
    tokenizer_of(processor).chat_template = family.chat_template


def marks_stop(processor: Any, stop_ids: Collection[int]) -> bool:
    """True when the template marks what the assistant says, up to a stop token."""
    if not _MARK.search(processor.chat_template or ""):
        return False
    found = processor.apply_chat_template(
        [_conversation(processor, 2, pictures=False)],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    marked = [i for i, on in zip(found["input_ids"][0], found["assistant_masks"][0], strict=True) if on]
    return bool(marked) and int(marked[-1]) in stop_ids


def _tells_answers(processor: Any, template: str, stop_ids: Collection[int]) -> bool:
    """True when a prompt is written as its conversation begins, and a stop token behind an answer."""
    try:
        whole, prompt = _text(processor, template), _text(processor, template, messages=3)
    except TemplateError:
        return False
    stops = [tokenizer_of(processor).decode([each]) for each in stop_ids]
    return whole.startswith(prompt) and any(stop in whole[len(prompt) :] for stop in stops)


def _text(processor: Any, template: str, messages: int = len(_PROBE)) -> str:
    """What a template makes of the probe; a prompt, where it ends with a question."""
    return str(
        processor.apply_chat_template(
            _conversation(processor, messages, pictures=True),
            chat_template=template,
            tokenize=False,
            add_generation_prompt=messages % 2 == 1,
        )
    )


def _conversation(processor: Any, messages: int, *, pictures: bool) -> list[dict[str, Any]]:
    if processor is tokenizer_of(processor):
        return [{"role": role, "content": text} for role, text in _PROBE[:messages]]
    seen: Sequence[dict[str, str]] = [{"type": "image"}] if pictures else []
    return [
        {
            "role": role,
            "content": [*(seen if number == 0 else ()), {"type": "text", "text": text}],
        }
        for number, (role, text) in enumerate(_PROBE[:messages])
    ]
