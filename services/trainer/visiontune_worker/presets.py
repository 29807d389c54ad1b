"""Builds a preset: the real class from a small config, a processor that learnt the dataset's text."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, CLIPImageProcessor, PreTrainedTokenizerFast
from transformers.models.llava.processing_llava import LlavaProcessor
from visiontune_recipes.presets import BOS, EOS, IMAGE_TOKEN, PAD, SPECIAL_TOKENS, Preset

# Texts that a tokenizer of a few hundred entries can learn anything from.
MOST_TEXTS = 100_000


def processor(preset: Preset, texts: Iterable[str]) -> LlavaProcessor:
    """A processor for a preset. Byte-level, so that it encodes any text, whatever it learnt from."""
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers
        tokenizer_object=_train(preset, texts),
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens={"image_token": IMAGE_TOKEN},
        clean_up_tokenization_spaces=False,
    )
    return LlavaProcessor(  # type: ignore[no-untyped-call]  # transformers
        image_processor=image_processor(preset),
        tokenizer=tokenizer,
        patch_size=preset.image.patch_px,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=preset.chat_template,
    )


def image_processor(preset: Preset) -> CLIPImageProcessor:
    """What cuts and scales a preset's pictures."""
    return CLIPImageProcessor(
        size={"height": preset.image.size_px, "width": preset.image.size_px},
        do_center_crop=False,
        image_mean=list(preset.image.mean),
        image_std=list(preset.image.std),
    )


def config(preset: Preset, tokenizer: Any) -> Any:
    """The preset's config with the ids and the vocabulary size of its tokenizer."""
    given = dict(preset.config)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    given["text_config"] = {**given["text_config"], "vocab_size": len(tokenizer), **ids}
    image_token_index = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return AutoConfig.for_model(preset.family, **given, image_token_index=image_token_index, **ids)


def _train(preset: Preset, texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=preset.vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(texts, MOST_TEXTS), trainer)
    return tokenizer
