"""Models built from a small config of the real class, with a tokenizer trained on the dataset's text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PAD, BOS, EOS = "<pad>", "<s>", "</s>"

# About 1/sqrt(width). The usual 0.02 is made for widths in the thousands; at 96 it leaves the image faint
# beside the text, and of four seeds one stayed at 77 % on digits. With this all that were tried pass 97 %.
INITIALIZER_RANGE = 0.08


@dataclass(frozen=True, slots=True, eq=False)
class Preset:
    """A model that needs no download.

    config: what its config class takes, by keyword, `model_type` among it; the vocabulary's size and the ids
    of pad, bos and eos come from the tokenizer. processor: makes the processor of a trained tokenizer; it
    imports transformers in its body. None where the tokenizer alone is all that is needed.
    """

    name: str
    family: str
    description: str
    parameter_count: int
    config: Mapping[str, Any]
    chat_template: str
    processor: Callable[[Any], Any] | None
    # Special tokens besides pad, bos and eos: what the tokenizer calls each, and its text. With those three
    # in front they get the ids 0, 1, 2, and so on.
    tokens: Mapping[str, str] = field(default_factory=dict)
    # Fields of the config that hold the id of a token, as `image_token_index` or, inside another field,
    # `vision_config.image_token_id`, and that token's text.
    token_ids: Mapping[str, str] = field(default_factory=dict)
    # Entries at most; a small dataset's text yields fewer and the config shrinks with it.
    vocabulary_size: int = 512

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """All special tokens in the order of their ids."""
        return (PAD, BOS, EOS, *self.tokens.values())


def dialogue(**places: str) -> str:
    """The chat template of the presets, of pictures by the text for each kind of part: `image`, `video`."""
    pictures = "".join(
        f"{{% elif part['type'] == '{kind}' %}}{{{{ '{text}' }}}}" for kind, text in places.items()
    ).replace("elif", "if", 1)
    said = "{{ part['text'] }}"
    part = f"{pictures}{{% else %}}{said}{{% endif %}}" if places else said
    return (
        "{% for message in messages %}"
        "{% if message['role'] == 'assistant' %}{% generation %}"
        "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ eos_token }}{% endgeneration %}"
        f"{{% else %}}{{% for part in message['content'] %}}{part}"
        "{% endfor %}{{ '\\n' }}{% endif %}{% endfor %}"
    )
