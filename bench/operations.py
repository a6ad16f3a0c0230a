"""The operations on ragged batches beside the loops they replace: milliseconds, and how many times
as fast. The package must be built (pip install .), NumPy and PyTorch there.

python bench/operations.py [--threads N]

Loops are PyTorch's over sequences and heads, as in NVIDIA's DMS code; the prefill's yardstick is
PyTorch's attention under the explicit mask.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from dms_cpp import operations

BATCH, HEADS, TOKENS, DIM = 4, 8, 8192, 128
PREFILL_TOKENS, Q_HEADS, WINDOW, KEEP = 4096, 32, 256, 1 / 8


def milliseconds(work: Callable[[], object], rounds: int = 5) -> float:
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def row(name: str, ours: Callable[[], object], loop: Callable[[], object]) -> None:
    mine, theirs = milliseconds(ours), milliseconds(loop)
    print(f"| {name} | {mine:.1f} | {theirs:.1f} | {theirs / mine:.1f} |", flush=True)


def padded(lists: list[torch.Tensor], width: int) -> torch.Tensor:
    out = torch.zeros(len(lists), width, DIM)
    for number, rows in enumerate(lists):
        out[number, width - len(rows) :] = rows
    return out


def scattered(x: torch.Tensor, index: list[int]) -> torch.Tensor:
    out = torch.zeros_like(x)
    for place, one in zip(index, x, strict=True):
        out[place] = one
    return out


def ragged(rng: np.random.Generator) -> None:
    x = rng.standard_normal((BATCH, HEADS, TOKENS, DIM), dtype=np.float32)
    mask = rng.random(x.shape[:3]) < KEEP
    lists, kept = torch.from_numpy(x).flatten(0, 1), torch.from_numpy(mask).flatten(0, 1)
    lengths = rng.integers(1, TOKENS, len(lists))
    pairs = list(zip(lists, kept, strict=True))
    longest = int(kept.sum(1).max())
    row(
        "left_pad_2d",
        lambda: operations.left_pad_2d(lists.numpy(), lengths, TOKENS),
        lambda: padded([one[:length] for one, length in zip(lists, lengths, strict=True)], TOKENS),
    )
    order = rng.permutation(TOKENS)
    row(
        "scatter_by_index",
        lambda: operations.scatter_by_index(x[0, 0], order),
        lambda: scattered(lists[0], order.tolist()),
    )
    row(
        "bool_gather_left_pad",
        lambda: operations.bool_gather_left_pad(x, mask),
        lambda: padded([one[some] for one, some in pairs], longest),
    )
    row(
        "compact_by_bool",
        lambda: operations.compact_by_bool(x, mask),
        lambda: torch.cat([one[some] for one, some in pairs]),
    )


def prefill(rng: np.random.Generator) -> None:
    q = rng.standard_normal((PREFILL_TOKENS, Q_HEADS, DIM), dtype=np.float32)
    k, v = rng.standard_normal((2, PREFILL_TOKENS, HEADS, DIM), dtype=np.float32)
    evicted = rng.random((HEADS, PREFILL_TOKENS)) >= KEEP
    ahead = np.arange(PREFILL_TOKENS)[:, None] - np.arange(PREFILL_TOKENS)
    sees = torch.from_numpy((ahead >= 0) & ((ahead <= WINDOW) | ~evicted[:, None, :]))
    sees = sees.repeat_interleave(Q_HEADS // HEADS, 0)
    for dtype, name in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        heads = [torch.from_numpy(one).to(dtype).transpose(0, 1) for one in (q, k, v)]
        keys, values = (one.repeat_interleave(Q_HEADS // HEADS, 0) for one in heads[1:])
        row(
            f"dms_fused_prefill, {name}",
            lambda name=name: operations.dms_fused_prefill(q, k, v, evicted, WINDOW, dtype=name),
            lambda first=heads[0], keys=keys, values=values: (
                torch.nn.functional.scaled_dot_product_attention(first, keys, values, sees)
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="of PyTorch; ours are all cores")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    print("| operation | ms | loop, ms | times as fast |\n|---|---|---|---|")
    with torch.no_grad():
        ragged(rng)
        prefill(rng)


if __name__ == "__main__":
    main()
