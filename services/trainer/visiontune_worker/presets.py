"""Builds a preset: the real class from a small config, a processor that learnt the dataset's text."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast
from visiontune_recipes.families.preset import BOS, EOS, PAD, Preset

# Texts that a tokenizer of a few hundred entries can learn anything from.
MOST_TEXTS = 100_000


def processor(preset: Preset, texts: Iterable[str]) -> Any:
    """A processor for a preset. Byte-level, so that it encodes any text, whatever it learnt from."""
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers
        tokenizer_object=_train(preset, texts),
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=dict(preset.tokens),
        clean_up_tokenization_spaces=False,
    )
    made = preset.processor(tokenizer) if preset.processor else tokenizer
    made.chat_template = preset.chat_template or None
    return made


def image_processor(preset: Preset) -> Any:
    """What cuts and scales a preset's pictures."""
    return processor(preset, ()).image_processor


def config(preset: Preset, tokenizer: Any) -> Any:
    """The preset's config with the ids and the vocabulary size of its tokenizer."""
    given = dict(preset.config)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    own = {"vocab_size": len(tokenizer), **ids}
    # Retrievers hold the whole config of the model that they are made of.
    inner = "vlm_config" if "vlm_config" in given else ""
    told = dict(given[inner]) if inner else given
    if "text_config" in told:
        told["text_config"] = {**told["text_config"], **own}
    else:
        ids = own
    for name, text in preset.token_ids.items():
        outer, _, field = name.rpartition(".")
        inside = told
        if outer:
            inside = told[outer] = dict(told[outer])
        inside[field] = tokenizer.convert_tokens_to_ids(text)
    return AutoConfig.for_model(**({**given, inner: told} if inner else {**told, **ids}))


def _train(preset: Preset, texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=preset.vocabulary_size,
        special_tokens=list(preset.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(texts, MOST_TEXTS), trainer)
    return tokenizer
