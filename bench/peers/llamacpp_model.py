"""Writes GGUF files of random weights in a Llama shape, with a vocabulary of fillers.

BF16 is written here; the other types are made of it by llama.cpp's own quantiser.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import llama_cpp as ll
import numpy as np
from common import Shape

BLOCK = 1 << 22  # weights drawn once and repeated: values do not matter, only that they are sane
QUANTISED = {"q8_0": ll.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": ll.LLAMA_FTYPE_MOSTLY_Q4_0}
BF16 = gguf.GGMLQuantizationType.BF16


def random_bf16(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` normal weights of deviation 0.02 as BF16 bits, uint16 [count]."""
    block = (0.02 * rng.standard_normal(min(count, BLOCK), dtype=np.float32)).view(np.uint32)
    return np.resize((block >> 16).astype(np.uint16), count)


def matrices(shape: Shape) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and (rows, columns) of each matrix, in GGUF's names."""
    yield "token_embd", (shape.vocab, shape.hidden)
    if not shape.tied:
        yield "output", (shape.vocab, shape.hidden)
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_q", (queries, shape.hidden)
        yield f"blk.{layer}.attn_k", (keys, shape.hidden)
        yield f"blk.{layer}.attn_v", (keys, shape.hidden)
        yield f"blk.{layer}.attn_output", (shape.hidden, queries)
        yield f"blk.{layer}.ffn_gate", (shape.ffn, shape.hidden)
        yield f"blk.{layer}.ffn_up", (shape.ffn, shape.hidden)
        yield f"blk.{layer}.ffn_down", (shape.hidden, shape.ffn)


def norms(shape: Shape) -> Iterator[str]:
    """Names of the norms' weights, each of [hidden]."""
    yield "output_norm"
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm"
        yield f"blk.{layer}.ffn_norm"


def llama3_factors(shape: Shape) -> np.ndarray | None:
    """Divisors of the rotary frequencies under "llama3" scaling, float32 [head_dim / 2]."""
    scaling = shape.rope_scaling
    if scaling is None:
        return None
    if scaling["rope_type"] != "llama3":
        raise ValueError(f"rope_type {scaling['rope_type']} is not written here, only llama3")
    original = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    exponents = np.arange(0, shape.head_dim, 2) / shape.head_dim
    turns = original / (2 * np.pi * shape.rope_theta**exponents)  # within the original context
    kept = np.clip((turns - low) / (high - low), 0, 1)  # 1: as trained, 0: fully stretched
    return (1 / (kept + (1 - kept) / scaling["factor"])).astype(np.float32)


def add_settings(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """The hyperparameters llama.cpp reads."""
    writer.add_name(shape.name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_eps)


def add_vocabulary(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """A SentencePiece-style vocabulary: three special tokens, 256 bytes, unused fillers."""
    kinds = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256
    fillers = shape.vocab - len(tokens)
    tokens += [f"<filler_{index}>" for index in range(fillers)]
    types += [kinds.NORMAL] * fillers
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * shape.vocab)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def write_model(shape: Shape, path: Path) -> None:
    """Writes the file under a temporary name first, so that a broken run leaves none behind."""
    rng = np.random.default_rng(0)
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, "llama", use_temp_file=False)
    add_settings(writer, shape)
    add_vocabulary(writer, shape)
    for name, dims in matrices(shape):
        bits = random_bf16(dims[0] * dims[1], rng).reshape(dims).view(np.uint8)
        writer.add_tensor(f"{name}.weight", bits, raw_dtype=BF16)
    for name in norms(shape):
        writer.add_tensor(f"{name}.weight", np.ones(shape.hidden, np.float32))
    factors = llama3_factors(shape)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(path)


def model_file(shape: Shape, models: Path, weights: str) -> Path:
    """The file with weights of the type, made if it is not there."""
    path = models / f"{shape.name}-{weights}.gguf"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    if weights == "bf16":
        write_model(shape, path)
        return path
    params = ll.llama_model_quantize_default_params()
    params.ftype = QUANTISED[weights]
    unfinished = path.with_suffix(".part")
    plain = model_file(shape, models, "bf16")
    if ll.llama_model_quantize(str(plain).encode(), str(unfinished).encode(), params) != 0:
        raise RuntimeError(f"llama_model_quantize refused {plain}")
    unfinished.rename(path)
    return path
