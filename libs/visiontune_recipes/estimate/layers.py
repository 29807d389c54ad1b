"""A stack of transformer layers, as far as its weights, adapters and memory follow from a config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What old configs of language models call a field.
_OLDER = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
# Language models whose feed-forward part has two matrices. All others here have a gate beside them.
UNGATED = frozenset(
    {"bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi"}
)
# Fields of mixtures of experts, whose layers are not equal matrices.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


@dataclass(frozen=True, slots=True)
class Layers:
    """A stack of equal transformer layers."""

    count: int
    width: int
    inner: int  # of the feed-forward part
    heads: int
    kv_heads: int
    head_width: int
    gated: bool  # three matrices in the feed-forward part, not two
    biased: bool = False  # every matrix and norm has a bias
    one_qkv: bool = False  # queries, keys and values are one matrix
    one_gate: bool = False  # so are the first two of the feed-forward part
    quick: bool = False  # its activation is quick_gelu, which is made of two steps

    @property
    def attention_width(self) -> int:
        """Numbers of a token's queries."""
        return self.heads * self.head_width

    @property
    def kv_width(self) -> int:
        """Numbers of a token's keys, and of its values."""
        return self.kv_heads * self.head_width

    @property
    def given_width(self) -> int:
        """Numbers of a token that all matrices of a layer give."""
        first = 2 if self.gated else 1
        return self.attention_width + 2 * self.kv_width + first * self.inner + 2 * self.width

    @property
    def parameters_of_one(self) -> int:
        """Weights of a layer; some families have biases or norms more, which are few."""
        attention = 2 * self.width * (self.attention_width + self.kv_width)
        matrices = attention + (3 if self.gated else 2) * self.width * self.inner
        biases = self.attention_width + 2 * self.kv_width + self.inner + 4 * self.width if self.biased else 0
        return matrices + biases + 2 * self.width

    @property
    def parameters(self) -> int:
        """Weights of all layers."""
        return self.count * self.parameters_of_one

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of a rank beside all matrices: rank * (in + out) each (Hu et al. 2021)."""
        into_attention = self.width * (1 if self.one_qkv else 3)
        attention = into_attention + 2 * (self.attention_width + self.kv_width) + self.width
        first = 2 if self.gated else 1
        forward = self.width * (1 if self.one_gate else first) + first * self.inner + self.inner + self.width
        return self.count * rank * (attention + forward)


def layers_of(
    config: Mapping[str, Any], *, gated: bool, biased: bool = False, one_qkv: bool = False
) -> Layers:
    """KeyError for what a config lacks, ValueError for layers that are not as these. Names as in configs."""
    if any(config.get(name) for name in _EXPERTS):
        raise ValueError("a mixture of experts")

    def field(name: str, *others: str) -> int:
        names = (name, *others, _OLDER.get(name, name))
        return int(next(config[each] for each in names if config.get(each)))

    try:
        width = int(config.get("embed_dim") or field("hidden_size"))
        heads = field("num_attention_heads", "num_heads")
        count = field("num_hidden_layers", "depth")
    except StopIteration as error:
        raise KeyError("a size") from error
    inner = config.get("intermediate_size") or config.get("ffn_dim") or width * config.get("mlp_ratio", 4)
    return Layers(
        count=count,
        width=width,
        inner=int(inner),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or width // heads),
        gated=gated,
        biased=biased,
        one_qkv=one_qkv,
        quick=config.get("hidden_act") == "quick_gelu",
    )
