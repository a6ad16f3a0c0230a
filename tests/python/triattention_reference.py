"""The calibration of TriAttention in PyTorch and NumPy, by its definition (arXiv 2604.04921 and the
code of its authors): complex queries before RoPE, their means and mean sizes, and what they make of
a key."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from family_names import kv_heads_of
from reference import DTYPE, Reference, load_weights

NAME = "model.layers.{}.self_attn.triattention."


@dataclass(frozen=True)
class Queries:
    """What is known of one layer's queries before RoPE."""

    mean: np.ndarray  # complex [q_heads, pairs]
    sizes: np.ndarray  # [q_heads, pairs]: mean of |q_f|
    unturned: np.ndarray  # [q_heads, other channels]: mean
    frequencies: np.ndarray  # [pairs], angle per position
    factor: float = 1.0  # on cosines and sines

    def tensors(self, layer: int, pairs: int) -> dict[str, np.ndarray]:
        """As the adapter has them; with zeros for pairs that turn in other layers only."""
        parts = [self.mean.real, self.mean.imag, self.unturned]
        name = NAME.format(layer)
        sizes = np.pad(self.sizes, ((0, 0), (0, pairs - self.sizes.shape[1])))
        return {
            name + "q_mean": np.concatenate(parts, axis=1).astype(np.float32),
            name + "q_abs_mean": sizes.astype(np.float32),
        }


def all_tensors(layers: list[Queries]) -> dict[str, np.ndarray]:
    """Of a whole adapter."""
    pairs = max(len(queries.frequencies) for queries in layers)
    tensors: dict[str, np.ndarray] = {}
    for layer, queries in enumerate(layers):
        tensors |= queries.tensors(layer, pairs)
    return tensors


def from_tensors(folder: Path, layer: int, rope: tuple[torch.Tensor, float]) -> Queries:
    """What an adapter says."""
    tensors = load_file(folder / "adapter.safetensors")
    mean = tensors[NAME.format(layer) + "q_mean"].astype(np.float64)
    frequencies, factor = rope
    pairs = len(frequencies)
    return Queries(
        mean[:, :pairs] + 1j * mean[:, pairs : 2 * pairs],
        tensors[NAME.format(layer) + "q_abs_mean"][:, :pairs].astype(np.float64),
        mean[:, 2 * pairs :],
        frequencies.numpy(),
        factor,
    )


def score(
    queries: Queries,
    head: int,
    keys: np.ndarray,
    positions: np.ndarray,
    now: int,
    offsets: np.ndarray,
) -> np.ndarray:
    """What one query head expects to attend of keys [n, d] before RoPE; `now` tokens are computed.
    Channels that do not turn give their product whatever the distance."""
    pairs = len(queries.frequencies)
    k = keys[:, :pairs] + 1j * keys[:, pairs : 2 * pairs]
    mean, sizes = queries.mean[head], queries.sizes[head]
    phase = np.angle(mean * k.conj())
    distance = (now - positions)[:, None] + offsets
    turned = np.cos(distance[:, :, None] * queries.frequencies + phase[:, None, :]).mean(axis=1)
    expected = np.abs(mean) * np.abs(k) * turned + (sizes - np.abs(mean)) * np.abs(k)
    return queries.factor**2 * expected.sum(axis=1) + keys[:, 2 * pairs :] @ queries.unturned[head]


def base_sum(folder: Path) -> str:
    """Of the norms before attention and the last one."""
    reference = Reference(folder)
    names = [
        reference.names.layer.format(layer) + reference.names.attention_norm
        for layer in range(reference.config.num_hidden_layers)
    ]
    weights, total = load_weights(folder), 0
    for name in [*names, reference.names.final_norm]:
        total = zlib.crc32(weights[name + ".weight"].numpy().astype("<f4").tobytes(), total)
    return f"{total:08x}"


def write_adapter(base: Path, out: Path, layers: list[Queries], tokens: int = 1000) -> Path:
    """By the format's description in docs/model-folders.md."""
    reference = Reference(base)
    config = reference.config
    fields = {
        "format": "dms-adapter",
        "version": 1,
        "model_type": config.model_type,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": kv_heads_of(config),
        "num_attention_heads": config.num_attention_heads,
        "head_dim": reference.head_dim,
        "triattention_tokens": tokens,
        "triattention_base": base_sum(base),
    }
    out.mkdir()
    (out / "adapter_config.json").write_text(json.dumps(fields))
    save_file(all_tensors(layers), out / "adapter.safetensors")
    return out


def random_queries(base: Path, seed: int) -> list[Queries]:
    """Such as no sequence of the model has, another for each head."""
    reference, rng = Reference(base), np.random.default_rng(seed)
    layers = []
    for layer in range(reference.config.num_hidden_layers):
        frequencies, factor = reference._rope_frequencies(layer, 1)
        pairs, heads = len(frequencies), reference.q_heads
        mean = rng.normal(size=(heads, pairs)) + 1j * rng.normal(size=(heads, pairs))
        rest = rng.normal(size=(heads, reference.head_dim - 2 * pairs))
        sizes = np.abs(mean) + rng.exponential(size=mean.shape)
        layers.append(Queries(mean, sizes, rest, frequencies.numpy(), factor))
    return layers


def gather(folder: Path, texts: list[list[int]]) -> list[Queries]:
    """Of transformers' model in float64, from what its projections, and norms of heads, give."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPE).eval()
    reference = Reference(folder)
    layers = getattr(model.base_model, "layers", None) or model.base_model.h
    seen: list[list[torch.Tensor]] = [[] for _ in layers]
    for index, layer in enumerate(layers):
        attention = getattr(layer, "self_attn", None) or layer.attention
        watched, part = projection_of(attention, reference)
        watched.register_forward_hook(
            lambda module, inputs, output, index=index, part=part: seen[index].append(part(output))
        )
    with torch.no_grad():
        for ids in texts:
            model(torch.tensor([ids]), use_cache=False)
    return [
        statistics(torch.cat(parts).numpy(), *reference._rope_frequencies(index, 1))
        for index, parts in enumerate(seen)
    ]


def projection_of(attention: torch.nn.Module, reference: Reference):
    """The module after which queries are what RoPE will turn, and how they lie in its output:
    [tokens, q_heads, d]."""
    heads, width = reference.q_heads, reference.head_dim
    if hasattr(attention, "q_norm") and reference.config.model_type.startswith("gemma"):
        return attention.q_norm, lambda output: output.transpose(1, 2).reshape(-1, heads, width)
    if hasattr(attention, "q_norm"):
        return attention.q_norm, lambda output: output.reshape(-1, heads, width)
    if hasattr(attention, "q_proj"):
        return attention.q_proj, lambda output: output.reshape(-1, heads, width)
    if hasattr(attention, "qkv_proj"):  # one after the other
        return attention.qkv_proj, lambda output: output[..., : heads * width].reshape(
            -1, heads, width
        )
    return attention.query_key_value, lambda output: (  # head by head
        output.reshape(-1, heads, 3, width)[:, :, 0]
    )


def statistics(queries: np.ndarray, frequencies: torch.Tensor, factor: float) -> Queries:
    """queries: [tokens, q_heads, d] before RoPE."""
    pairs = len(frequencies)
    turning = queries[..., :pairs] + 1j * queries[..., pairs : 2 * pairs]
    return Queries(
        turning.mean(axis=0),
        np.abs(turning).mean(axis=0),
        queries[..., 2 * pairs :].mean(axis=0),
        frequencies.numpy(),
        factor,
    )
