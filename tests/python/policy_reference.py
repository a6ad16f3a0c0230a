"""Policies that rank what a cache holds, as the yardstick of the engine's: knorm, snapkv and tova.

Definitions as in kvpress (KnormPress, SnapKVPress, AdaKVPress, TOVAPress), computed in float64 on
the decoder of reference.py: all of a sequence at once, so that no chunking can matter. Ranks are
told together with how far each score lies from the cut: in float32 what is near it may fall on the
other side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from reference import Reference, Request

SAFEGUARD = 0.20  # AdaKV's share of a head's fair budget that no other head can take


@dataclass(frozen=True)
class PromptPolicy:
    """Ranks the prompt's entries once, when all of it is computed; what comes later stays."""

    name: str  # "knorm" | "snapkv"
    compression_ratio: float = 0.5
    budget_over: str = "head"  # "head" | "layer"
    window_size: int = 64  # snapkv: queries that vote, and entries that stay
    kernel_size: int = 5  # snapkv: average pooling along the entries


@dataclass(frozen=True)
class Tova:
    """Holds `budget` entries a head, the same ones in every head of a layer: whenever the number of
    tokens is a multiple of `interval` and more are held, those that the last query attends least
    go, but never the newest."""

    budget: int
    interval: int = 1


@dataclass(frozen=True)
class H2o:
    """Holds `budget` entries a head: at the multiples of `interval` the newest half of the budget
    (the odd one with it) and, of the others, those that all queries so far attended most, a head's
    queries added up; each head for itself."""

    budget: int
    interval: int = 1


@dataclass
class Held:
    """What a sequence holds after its last token, and what it computed on the way."""

    logits: np.ndarray  # [tokens, vocab]
    kept: np.ndarray  # bool [layers, kv_heads, tokens]
    # [layers, kv_heads, tokens]: distance of an entry's score from the cut it came closest to,
    # as a share of the score there; inf where its score was never asked for
    margins: np.ndarray


class Ranked(NamedTuple):
    """One layer's entries after a cut; both [kv_heads, tokens]."""

    kept: np.ndarray  # bool
    margins: np.ndarray


def softmax(scores: np.ndarray) -> np.ndarray:
    """Along the last axis; -inf gives 0."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def knorm_scores(keys: np.ndarray) -> np.ndarray:
    """keys [kv_heads, tokens, d] after RoPE -> [kv_heads, tokens]; long keys are attended least."""
    return -np.linalg.norm(keys, axis=-1)


def average_pool(rows: np.ndarray, size: int) -> np.ndarray:
    """rows [n, entries]: means over `size` neighbours; beyond the ends are zeros that count."""
    side = size // 2
    padded = np.pad(rows, ((0, 0), (side, side)))
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=1).mean(-1)


def snapkv_scores(weights: np.ndarray, kv_heads: int, policy: PromptPolicy) -> np.ndarray:
    """weights: the prompt's attention [q_heads, tokens, tokens] -> [kv_heads, tokens]; inf in the
    window."""
    q_heads, tokens, _ = weights.shape
    before = tokens - policy.window_size
    scores = np.full((kv_heads, tokens), np.inf)
    if before > 0:
        pooled = average_pool(weights[:, before:, :before].mean(axis=1), policy.kernel_size)
        scores[:, :before] = pooled.reshape(kv_heads, q_heads // kv_heads, -1).mean(axis=1)
    return scores


def best_first(scores: np.ndarray) -> np.ndarray:
    """Indices of a list of scores from the highest; of equal ones the later comes first."""
    return np.lexsort((np.arange(len(scores)), scores))[::-1]


def margins_of(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """How far each score lies from the nearest on the other side of the cut, as a share of the
    scores there; 0 where both are infinite. Arrays of one shape."""
    if kept.all() or not kept.any():
        return np.full(scores.shape, np.inf)
    above, below = scores[kept].min(), scores[~kept].max()
    scale = max((abs(edge) for edge in (above, below) if np.isfinite(edge)), default=0.0) or 1.0
    with np.errstate(invalid="ignore"):
        distances = np.where(kept, scores - below, above - scores) / scale
    return np.nan_to_num(distances, nan=0.0, posinf=np.inf, neginf=-np.inf)


def rank_per_head(scores: np.ndarray, count: int) -> Ranked:
    """The `count` best of each head."""
    kept = np.zeros(scores.shape, bool)
    for head, row in enumerate(scores):
        kept[head, best_first(row)[:count]] = True
    margins = [margins_of(row, stays) for row, stays in zip(scores, kept, strict=True)]
    return Ranked(kept, np.stack(margins))


def rank_per_layer(scores: np.ndarray, count: int) -> Ranked:
    """AdaKV: `count` a head on average, the best of the layer; the safe ones of each head first."""
    heads, tokens = scores.shape
    safe = rank_per_head(scores, int(count * SAFEGUARD))
    raised = np.where(safe.kept, np.inf, scores)
    kept = np.zeros(heads * tokens, bool)
    kept[best_first(raised.ravel())[: heads * count]] = True
    kept = kept.reshape(heads, tokens)
    margins = margins_of(raised, kept)
    # What was dropped may win a safe place as well as one in the layer; a safe entry goes only
    # where it loses its place and its score is not enough.
    margins[~kept] = np.minimum(margins, safe.margins)[~kept]
    margins[safe.kept] = np.maximum(margins_of(scores, kept), safe.margins)[safe.kept]
    return Ranked(kept, margins)


def rank_prompt(scores: np.ndarray, policy: PromptPolicy) -> Ranked:
    """What stays of a prompt whose entries have these scores, [kv_heads, tokens]. A prompt that is
    no longer than its window, which SnapKVPress refuses, stays whole."""
    tokens = scores.shape[1]
    count = int(tokens * (1 - policy.compression_ratio))
    if policy.name == "snapkv" and tokens <= policy.window_size:
        count = tokens
    return (rank_per_layer if policy.budget_over == "layer" else rank_per_head)(scores, count)


@dataclass(frozen=True)
class RankedRequest(Request):
    """A pass of PolicyReference; what its layers hold is left in `layers`."""

    policy: PromptPolicy | Tova | H2o | None = None
    prompt: int = 0
    layers: list[Ranked] = field(default_factory=list)


class PolicyReference(Reference):
    """One model folder in float64 under a policy that ranks."""

    def hold(
        self, ids: list[int], policy: PromptPolicy | Tova | H2o, prompt: int | None = None
    ) -> Held:
        """Computes `ids`, of which the first `prompt` (or all) are the prompt."""
        prompt = len(ids) if prompt is None else prompt
        request = RankedRequest(policy=policy, prompt=prompt, first_prompt=prompt)
        result = self.run(ids, request)
        return Held(
            result.logits,
            np.stack([layer.kept for layer in request.layers]),
            np.stack([layer.margins for layer in request.layers]),
        )

    def _attend(self, layer, q, k, v, evicted, rope, request) -> torch.Tensor:
        tokens = q.shape[1]
        positions = torch.arange(tokens)
        keys = self._rotate(k, positions, rope).numpy()
        queries = self._rotate_queries(q, positions, rope).numpy()
        scores = queries @ keys.repeat(self.group, axis=0).transpose(0, 2, 1)
        scores = np.where(self._causal(layer, tokens), scores / math.sqrt(self.head_dim), -np.inf)
        if isinstance(request.policy, Tova):
            visible = self._attend_running(scores, request)
        elif isinstance(request.policy, H2o):
            visible = self._attend_heavy(scores, request)
        else:
            visible = self._attend_prompt(keys, scores, request)
        weights = softmax(np.where(visible.repeat(self.group, axis=0), scores, -np.inf))
        mixed = weights @ v.numpy().repeat(self.group, axis=0)
        return torch.from_numpy(mixed.transpose(1, 0, 2).reshape(tokens, -1))

    def _causal(self, layer: int, tokens: int) -> np.ndarray:
        """bool [query, key]."""
        ahead = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
        return (ahead >= 0) & (ahead < (self._sliding(layer) or tokens))

    def _attend_prompt(self, keys, scores, request: RankedRequest) -> np.ndarray:
        """bool [kv_heads, query, key]: the prompt sees all of itself, later tokens what stayed."""
        end, policy = request.prompt, request.policy
        if policy.name == "knorm":
            ranked = rank_prompt(knorm_scores(keys[:, :end]), policy)
        else:
            weights = softmax(scores[:, :end, :end])
            ranked = rank_prompt(snapkv_scores(weights, self.kv_heads, policy), policy)
        later = ((0, 0), (0, scores.shape[1] - end))
        kept = np.pad(ranked.kept, later, constant_values=True)
        margins = np.pad(ranked.margins, later, constant_values=np.inf)
        request.layers.append(Ranked(kept, margins))
        visible = np.ones((self.kv_heads, *scores.shape[1:]), bool)
        visible[:, end:] = kept[:, None, :]
        return visible

    def _attend_running(self, scores, request: RankedRequest) -> np.ndarray:
        """bool [kv_heads, query, key]: each query sees what was held before it, and itself."""
        tokens = scores.shape[1]
        held = np.zeros(tokens, bool)
        margins = np.full(tokens, np.inf)
        visible = np.zeros((tokens, tokens), bool)
        for token in range(tokens):
            held[token] = True
            visible[token] = held
            if (token + 1) % request.policy.interval == 0:
                row = np.where(held, scores[:, token], -np.inf)
                drop_least(softmax(row).mean(axis=0), token, request.policy.budget, held, margins)
        shape = (self.kv_heads, 1)
        request.layers.append(Ranked(np.tile(held, shape), np.tile(margins, shape)))
        return np.broadcast_to(visible, (self.kv_heads, tokens, tokens))

    def _attend_heavy(self, scores, request: RankedRequest) -> np.ndarray:
        """bool [kv_heads, query, key]: likewise, each KV head by what its own group attended."""
        tokens = scores.shape[1]
        visible = np.zeros((self.kv_heads, tokens, tokens), bool)
        held = np.zeros((self.kv_heads, tokens), bool)
        margins = np.full((self.kv_heads, tokens), np.inf)
        sums = np.zeros((self.kv_heads, tokens))
        newest = request.policy.budget - request.policy.budget // 2
        for token in range(tokens):
            held[:, token] = True
            visible[:, token] = held
            grouped = scores[:, token].reshape(self.kv_heads, self.group, tokens)
            row = np.where(held[:, None, :], grouped, -np.inf)
            sums += softmax(row).mean(axis=1)
            if (token + 1) % request.policy.interval:
                continue
            for head in range(self.kv_heads):
                recent = np.flatnonzero(held[head])[-newest:]
                ranked = sums[head].copy()
                ranked[recent] = np.inf
                drop_least(ranked, token, request.policy.budget, held[head], margins[head])
        request.layers.append(Ranked(held.copy(), margins))
        return visible


def drop_least(
    attention: np.ndarray, newest: int, budget: int, held: np.ndarray, margins: np.ndarray
) -> None:
    """Drops the least attended from `held` [tokens] until `budget` are left, and takes account of
    how narrow that was in `margins`."""
    if held.sum() <= budget:
        return
    places = np.flatnonzero(held)
    scores = np.where(places == newest, np.inf, attention[places])
    stays = np.zeros(len(places), bool)
    stays[best_first(scores)[:budget]] = True
    margins[places] = np.minimum(margins[places], margins_of(scores, stays))
    held[places[~stays]] = False


def assert_same_kept(ours: np.ndarray, held: Held, tolerance: float = 1e-4) -> None:
    """`ours` bool [layers, kv_heads, tokens]: as many entries of each layer, and the same ones but
    for those whose scores lie within `tolerance` of the cut."""
    assert ours.shape == held.kept.shape
    per_layer = ours.sum(axis=(1, 2)), held.kept.sum(axis=(1, 2))
    assert (per_layer[0] == per_layer[1]).all(), f"entries per layer {per_layer}"
    wrong = (ours != held.kept) & (held.margins > tolerance)
    assert not wrong.any(), f"{wrong.sum()} entries, first {np.argwhere(wrong)[0]} (l, head, token)"
