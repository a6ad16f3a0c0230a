"""What a step must move and compute: bytes and operations from a model's shape, nothing measured.

Counted: weights that a token's products read, keys and values that its attention reads, the tables
that find them. Not counted: activations, launches, what waits for what. So a time from here is a
bound that no program beats, and a ratio from here is what the bytes allow.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE_TOKENS = 32  # cuda/kernels/cache_view.h: kPageTokens
PAGE_UNIT = 256  # kPageUnit
SLACK = 32  # tokens beyond the window that stay exact (SlotView::slack)


@dataclass(frozen=True)
class Machine:
    """What a device reaches at best."""

    copy_bytes_s: float  # a device's own copy, bytes read and written
    flop_s: float  # a large bf16 product

    def seconds(self, byte_count: float, operations: float = 0.0) -> float:
        """Of work that is bound by the slower of the two."""
        return max(byte_count / self.copy_bytes_s, operations / self.flop_s)


H200 = Machine(copy_bytes_s=4.3e12, flop_s=800e12)


@dataclass(frozen=True)
class Shape:
    """Of a decoder with gated MLPs, from its config.json."""

    name: str
    layers: int
    hidden: int
    ffn: int
    q_heads: int
    kv_heads: int
    head_dim: int
    vocab: int

    @property
    def q_width(self) -> int:
        return self.q_heads * self.head_dim

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """[rows, columns] of a layer's products: qkv, o, gate and up, down."""
        kv_width = self.kv_heads * self.head_dim
        return [
            (self.q_width + 2 * kv_width, self.hidden),
            (self.hidden, self.q_width),
            (2 * self.ffn, self.hidden),
            (self.hidden, self.ffn),
        ]

    @property
    def body_weights(self) -> int:
        """Of all layers' products; each token multiplies all of them."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices)

    @property
    def heads(self) -> int:
        """KV heads of all layers: each has a cache of its own."""
        return self.layers * self.kv_heads


def read_shape(name: str) -> Shape:
    config = json.loads((CHECKOUT / "configs" / "shapes" / f"{name}.json").read_text())
    return Shape(
        name=name,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        ffn=config["intermediate_size"],
        q_heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        vocab=config["vocab_size"],
    )


def weight_bytes(shape: Shape, weights: str) -> float:
    """Read for one step, however many sequences share it: all layers and the head."""
    matrices = shape.layers * shape.matrices + [(shape.vocab, shape.hidden)]
    if weights == "bf16":
        return sum(2 * rows * columns for rows, columns in matrices)
    if weights == "fp8":  # a float32 scale a row
        return sum(rows * columns + 4 * rows for rows, columns in matrices)
    raise ValueError(f"no such weights: {weights}")


def entry_bytes(head_dim: int, survivors: str) -> int:
    """Key and value of one token in one head, with their scales."""
    if survivors == "bf16":
        return 4 * head_dim
    if survivors in ("fp8", "int8"):
        return 2 * head_dim + 4
    raise ValueError(f"no such survivors: {survivors}")


def page_bytes(head_dim: int, survivors: str) -> int:
    """As cache_view.h's."""
    size = PAGE_TOKENS * entry_bytes(head_dim, survivors)
    return -(-size // PAGE_UNIT) * PAGE_UNIT


@dataclass(frozen=True)
class Policy:
    """`none` keeps all; `random` with CR 8 keeps an eighth of what leaves the window."""

    window: int
    keep: float = 1.0
    survivors: str = "bf16"

    @property
    def exact(self) -> int:
        """Tokens that lie in the window once it is full, the newest among them."""
        return self.window + SLACK + 1

    def window_entries(self, tokens: int) -> int:
        return min(tokens, self.exact)

    def survivor_entries(self, tokens: int) -> float:
        return self.keep * max(0, tokens - self.exact)


def decode_kv_bytes(shape: Shape, policy: Policy, tokens: int) -> float:
    """Read by one sequence's step that makes `tokens` tokens: each entry once, and 4 bytes of a
    table for each page."""
    window, kept = policy.window_entries(tokens), policy.survivor_entries(tokens)
    exact = window * entry_bytes(shape.head_dim, "bf16")
    compact = kept * entry_bytes(shape.head_dim, policy.survivors)
    return shape.heads * (exact + compact + 4 * (window + kept) / PAGE_TOKENS)


def decode_operations(shape: Shape, policy: Policy, tokens: int) -> float:
    """Of one sequence's step."""
    seen = policy.window_entries(tokens) + policy.survivor_entries(tokens)
    products = 2 * (shape.body_weights + shape.vocab * shape.hidden)
    return products + 4 * shape.q_width * shape.layers * seen


def ring_pages(policy: Policy) -> int:
    """That the exact tokens lie in, wherever the first one stands in its page."""
    return -(-(policy.exact - 1) // PAGE_TOKENS) + 1


def held_kv_bytes(shape: Shape, policy: Policy, tokens: int) -> float:
    """Memory of one sequence's cache: pages in full (half of the last one is empty on the average),
    tables, fates."""
    kept = policy.survivor_entries(tokens)
    pages = (kept + (PAGE_TOKENS - 1) / 2) / PAGE_TOKENS if kept else 0.0
    ring = ring_pages(policy)
    tables = 4 * (ring + -(-tokens // PAGE_TOKENS)) + 4 * -(-tokens // 32) + 4
    held = ring * page_bytes(shape.head_dim, "bf16")
    held += pages * page_bytes(shape.head_dim, policy.survivors)
    return shape.heads * (held + tables)


def dense_kv_bytes(shape: Shape, tokens: int) -> int:
    """Of a plain bf16 cache with exactly so many places."""
    return shape.heads * tokens * entry_bytes(shape.head_dim, "bf16")


def visible_pairs(policy: Policy, tokens: int) -> float:
    """Keys that queries see, summed over a prompt's queries (semantics.md section 1)."""
    band = min(tokens, policy.window + 1)
    older = tokens - band  # of the last query; the first ones have none
    near = band * (band + 1) / 2 + older * band
    return near + policy.keep * older * (older + 1) / 2


def attention_operations(shape: Shape, policy: Policy, tokens: int) -> float:
    """Of a prompt, in all layers: two products of each query with each key it sees."""
    return 4 * shape.q_width * shape.layers * visible_pairs(policy, tokens)


def prefill_operations(shape: Shape, policy: Policy, tokens: int) -> float:
    """Of a prompt, the head for its last token only."""
    products = 2 * shape.body_weights * tokens + 2 * shape.vocab * shape.hidden
    return products + attention_operations(shape, policy, tokens)


def step_seconds(
    shape: Shape,
    policy: Policy,
    *,
    weights: str,
    context: int,
    concurrency: int,
    generated: int,
    machine: Machine = H200,
) -> float:
    """Of a decode step, the mean of `generated` ones after a prompt of `context` tokens."""
    tokens = [context + 1 + step for step in range(generated)]
    moved = weight_bytes(shape, weights)
    moved += concurrency * sum(decode_kv_bytes(shape, policy, n) for n in tokens) / generated
    operations = concurrency * sum(decode_operations(shape, policy, n) for n in tokens) / generated
    return machine.seconds(moved, operations)


def prefill_seconds(shape: Shape, policy: Policy, tokens: int, machine: Machine = H200) -> float:
    return machine.seconds(weight_bytes(shape, "bf16"), prefill_operations(shape, policy, tokens))


def attention_seconds(shape: Shape, policy: Policy, tokens: int, machine: Machine = H200) -> float:
    """Of a prompt's attention in all layers, bound by operations."""
    return attention_operations(shape, policy, tokens) / machine.flop_s
