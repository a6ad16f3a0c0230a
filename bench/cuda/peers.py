"""Others at the shapes of kernel_bench and model_bench: PyTorch's attention, FlashInfer's and
vLLM's where they are installed, the loops that operations on ragged batches replace, and a whole
decode by transformers. One JSON object a line.

python bench/cuda/peers.py [--tiny] [--device cuda]

Weights, keys and values are random. Who is missing is named with the reason. Never run on a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from cost_model import Shape, read_shape

SEQUENCES, PAGE_TOKENS = 8, 16
TINY = Shape("tiny", 2, 64, 96, 4, 2, 16, 160)


@dataclass(frozen=True)
class Setting:
    device: str
    shapes: list[Shape]
    context: int
    generated: int
    repeats: int


def write(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def milliseconds(setting: Setting, work: Callable[[], object]) -> dict[str, float]:
    """Median of runs, each after a flush of the L2 cache."""
    work()
    times = []
    on_card = setting.device == "cuda"
    flushed = torch.empty(128 << 20 if on_card else 1, dtype=torch.uint8, device=setting.device)
    for _ in range(setting.repeats):
        flushed.zero_()
        if on_card:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            start = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - start))
    return {"ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def random_heads(setting: Setting, *size: int) -> torch.Tensor:
    return torch.randn(*size, dtype=torch.bfloat16, device=setting.device)


def torch_sdpa(setting: Setting, shape: Shape) -> Callable[[], object]:
    places = setting.context + 1
    q = random_heads(setting, SEQUENCES, shape.q_heads, 1, shape.head_dim)
    k = random_heads(setting, SEQUENCES, shape.kv_heads, places, shape.head_dim)
    v = random_heads(setting, SEQUENCES, shape.kv_heads, places, shape.head_dim)
    attend = torch.nn.functional.scaled_dot_product_attention
    return lambda: attend(q, k, v, enable_gqa=True)


def paged(setting: Setting, shape: Shape) -> tuple[torch.Tensor, int]:
    """[pages, keys and values, page, kv_heads, head_dim], and pages of a sequence."""
    pages = -(-(setting.context + 1) // PAGE_TOKENS)
    size = (SEQUENCES * pages, 2, PAGE_TOKENS, shape.kv_heads, shape.head_dim)
    return random_heads(setting, *size), pages


def flashinfer(setting: Setting, shape: Shape) -> Callable[[], object]:
    import flashinfer

    cache, pages = paged(setting, shape)
    integers = {"dtype": torch.int32, "device": setting.device}
    workspace = torch.empty(128 << 20, dtype=torch.uint8, device=setting.device)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, "NHD", use_tensor_cores=True)
    last = (setting.context + 1) - (pages - 1) * PAGE_TOKENS
    wrapper.plan(
        torch.arange(SEQUENCES + 1, **integers) * pages,
        torch.randperm(SEQUENCES * pages, device=setting.device).int(),
        torch.full((SEQUENCES,), last, **integers),
        shape.q_heads,
        shape.kv_heads,
        shape.head_dim,
        PAGE_TOKENS,
        q_data_type=torch.bfloat16,
        kv_data_type=torch.bfloat16,
    )
    q = random_heads(setting, SEQUENCES, shape.q_heads, shape.head_dim)
    return lambda: wrapper.run(q, cache)


def vllm(setting: Setting, shape: Shape) -> Callable[[], object]:
    from vllm.vllm_flash_attn import flash_attn_varlen_func

    cache, pages = paged(setting, shape)
    keys, values = (cache[:, side].contiguous() for side in range(2))
    integers = {"dtype": torch.int32, "device": setting.device}
    table = torch.randperm(SEQUENCES * pages, device=setting.device).int().view(SEQUENCES, pages)
    starts = torch.arange(SEQUENCES + 1, **integers)
    lengths = torch.full((SEQUENCES,), setting.context + 1, **integers)
    q = random_heads(setting, SEQUENCES, shape.q_heads, shape.head_dim)
    return lambda: flash_attn_varlen_func(
        q,
        keys,
        values,
        max_seqlen_q=1,
        cu_seqlens_q=starts,
        max_seqlen_k=setting.context + 1,
        seqused_k=lengths,
        causal=True,
        block_table=table,
    )


ATTENTION = {"torch_sdpa": torch_sdpa, "flashinfer": flashinfer, "vllm": vllm}


def attention_peers(setting: Setting) -> None:
    for peer, make in ATTENTION.items():
        if peer != "torch_sdpa" and importlib.util.find_spec(peer) is None:
            write(bench="peer_missing", peer=peer, why="not installed")
            continue
        for shape in setting.shapes:
            try:
                times = milliseconds(setting, make(setting, shape))
            except Exception as error:  # a peer that fails is told, and the next one measured
                write(bench="peer_missing", peer=peer, shape=shape.name, why=repr(error)[:300])
                continue
            write(bench="peer_decode_attention", peer=peer, shape=shape.name, **times)


@dataclass(frozen=True)
class Lists:
    """As operations_bench.cpp's."""

    lists: int = 32
    rows: int = 8192
    width: int = 128
    prompt: int = 8192
    chunk: int = 512
    window: int = 512


def pad(lists: list[torch.Tensor], places: int) -> torch.Tensor:
    out = lists[0].new_zeros(len(lists), places, lists[0].shape[1])
    for number, rows in enumerate(lists):
        out[number, places - len(rows) :] = rows
    return out


def scatter(x: torch.Tensor, index: list[int]) -> torch.Tensor:
    out = torch.zeros_like(x)
    for place, row in zip(index, x, strict=True):
        out[place] = row
    return out


def operation_loops(setting: Setting, sizes: Lists) -> dict[str, Callable[[], object]]:
    """What Python does without the operations, as NVIDIA's DMS code: lists one after another."""
    x = random_heads(setting, sizes.lists, sizes.rows, sizes.width)
    kept = torch.rand(sizes.lists, sizes.rows, device=setting.device) < 1 / 8
    lengths = torch.randint(1, sizes.rows, (sizes.lists,)).tolist()
    longest = int(kept.sum(1).max())
    order = torch.randperm(sizes.rows).tolist()
    return {
        "left_pad_2d": lambda: pad(
            [one[:length] for one, length in zip(x, lengths, strict=True)], sizes.rows
        ),
        "scatter_by_index": lambda: scatter(x[0], order),
        "bool_gather_left_pad": lambda: pad(
            [one[some] for one, some in zip(x, kept, strict=True)], longest
        ),
        "compact_by_bool": lambda: torch.cat(
            [one[some] for one, some in zip(x, kept, strict=True)]
        ),
        "dms_fused_prefill": chunked_prefill(setting, sizes),
    }


def chunked_prefill(setting: Setting, sizes: Lists, q_heads: int = 32, kv_heads: int = 8):
    """Chunk by chunk, SDPA under an explicit mask."""
    q = random_heads(setting, 1, q_heads, sizes.prompt, sizes.width)
    k, v = (random_heads(setting, 1, kv_heads, sizes.prompt, sizes.width) for _ in range(2))
    kept = torch.rand(kv_heads, 1, sizes.prompt, device=setting.device) < 1 / 8
    places = torch.arange(sizes.prompt, device=setting.device)

    def attend() -> torch.Tensor:
        parts = []
        for first in range(0, sizes.prompt, sizes.chunk):
            end = first + sizes.chunk
            ahead = places[first:end, None] - places[None, :end]
            sees = (ahead >= 0) & ((ahead <= sizes.window) | kept[:, :, :end])
            parts.append(
                torch.nn.functional.scaled_dot_product_attention(
                    q[:, :, first:end],
                    k[:, :, :end],
                    v[:, :, :end],
                    attn_mask=sees.repeat_interleave(q_heads // kv_heads, 0)[None],
                    enable_gqa=True,
                )
            )
        return torch.cat(parts, 2)

    return attend


def loops(setting: Setting, sizes: Lists) -> None:
    few = Setting(setting.device, [], 0, 0, min(5, setting.repeats))
    for name, work in operation_loops(setting, sizes).items():
        write(bench=name, way="torch", **milliseconds(few, work))


def decoder(setting: Setting, shape: Shape) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

    kind = Qwen3Config if shape.name.startswith("qwen3") else LlamaConfig
    config = kind(
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_attention_heads=shape.q_heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab,
        max_position_embeddings=131072,
    )
    with torch.device(setting.device):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        )
    return model.eval()


def transformers_decode(setting: Setting, shape: Shape) -> Iterable[dict[str, object]]:
    """A prompt of one sequence, then steps of eight over a cache of random keys and values."""
    from transformers import DynamicCache

    model = decoder(setting, shape)
    ids = torch.randint(1, shape.vocab, (1, setting.context), device=setting.device)
    few = Setting(setting.device, [], 0, 0, min(3, setting.repeats))
    times = milliseconds(few, lambda: model(ids, use_cache=False, logits_to_keep=1))
    yield {"bench": "peer_prefill", "context": setting.context, **times}
    cache = DynamicCache()
    size = (SEQUENCES, shape.kv_heads, setting.context, shape.head_dim)
    for layer in range(shape.layers):
        cache.update(random_heads(setting, *size), random_heads(setting, *size), layer)
    step = torch.ones(SEQUENCES, 1, dtype=torch.long, device=setting.device)
    steps = Setting(setting.device, [], 0, 0, setting.generated)
    times = milliseconds(steps, lambda: model(step, past_key_values=cache, use_cache=True))
    yield {"bench": "peer_decode", "step_ms": times["ms"], "context": setting.context}


def model_peers(setting: Setting) -> None:
    for shape in setting.shapes:
        fields = {"peer": "transformers", "shape": shape.name}
        try:
            for record in transformers_decode(setting, shape):
                write(**fields, **record)
        except Exception as error:  # as above
            write(bench="peer_missing", **fields, why=repr(error)[:300])
        if setting.device == "cuda":
            torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="to see that it works")
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        write(bench="peer_missing", peer="torch", why="this PyTorch sees no card")
        return
    setting, sizes = Setting(args.device, [TINY], 40, 2, 2), Lists(3, 70, 16, 96, 32, 32)
    if not args.tiny:
        shapes = [read_shape("llama-3.2-1b"), read_shape("qwen3-8b")]
        setting, sizes = Setting(args.device, shapes, 8192, 16, 20), Lists()
    with torch.inference_mode():
        attention_peers(setting)
        loops(setting, sizes)
        model_peers(setting)


if __name__ == "__main__":
    main()
