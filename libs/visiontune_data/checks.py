"""Checks of what a record says, the same for every format."""

import re
import unicodedata
from collections.abc import Sequence

from visiontune_data.example import Draft, text_of
from visiontune_data.formats import Notes
from visiontune_data.limits import Limits
from visiontune_data.text import shorten

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
_SPECIAL_TOKENS = re.compile(
    r"<\|[a-z_]+\|>|</?s>|<image>|<video>|<bos>|<eos>|<pad>|\[/?INST\]", re.IGNORECASE
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf]|â€|\ufffd")


def check(draft: Draft, limits: Limits, notes: Notes) -> None:
    """Notes what is wrong with a draft's conversation, captions and split."""
    spoken = list(map(text_of, draft.messages))
    if spoken or not draft.texts:
        _check_messages(draft, spoken, limits, notes)
    if draft.texts and spoken:
        _check_pair(draft, spoken, notes)
    elif draft.texts:
        _check_captions(draft, notes)
    _check_texts(draft, spoken, limits, notes)
    refs = (*draft.images, *(draft.negatives or ()))
    check_count(len(refs), refs[0].json_path if refs else "$", limits, notes)
    if draft.split is not None and draft.split not in SPLITS:
        notes.add(
            "split-unknown",
            "$.split",
            f'the split "{shorten(draft.split)}" is none of {", ".join(SPLITS)}',
            draft.split,
        )


def check_count(images: int, json_path: str, limits: Limits, notes: Notes) -> None:
    """Notes more images than a record may have."""
    if images > limits.images_per_example:
        found = f"{images} images; at most {limits.images_per_example} are accepted in one record"
        notes.add("too-many-images", json_path, found, str(images))


def _check_captions(draft: Draft, notes: Notes) -> None:
    for text, path in zip(draft.texts, draft.text_paths, strict=True):
        if is_blank(text):
            notes.add("caption-empty", path, "the caption has no text", text)


def _check_pair(draft: Draft, spoken: Sequence[str], notes: Notes) -> None:
    """Notes what is wrong with the answer to which the last one is preferred."""
    rejected, path = draft.texts[0], draft.text_paths[0]
    if len(draft.texts) > 1:
        notes.add("pair-many", draft.text_paths[1], f"{len(draft.texts)} rejected answers", draft.texts[1])
    if is_blank(rejected):
        notes.add("answer-empty", path, "the rejected answer has no text", rejected)
    answers = [text for m, text in zip(draft.messages, spoken, strict=True) if m.role == "assistant"]
    if answers and answers[-1] == rejected:
        notes.add("pair-equal", path, "the rejected answer is the same as the chosen one", rejected)


def _check_messages(draft: Draft, spoken: Sequence[str], limits: Limits, notes: Notes) -> None:
    roles = [message.role for message in draft.messages]
    if not roles:
        notes.add("messages-empty", "$", "the conversation has no messages")
        return
    if len(roles) > limits.messages_per_example:
        found = f"{len(roles)} messages; at most {limits.messages_per_example} are accepted"
        notes.add(
            "too-many-messages", draft.message_paths[limits.messages_per_example], found, str(len(roles))
        )
    if "assistant" not in roles:
        notes.add("no-assistant", "$", "no message is an answer")
    previous = "none"
    for index, role in enumerate(roles):
        if complaint := _misplaced(role, previous, index):
            notes.add("role-order", draft.message_paths[index], complaint, role)
            break
        previous = role
    for message, text, path in zip(draft.messages, spoken, draft.message_paths, strict=True):
        if not is_blank(text):
            continue
        if message.role == "assistant":
            notes.add("answer-empty", path, "the answer has no text", text)
        elif all(part.type == "text" for part in message.content):
            notes.add("text-empty", path, "the message has neither text nor an image", text)


def _misplaced(role: str, previous: str, index: int) -> str:
    if role == "system" and index:
        return f"message {index} is the system's; only the first may be"
    if role == "assistant" and previous == "assistant":
        return f"messages {index - 1} and {index} are both answers"
    if role == "assistant" and previous in {"none", "system"}:
        return f"message {index} is an answer to nothing"
    return ""


def _check_texts(draft: Draft, spoken: Sequence[str], limits: Limits, notes: Notes) -> None:
    roles = [message.role for message in draft.messages]
    texts: list[tuple[str, str, str]] = list(zip(spoken, draft.message_paths, roles, strict=True))
    texts += [(text, path, "caption") for text, path in zip(draft.texts, draft.text_paths, strict=True)]
    for text, path, role in texts:
        if len(text) > limits.text_characters:
            found = f"{len(text):,} characters; common models read at most {limits.text_characters:,}"
            notes.add("text-too-long", path, found)
        if not text.isprintable() and (control := _CONTROL.search(text)):
            notes.add("text-control", path, f"the text contains U+{ord(control[0]):04X}", text)
        if not text.isascii() and (mojibake := _MOJIBAKE.search(text)):
            notes.add("text-mojibake", path, f'the text contains "{mojibake[0]}"', text)
        if role != "system" and (token := _SPECIAL_TOKENS.search(text)):
            notes.add(
                "special-token",
                path,
                f'the text contains "{token[0]}", which acts as a control token',
                token[0],
            )


def is_blank(text: str) -> bool:
    """Whether nothing in `text` would be seen: spaces, zero-width and control characters."""
    if text[:1].isalnum():
        return False
    return all(c.isspace() or unicodedata.category(c) in {"Cf", "Cc"} for c in text)
