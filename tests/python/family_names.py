"""Where the families' tensors are and which of a layer's steps they have, for reference.py."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Names:
    """Tensors without their ".weight" and ".bias". Those of a layer stand behind `layer`."""

    embedding: str = "model.embed_tokens"
    layer: str = "model.layers.{}."
    attention: str = "self_attn."
    attention_norm: str = "input_layernorm"
    qkv: str | None = None  # q, k and v in one
    output: str = "o_proj"
    attention_post_norm: str | None = None  # of what attention adds
    mlp_norm: str = "post_attention_layernorm"
    gate: str | None = "mlp.gate_proj"
    gate_up: str | None = None  # gate and up in one
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    mlp_post_norm: str | None = None
    final_norm: str | None = "model.norm"
    head: str = "lm_head"
    positions: str | None = None  # learned
    project_in: str | None = None
    project_out: str | None = None


GEMMA = Names(
    attention_post_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_post_norm="post_feedforward_layernorm",
)
NAMES = {
    "phi3": Names(qkv="qkv_proj", gate=None, gate_up="mlp.gate_up_proj"),
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
}


def names_of(config: PreTrainedConfig) -> Names:
    """Those of a configuration; Llama's where the family has none of its own."""
    return NAMES.get(config.model_type, Names())


def first_of(config: PreTrainedConfig, *keys: str, default=None):
    """The first of these settings that the configuration has."""
    for key in keys:
        value = getattr(config, key, None)
        if value is not None:
            return value
    return default
