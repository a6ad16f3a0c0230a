"""Where the families' tensors are and which of a layer's steps they have, for reference.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
GPT_NEOX = Names(
    embedding="gpt_neox.embed_in",
    layer="gpt_neox.layers.{}.",
    attention="attention.",
    qkv="query_key_value",
    output="dense",
    gate=None,
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    final_norm="gpt_neox.final_layer_norm",
    head="embed_out",
)
OPT = Names(
    embedding="model.decoder.embed_tokens",
    layer="model.decoder.layers.{}.",
    attention_norm="self_attn_layer_norm",
    output="out_proj",
    mlp_norm="final_layer_norm",
    gate=None,
    up="fc1",
    down="fc2",
    final_norm="model.decoder.final_layer_norm",
    positions="model.decoder.embed_positions",
    project_in="model.decoder.project_in",
    project_out="model.decoder.project_out",
)
FALCON = Names(
    embedding="transformer.word_embeddings",
    layer="transformer.h.{}.",
    attention="self_attention.",
    qkv="query_key_value",
    output="dense",
    gate=None,
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    final_norm="transformer.ln_f",
)
MPT = Names(
    embedding="transformer.wte",
    layer="transformer.blocks.{}.",
    attention="attn.",
    attention_norm="norm_1",
    qkv="Wqkv",
    output="out_proj",
    mlp_norm="norm_2",
    gate=None,
    up="ffn.up_proj",
    down="ffn.down_proj",
    final_norm="transformer.norm_f",
)
NAMES = {
    "mpt": MPT,
    "gpt_neox": GPT_NEOX,
    "opt": OPT,
    "falcon": FALCON,
    "phi3": Names(qkv="qkv_proj", gate=None, gate_up="mlp.gate_up_proj"),
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
}


def names_of(config: PreTrainedConfig) -> Names:
    """Those of a configuration; Llama's where the family has none of its own."""
    if getattr(config, "new_decoder_architecture", False) and config.num_ln_in_parallel_attn != 1:
        return replace(FALCON, attention_norm="ln_attn", mlp_norm="ln_mlp")
    return NAMES.get(config.model_type, Names())


def kv_heads_of(config: PreTrainedConfig) -> int:
    """Falcon has one, some, or as many as query heads, by its switches."""
    if config.model_type == "falcon" and not config.new_decoder_architecture:
        return 1 if config.multi_query else config.num_attention_heads
    default = config.num_attention_heads
    return first_of(config, "num_key_value_heads", "num_kv_heads", default=default)


def is_parallel(config: PreTrainedConfig) -> bool:
    """Whether attention and MLP stand side by side."""
    if config.model_type == "falcon":
        return config.new_decoder_architecture or config.parallel_attn
    return getattr(config, "use_parallel_residual", False)


def has_alibi(config: PreTrainedConfig) -> bool:
    """Whether scores fall with distance."""
    return config.model_type == "mpt" or getattr(config, "alibi", False)


def attention_has_bias(config: PreTrainedConfig) -> bool:
    """Whether q, k and v have one."""
    if config.model_type == "qwen2":
        return True
    key = {"opt": "enable_bias", "falcon": "bias"}.get(config.model_type, "attention_bias")
    return bool(getattr(config, key, False))


def first_of(config: PreTrainedConfig, *keys: str, default=None):
    """The first of these settings that the configuration has."""
    for key in keys:
        value = getattr(config, key, None)
        if value is not None:
            return value
    return default
