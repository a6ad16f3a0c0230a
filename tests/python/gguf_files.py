"""Model folders and tokenizers written as GGUF, as llama.cpp's converter does it."""

from __future__ import annotations

import math
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from transformers import AutoConfig, AutoModelForCausalLM

import models

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K")
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """A tensor of transformers under llama.cpp's name."""
    stem, suffix = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[rest]}.{suffix}"
    return f"{NAMES[stem]}.{suffix}"


def to_pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """The converter's order of q's and k's rows: those that turn together beside one another."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def from_pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def random_k_blocks(kind: Type, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Bytes of a K type, any bits but for the scales: the values have a matrix's usual size."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows, columns // 256, block_bytes), dtype=np.uint8)
    size = 1.4 / math.sqrt(columns)

    def put(at: int, value: float) -> None:
        scales = np.float16(value) * rng.uniform(0.5, 1.0, blocks.shape[:2]).astype(np.float16)
        blocks[..., at : at + 2] = scales.astype(np.float16)[..., None].view(np.uint8)

    if kind == Type.Q6_K:
        put(208, size / (70 * 18))
    else:
        levels = 15 if kind == Type.Q4_K else 31
        put(0, size / (36 * levels / 3))
        put(2, size / (36 * levels / 3) * levels / 2)
    return blocks.reshape(rows, -1)


def quantised(values: np.ndarray, kind: Type, rng: np.random.Generator) -> np.ndarray:
    """A matrix in a type; K types, which the package cannot write, get random blocks instead."""
    if kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        return random_k_blocks(kind, *values.shape, rng)
    return gguf.quants.quantize(values, kind)


def add_settings(writer: gguf.GGUFWriter, config) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if config.model_type == "mistral" and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)


def rope_factors(config) -> np.ndarray:
    """Llama 3's scaling as the converter writes it."""
    rope = config.rope_parameters
    original = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for i in range(0, config.head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / config.head_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def write(folder: Path, path: Path, kind: str = "F32", seed: int = 0, add=None) -> torch.nn.Module:
    """Writes a folder's model with its matrices in `kind`, and returns what the file then holds as
    transformers' model in float64. `add(writer)` adds more."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    writer = gguf.GGUFWriter(path, ARCHITECTURES[config.model_type])
    add_settings(writer, config)
    if add:
        add(writer)
    rng = np.random.default_rng(seed)
    in_pairs = ARCHITECTURES[config.model_type] == "llama"
    tied = config.tie_word_embeddings
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tied and name == "lm_head.weight":
                continue
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
            paired = heads.get(name.split(".")[-2]) if in_pairs else None
            values = tensor.numpy()
            if paired:
                values = to_pairs(values, paired)
            stored = Type.F32 if values.ndim == 1 else Type[kind]
            data = values if stored == Type.F32 else quantised(values, stored, rng)
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(data), raw_dtype=stored)
            values = gguf.quants.dequantize(data, stored).reshape(values.shape)
            tensor.copy_(torch.from_numpy(from_pairs(values, paired) if paired else values.copy()))
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model.double()


def read_llama(path: Path) -> torch.nn.Module:
    """A file of the architecture llama as transformers' model in float64: the package's
    dequantised tensors under transformers' names."""
    reader = gguf.GGUFReader(path)

    def setting(key: str):
        return reader.fields[f"llama.{key}"].contents()

    stored = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    heads, kv_heads = setting("attention.head_count"), setting("attention.head_count_kv")
    config = AutoConfig.for_model(
        "llama",
        num_hidden_layers=setting("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        hidden_size=setting("embedding_length"),
        intermediate_size=setting("feed_forward_length"),
        vocab_size=len(stored["token_embd.weight"]),
        tie_word_embeddings="output.weight" not in stored,
        max_position_embeddings=setting("context_length"),
        rope_parameters={"rope_type": "default", "rope_theta": setting("rope.freq_base")},
        rms_norm_eps=setting("attention.layer_norm_rms_epsilon"),
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            values = stored[gguf_name(name)].copy()
            if "q_proj" in name or "k_proj" in name:
                values = from_pairs(values, heads if "q_proj" in name else kv_heads)
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))
    return model


def logits(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    """[tokens, vocab]."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def shape_for(family: str, **fixed) -> models.Shape:
    """A small model whose rows divide into blocks of 256."""
    sizes = {"q_heads": 4, "kv_heads": 2, "head_dim": 64, "hidden": 256, "ffn": 512}
    return models.Shape(family, **{**sizes, **fixed})
