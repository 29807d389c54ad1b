"""Which family a model of a folder belongs to, whose code may run, and what is refused with what to do."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import (
    AutoConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    VipLlavaForConditionalGeneration,
)
from visiontune_recipes.facts import DatasetFacts
from visiontune_recipes.families import FAMILIES
from visiontune_recipes.families.llava import TINY
from visiontune_recipes.resolve import resolve
from visiontune_recipes.spec import Base, Hub
from visiontune_worker import bases, build, objectives, presets
from visiontune_worker.faults import ConfigurationFault

from tests.support import families, worker_data

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM, VipLlavaForConditionalGeneration
class OwnConfig(LlamaConfig):
    model_type = "own_llama"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def spec(folder: Path, **adaptation: Any) -> Any:
    return resolve(worker_data.spec({"path": str(folder)}, adaptation=adaptation), DatasetFacts(frozenset()))


def built(folder: Path, trusted: frozenset[str] = frozenset(), **adaptation: Any) -> build.Built:
    sources = build.Sources(roots=(folder.parent,), trusted=trusted)
    return build.build(spec(folder, **adaptation), sources)


@cache
def processor() -> Any:
    return presets.processor(TINY, worker_data.texts())


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VipLLaVA: a type that no family names. Its chat template marks no answers, as most do not."""
    folder = tmp_path_factory.mktemp("models") / "vip"
    made = processor()
    config = presets.config(TINY, made.tokenizer).to_dict()
    del config["vision_feature_select_strategy"]
    config |= {"model_type": "vipllava", "vision_feature_layer": [-1, -2]}
    kind = config.pop("model_type")
    own: Any = AutoConfig.for_model(kind, **config)
    model = VipLlavaForConditionalGeneration(own)
    model.generation_config.eos_token_id = made.tokenizer.eos_token_id
    model.save_pretrained(folder)
    plain = made.chat_template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    made.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(plain)
    return folder


def text_model(folder: Path, template: str | None) -> Path:
    tokenizer = processor().tokenizer
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, eos_token_id=2, bos_token_id=1)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def said(made: build.Built, family: str, *examples: Any) -> list[str]:
    objective = objectives.of(made, families.spec_of(FAMILIES[family]))
    encoded = objective.encode(examples)
    torch.autograd.backward(objective.loss(made.model, objective.collate(encoded)).summed)
    return [made.tokenizer.decode(each.input_ids[each.trained]) for each in encoded]


def test_a_type_that_no_family_names_trains_with_its_own_template(unnamed: Path) -> None:
    made = built(unnamed, method="METHOD_LORA")
    assert made.family.name == "generic"
    assert "generation" not in made.processor.chat_template
    assert said(made, "llava", families.pictures(0), families.chat(1)) == ["zero</s>", "one</s>"]
    moved = [name for name, each in made.trainable().items() if each.grad is not None]
    assert {made.family.parts.part_of(name) for name in moved} == {"projector", "language_model"}


def test_adapters_where_a_family_has_no_names_for_them_are_refused(unnamed: Path) -> None:
    with pytest.raises(ConfigurationFault, match="no place for adapters in its vision_tower") as refused:
        built(unnamed, method="METHOD_LORA", vision_tower="PART_TRAIN")
    assert refused.value.reason == "ADAPTATION_REFUSED"
    whole = built(unnamed, method="METHOD_FULL", vision_tower="PART_TRAIN")
    assert {whole.family.parts.part_of(name) for name in whole.trainable()} == set(whole.family.parts.names)


def test_a_processor_without_a_template_is_refused(unnamed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "silent"
    folder.mkdir()
    for each in unnamed.iterdir():
        if each.name != "chat_template.jinja":
            (folder / each.name).symlink_to(each)
    with pytest.raises(ConfigurationFault) as refused:
        built(folder)
    assert refused.value.reason == "NO_CHAT_TEMPLATE"


OWN = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}{% endfor %}"
ASKS = "{% if add_generation_prompt %}[assistant]{% endif %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [(OWN + ASKS, "one</s>"), (None, " one</s>")],
    ids=["its own template", "without one"],
)
def test_any_decoder_is_text(tmp_path: Path, template: str | None, expected: str) -> None:
    made = built(text_model(tmp_path / "gpt2", template), method="METHOD_LORA")
    assert made.family.name == "text"
    assert made.processor.chat_template == (template or FAMILIES["text"].chat_template)
    assert said(made, "text", families.chat(1)) == [expected]
    assert all("lora_" in name for name in made.trainable())


@pytest.mark.parametrize("model_type", ["vits", "bert", "marian"])
def test_what_does_not_go_on_with_a_text_is_refused(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ConfigurationFault, match="which no family trains") as refused:
        built(tmp_path / "other")
    assert refused.value.reason == "UNKNOWN_FAMILY"


def test_code_of_a_model_runs_only_where_the_operator_trusts_it(tmp_path: Path) -> None:
    folder = text_model(tmp_path / "own", OWN + ASKS)
    config = presets.config(FAMILIES["text"].presets[0], processor().tokenizer)
    LlamaForCausalLM(config).save_pretrained(folder)
    stored = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    (folder / "config.json").write_text(json.dumps(stored | {"model_type": "own_llama", "auto_map": own}))
    (folder / "modeling_own.py").write_text(CODE)
    with pytest.raises(ConfigurationFault, match="VISIONTUNE_WORKER_TRUSTED_REPOSITORIES") as refused:
        built(folder)
    assert refused.value.reason == "CODE_NOT_TRUSTED"
    made = built(folder, trusted=frozenset({str(folder)}))
    assert (type(made.model).__name__, made.family.name) == ("OwnForCausalLM", "text")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("---\nlicense: mit\nbase_model: a/b\n---\n# It\n", {"license": "mit", "base_model": "a/b"}),
        ("# It says nothing to machines\n", {}),
        ("---\nlicense: [\n---\n# It is broken\n", {}),
        (None, {}),
    ],
)
def test_a_bases_own_card_is_read_where_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: str | None, told: dict[str, str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if card is not None:
        (tmp_path / bases.CARD).write_text(card)
    registered = bases.Sources(layers=(bases.Layer("projects/p/models/m", False, tmp_path),))
    assert bases.card_of(Base(path=str(tmp_path)), bases.Sources()) == told
    assert bases.card_of(Base(model="projects/p/models/m"), registered) == told
    assert bases.card_of(Base(hub=Hub(repo_id="owner/none")), bases.Sources()) == {}
    assert bases.card_of(Base(preset="tiny-llava"), bases.Sources()) == {}
