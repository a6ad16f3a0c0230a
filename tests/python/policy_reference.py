"""Policies that rank what a cache holds, as the yardstick of the engine's.

Definitions as in kvpress (KnormPress, KeyDiffPress, LagKVPress, SnapKVPress, AdaKVPress,
TOVAPress), computed in float64 on the decoder of reference.py: all of a sequence at once, so that
no chunking can matter. Ranks are told together with how far each score lies from the cut: in
float32 what is near it may fall on the other side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
import torch

from reference import Reference, Request, visibility

SAFEGUARD = 0.20  # AdaKV's share of a head's fair budget that no other head can take


@dataclass(frozen=True)
class PromptPolicy:
    """Ranks the prompt's entries once, when all of it is computed; what comes later stays."""

    name: str  # of SCORES
    compression_ratio: float = 0.5
    budget_over: str = "head"  # "head" | "layer"
    window_size: int = 64  # snapkv: queries that vote, and entries that stay
    kernel_size: int = 5  # snapkv: average pooling along the entries
    n_sink: int = 4  # lagkv: first entries that are not compared
    lag_size: int = 128  # lagkv: entries of a partition
    cross_scoring: bool = False  # lagkv: scores of different partitions are compared as they are

    def arguments(self) -> str:
        """As --policy-args has them, but for those that are as by default."""
        given = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "name" and getattr(self, f.name) != f.default
        }
        return ",".join(f"{name}={str(value).lower()}" for name, value in given.items())


@dataclass(frozen=True)
class KnormThreshold:
    """Evicts each token whose key is longer than -threshold as it leaves the window."""

    threshold: float
    window: int


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


Policy = PromptPolicy | KnormThreshold | Tova | H2o


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


@dataclass(frozen=True)
class Moment:
    """One layer when a cut is due."""

    policy: PromptPolicy
    tokens: int  # computed so far
    keys: np.ndarray  # [kv_heads, tokens, d] after RoPE
    values: np.ndarray  # [kv_heads, tokens, d]
    scores: np.ndarray  # [q_heads, tokens, tokens], scaled; -inf where a query does not look
    held: np.ndarray  # bool [kv_heads, tokens]

    @property
    def group(self) -> int:
        return len(self.scores) // len(self.keys)


def knorm_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """Long keys are attended least."""
    return -np.linalg.norm(moment.keys[head, places], axis=-1)


def keydiff_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """Keys like the mean direction go first."""
    keys = moment.keys[head, places]
    directions = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    anchor = directions.mean(axis=0)
    return -directions @ (anchor / np.linalg.norm(anchor))


def lagkv_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """Channels in units of the next partition's range: who spreads them most."""
    policy, count = moment.policy, len(places)
    sink, lag = policy.n_sink, policy.lag_size
    scores = np.ones(count)
    scores[:sink] = np.finfo(np.float32).max
    if count < sink + 2 * lag:
        scores[sink:] = np.arange(max(count - sink, 0)) / max(count - sink, 1)
        return scores
    whole = (count - sink) // lag
    halves = []
    for rows in (moment.keys[head, places], moment.values[head, places]):
        parts = rows[sink : sink + whole * lag].reshape(whole, lag, -1)
        low, high = parts[1:].min(axis=1, keepdims=True), parts[1:].max(axis=1, keepdims=True)
        halves.append(softmax(((parts[:-1] - low) / (high - low)).std(axis=-1, ddof=1)))
    compared = (halves[0] + halves[1]) / 2
    if not policy.cross_scoring:
        compared = compared.argsort(axis=-1).argsort(axis=-1) / lag
    scores[sink : sink + (whole - 1) * lag] = compared.ravel()
    return scores


def average_pool(rows: np.ndarray, size: int) -> np.ndarray:
    """rows [n, entries]: means over `size` neighbours; beyond the ends are zeros that count."""
    side = size // 2
    padded = np.pad(rows, ((0, 0), (side, side)))
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=1).mean(-1)


def snapkv_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """What the window's queries attend; a prompt that is no longer than its window, which
    SnapKVPress refuses, stays whole."""
    policy, group = moment.policy, moment.group
    window = moment.tokens - policy.window_size
    scores = np.full(len(places), np.inf)
    before = places < window
    if before.any():
        rows = moment.scores[head * group : (head + 1) * group, window : moment.tokens]
        weights = softmax(np.where(moment.held[head], rows, -np.inf))
        votes = weights.mean(axis=1)[:, places[before]]
        scores[before] = average_pool(votes, policy.kernel_size).mean(axis=0)
    return scores


SCORES: dict[str, Callable[[Moment, int, np.ndarray], np.ndarray]] = {
    "knorm": knorm_scores,
    "keydiff": keydiff_scores,
    "lagkv": lagkv_scores,
    "snapkv": snapkv_scores,
}


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


def rank_per_head(scores: np.ndarray, count: int | np.ndarray) -> Ranked:
    """The `count` best of each head."""
    kept = np.zeros(scores.shape, bool)
    for row, stays, number in zip(scores, kept, np.broadcast_to(count, len(scores)), strict=True):
        stays[best_first(row)[:number]] = True
    margins = [margins_of(row, stays) for row, stays in zip(scores, kept, strict=True)]
    return Ranked(kept, np.stack(margins))


def rank_per_layer(
    scores: np.ndarray, count: int | np.ndarray, safe_count: int | np.ndarray | None = None
) -> Ranked:
    """AdaKV: `count` a head on average, the best of the layer; the safe ones of each head first."""
    heads, tokens = scores.shape
    count = np.broadcast_to(count, heads)
    if safe_count is None:
        safe_count = (count * SAFEGUARD).astype(int)
    safe = rank_per_head(scores, safe_count)
    raised = np.where(safe.kept, np.inf, scores)
    kept = np.zeros(heads * tokens, bool)
    kept[best_first(raised.ravel())[: count.sum()]] = True
    kept = kept.reshape(heads, tokens)
    margins = margins_of(raised, kept)
    # What was dropped may win a safe place as well as one in the layer; a safe entry goes only
    # where it loses its place and its score is not enough.
    margins[~kept] = np.minimum(margins, safe.margins)[~kept]
    margins[safe.kept] = np.maximum(margins_of(scores, kept), safe.margins)[safe.kept]
    return Ranked(kept, margins)


def cut(moment: Moment, begin: int) -> Ranked:
    """What stays of the entries from `begin` on; those before are left as they are."""
    policy, held = moment.policy, moment.held
    scores = np.where(held, np.inf, -np.inf)
    stays = np.zeros(len(held), int)
    for head in range(len(held)):
        places = np.flatnonzero(held[head, begin : moment.tokens]) + begin
        scores[head, places] = SCORES[policy.name](moment, head, places)
        stays[head] = int(len(places) * (1 - policy.compression_ratio))
        if np.isinf(scores[head, places]).all():
            stays[head] = len(places)
    untouched = held[:, :begin].sum(axis=1) + held[:, moment.tokens :].sum(axis=1)
    if policy.budget_over == "head":
        return rank_per_head(scores, stays + untouched)
    return rank_per_layer(scores, stays + untouched, (stays * SAFEGUARD).astype(int) + untouched)


@dataclass(frozen=True)
class RankedRequest(Request):
    """A pass of PolicyReference; what its layers hold is left in `layers`."""

    policy: Policy | None = None
    prompt: int = 0
    layers: list[Ranked] = field(default_factory=list)


class PolicyReference(Reference):
    """One model folder in float64 under a policy that ranks."""

    def hold(self, ids: list[int], policy: Policy, prompt: int | None = None) -> Held:
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
        elif isinstance(request.policy, KnormThreshold):
            visible = self._attend_window(layer, keys, request)
        else:
            visible = self._attend_prompt(keys, v.numpy(), scores, request)
        weights = softmax(np.where(visible.repeat(self.group, axis=0), scores, -np.inf))
        mixed = weights @ v.numpy().repeat(self.group, axis=0)
        return torch.from_numpy(mixed.transpose(1, 0, 2).reshape(tokens, -1))

    def _causal(self, layer: int, tokens: int) -> np.ndarray:
        """bool [query, key]."""
        ahead = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
        return (ahead >= 0) & (ahead < (self._sliding(layer) or tokens))

    def _attend_prompt(self, keys, values, scores, request: RankedRequest) -> np.ndarray:
        """bool [kv_heads, query, key]: the prompt sees all of itself, later tokens what stayed."""
        held = np.ones(keys.shape[:2], bool)
        margins = np.full(held.shape, np.inf)
        visible = np.ones((self.kv_heads, *scores.shape[1:]), bool)
        moment = Moment(request.policy, request.prompt, keys, values, scores, held)
        ranked = cut(moment, 0)
        margins = np.minimum(margins, ranked.margins)
        visible[:, request.prompt :] = ranked.kept[:, None, :]
        request.layers.append(Ranked(ranked.kept, margins))
        return visible

    def _attend_window(self, layer, keys, request: RankedRequest) -> np.ndarray:
        """bool [kv_heads, query, key]: the window, and beyond it what the threshold leaves."""
        threshold = request.policy.threshold
        scores = -np.linalg.norm(keys, axis=-1)
        evicted = torch.from_numpy(scores < threshold)
        request.layers.append(Ranked(~evicted.numpy(), np.abs(scores / threshold - 1)))
        tokens = keys.shape[1]
        return visibility(tokens, self._sliding(layer), request.policy.window, evicted).numpy()

    def first_key_norms(self, ids: list[int]) -> np.ndarray:
        """[kv_heads, tokens] of the first layer, before RoPE."""
        _, keys, _, _ = self._project(0, self.weights["model.embed_tokens.weight"][ids])
        return np.linalg.norm(keys.numpy(), axis=-1)

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
