"""ADMS (sink, compressed middle, recent) as the yardstick of the engine's: its definition in NumPy
and float64, one head at a time, with keys of every entry written out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from policy_scores import softmax
from reference import Reference, Request

K_MEANS_ROUNDS = 4
ATTENTION_QUERIES = 32

# What each kind of compressor has of the arguments that not all have.
OWN = {
    "low_rank": {"rank", "svd_max_tokens"},
    "vq": {"num_clusters", "anchor_mode"},
    "summary": {"anchor_mode"},
}


@dataclass(frozen=True)
class Adms:
    start_size: int = 3
    recent_size: int = 20
    compressed_budget: int = 18
    compression_interval: int = 8
    prompt_interval: int = 16
    importance_metric: str = "value_norm"
    importance_ratio: float = 0.5
    min_importance_tokens: int = 4
    coverage_priority: float = 0.3
    coverage_segments: int = 4
    compressor_type: str = "low_rank"
    rank: int = 4
    svd_max_tokens: int = 512
    num_clusters: int = 64
    anchor_mode: str = "mean"
    enable_pos_shift: bool = False
    use_adaptive_budget: bool = False

    def arguments(self) -> str:
        others = set().union(*OWN.values()) - OWN[self.compressor_type]
        given = {name: value for name, value in vars(self).items() if name not in others}
        pairs = [f"{name}={str(value).lower()}" for name, value in given.items()]
        return ",".join(["enable_dynamic_sink=false", *pairs])

    def exact(self, budget: int) -> int:
        share = int(self.importance_ratio * budget)
        return min(max(share, self.min_importance_tokens), budget)


@dataclass
class Entries:
    """Of one head's middle; keys before they are turned, but for those of a block."""

    positions: np.ndarray
    counts: np.ndarray
    keys: np.ndarray  # [n, d]
    values: np.ndarray  # [n, d]

    @staticmethod
    def none(d: int) -> Entries:
        return Entries(np.zeros(0, int), np.zeros(0, int), np.zeros((0, d)), np.zeros((0, d)))

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, places) -> Entries:
        return Entries(
            self.positions[places], self.counts[places], self.keys[places], self.values[places]
        )

    def joined(self, other: Entries) -> Entries:
        both = [
            np.concatenate(pair)
            for pair in zip(
                (self.positions, self.counts, self.keys, self.values),
                (other.positions, other.counts, other.keys, other.values),
                strict=True,
            )
        ]
        joined = Entries(*both)
        return joined.take(np.argsort(joined.positions, kind="stable"))


@dataclass
class Head:
    """What a head holds of its middle."""

    exact: list[int] = field(default_factory=list)  # positions, candidates among them
    merged: Entries | None = None
    block: Entries | None = None  # its keys are turned
    block_rank: int = 0
    block_place: int = 0
    dropped: int = 0
    planned_end: int = 0  # positions below it went through a plan that merged


def importance(policy: Adms, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of one head's exact entries, [n]."""
    if len(keys) == 0:
        return np.zeros(0)
    of_keys, of_values = np.linalg.norm(keys, axis=1), np.linalg.norm(values, axis=1)
    if policy.importance_metric == "key_norm":
        return of_keys
    if policy.importance_metric == "mixed":
        return of_values / of_values.mean() + of_keys / of_keys.mean()
    return of_values


def stay(policy: Adms, positions, scores, kept: int, begin: int, end: int) -> set[int]:
    """The positions that stay exact."""
    order = sorted(range(len(positions)), key=lambda i: (-scores[i], -i))
    quota = 0
    if policy.coverage_priority > 0:  # no stretch is lost
        quota = max(int(policy.coverage_priority * kept) // policy.coverage_segments, 1)
    room = [quota] * policy.coverage_segments
    chosen: list[int] = []
    for i in order:
        segment = (positions[i] - begin) * policy.coverage_segments // (end - begin)
        if room[segment] > 0 and len(chosen) < kept:
            room[segment] -= 1
            chosen.append(i)
    chosen += [i for i in order if i not in chosen][: kept - len(chosen)]
    return {positions[i] for i in chosen}


def budgets(policy: Adms, scores: list[np.ndarray], sizes: np.ndarray) -> list[int]:
    """By variance, no more than a head has a use for; the level of all others is found by
    halving."""
    heads = len(scores)
    if not policy.use_adaptive_budget:
        return [policy.compressed_budget] * heads
    total = min(policy.compressed_budget * heads, sizes.sum())
    least = min(policy.min_importance_tokens, total // heads)
    variances = np.array([s.var() if len(s) else 0.0 for s in scores])
    if not variances.any():
        variances = np.ones(heads)

    def levels(height: float) -> np.ndarray:
        return np.minimum(least + height * variances, sizes)

    low, high = 0.0, sizes.max() / variances[variances > 0].min()
    for _ in range(200):
        half = (low + high) / 2
        low, high = (half, high) if levels(half).sum() < total else (low, half)
    given = levels(high)
    if given.sum() < total - 0.5:  # heads that do not vary take the rest
        even = variances == 0
        low, high = 0.0, float(total)
        for _ in range(200):
            half = (low + high) / 2
            level = np.where(even, np.minimum(half, sizes), given)
            low, high = (half, high) if level.sum() < total else (low, half)
        given = np.where(even, np.minimum(high, sizes), given)
    whole = np.floor(given + 1e-6).astype(int)
    for i in sorted(range(heads), key=lambda i: whole[i] - given[i])[: total - whole.sum()]:
        whole[i] += 1
    return whole.tolist()


def anchors(policy: Adms, means: np.ndarray, begin: int, end: int) -> np.ndarray:
    count = len(means)
    even = np.array([begin + (2 * i + 1) * (end - begin) // (2 * count) for i in range(count)])
    if policy.anchor_mode == "grid":
        return even
    return (means + even) // 2 if policy.anchor_mode == "hybrid" else means


def merge(policy: Adms, points: Entries, groups: np.ndarray, begin: int, end: int) -> Entries:
    rows = []
    for group in np.unique(groups):
        of = points.take(groups == group)
        weights = of.counts / of.counts.sum()
        mean = math.floor((of.counts * of.positions).sum() / of.counts.sum() + 0.5)
        rows.append((mean, of.counts.sum(), weights @ of.keys, weights @ of.values))
    rows.sort(key=lambda row: row[0])
    merged = Entries(*(np.array(column) for column in zip(*rows, strict=True)))
    merged.positions = anchors(policy, merged.positions, begin, end)
    return merged


def k_means(points: Entries, clusters: int) -> np.ndarray:
    def scaled(rows):
        return rows / np.sqrt((rows**2).mean())

    features = np.concatenate([scaled(points.keys), scaled(points.values)], axis=1)
    centroids = features[[i * len(points) // clusters for i in range(clusters)]]
    groups = None
    for _ in range(K_MEANS_ROUNDS):
        distances = ((features[:, None] - centroids[None]) ** 2).sum(axis=2)
        found = distances.argmin(axis=1)
        if groups is not None and np.array_equal(found, groups):
            break
        groups = found
        for group in range(clusters):
            weights = points.counts * (groups == group)
            if weights.sum() > 0:
                centroids[group] = weights @ features / weights.sum()
    return groups


def truncated(rows: np.ndarray, rank: int) -> np.ndarray:
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


class AdmsHead:
    """One KV head of one layer over a whole sequence."""

    def __init__(self, policy: Adms, keys, values, turned, turn):
        """keys (before they are turned), values, turned: [tokens, d]."""
        self.policy, self.turn = policy, turn
        self.keys, self.values, self.turned = keys, values, turned
        d = keys.shape[1]
        self.held = Head(merged=Entries.none(d), block=Entries.none(d))
        self.taken_end = policy.start_size  # candidates before it went through a plan

    def ranked(self, tokens: int, sliding: int | None) -> list[int]:
        """Positions of the exact entries that the next query sees."""
        return [i for i in self.held.exact if not sliding or i > tokens - sliding]

    def scores(self, tokens: int, mass: np.ndarray | None, sliding: int | None) -> np.ndarray:
        self.take_candidates(tokens)
        ranked = self.ranked(tokens, sliding)
        if self.policy.importance_metric == "attention":
            return mass[ranked]
        return importance(self.policy, self.turned[ranked], self.values[ranked])

    def take_candidates(self, tokens: int) -> None:
        end = max(tokens - self.policy.recent_size, self.taken_end)
        self.held.exact += list(range(self.taken_end, end))
        self.taken_end = end

    def size(self, tokens: int, sliding: int | None) -> int:
        """Entries that the middle is worth."""
        held, d = self.held, self.keys.shape[1]
        of_block = math.ceil(held.block_rank * (len(held.block) + d) / d)
        return len(self.ranked(tokens, sliding)) + len(held.merged) + of_block

    def plan(self, tokens: int, scores: np.ndarray, budget: int, sliding: int | None) -> None:
        policy, held = self.policy, self.held
        begin = policy.start_size
        end = max(tokens - policy.recent_size, begin)
        size = self.size(tokens, sliding) if policy.use_adaptive_budget else end - begin
        if size <= budget:
            return
        ranked = self.ranked(tokens, sliding)
        kept = stay(policy, ranked, scores, policy.exact(budget), begin, end)
        leaving = [i for i in ranked if i not in kept]
        held.exact = [i for i in held.exact if i not in leaving]
        held.planned_end = end
        if not leaving:
            return
        rest = budget - policy.exact(budget)
        gone = Entries(
            np.array(leaving), np.ones(len(leaving), int), self.keys[leaving], self.values[leaving]
        )
        if policy.compressor_type == "low_rank":
            self.add_to_block(leaving, rest)
            return
        points = gone.joined(held.merged)
        if policy.compressor_type == "summary":
            groups = (points.positions - begin) * rest // (end - begin)
        else:
            groups = k_means(points, min(rest, policy.num_clusters, len(points)))
        held.merged = merge(policy, points, groups, begin, end)

    def add_to_block(self, leaving: list[int], budget: int) -> None:
        held, d = self.held, self.keys.shape[1]
        rank = min(self.policy.rank, d, max(budget // 2, 1))
        most = max(min(self.policy.svd_max_tokens, budget * d // rank - d), 0)
        ones = np.ones(len(leaving), int)
        gone = Entries(np.array(leaving), ones, self.turned[leaving], self.values[leaving])
        block = held.block.joined(gone)
        held.dropped += max(len(block) - most, 0)
        block = block.take(slice(max(len(block) - most, 0), None))
        if len(block):
            block.keys, block.values = truncated(block.keys, rank), truncated(block.values, rank)
        held.block_rank = min(rank, len(block))
        held.block = block

    def count(self) -> int:
        held = self.held
        return len(held.exact) + int(held.merged.counts.sum()) + len(held.block) + held.dropped

    def seen(self, query: int, sliding: int | None) -> tuple[np.ndarray, ...]:
        """What a query sees as it lies: positions [n], keys [n, d], whether it reads them far [n],
        values [n, d] and the logarithms of counts [n]."""
        policy, held = self.policy, self.held
        first = max(query - (sliding or query + 1) + 1, 0)
        shifts = policy.enable_pos_shift and held.planned_end > 0
        merged = held.merged
        recent = range(max(query - policy.recent_size, 0), query + 1)
        sinks = list(range(min(policy.start_size, recent[0])))
        candidates = range(self.taken_end, recent[0])
        middle = [i for i in held.exact if i < recent[0]]
        entries = [(i, self.turned[i], 0.0, self.values[i], policy.enable_pos_shift) for i in sinks]
        entries += [(i, self.turned[i], 0.0, self.values[i], False) for i in candidates]
        entries += [(i, self.turned[i], 0.0, self.values[i], False) for i in recent]
        exact = [(i, self.keys[i], 1, self.values[i]) for i in middle]
        others = list(zip(merged.positions, merged.keys, merged.counts, merged.values, strict=True))
        of_middle = sorted(exact + others, key=lambda entry: entry[0])
        places_end = policy.start_size + policy.compressed_budget
        for index, (position, key, count, value) in enumerate(of_middle):
            place = places_end - (len(of_middle) - index) if shifts else position
            key = self.turn(key[None], np.array([place]))[0]
            entries.append((position, key, math.log(count), value, shifts))
        block_keys = held.block.keys
        if shifts and len(held.block):
            distance = places_end - 1 - held.block.positions[-1]
            block_keys = self.turn(block_keys, np.full(len(block_keys), distance), plain=True)
        for position, key, value in zip(
            held.block.positions, block_keys, held.block.values, strict=True
        ):
            entries.append((position, key, 0.0, value, shifts))
        entries = [entry for entry in entries if entry[0] >= first]
        places, keys, logs, values, far = map(np.array, zip(*entries, strict=True))
        return places, keys, far, values, logs


@dataclass(frozen=True)
class AdmsRequest(Request):
    policy: Adms = field(default_factory=Adms)
    prompt: int = 0
    heads: list[AdmsHead] = field(default_factory=list)  # after the last token


class AdmsReference(Reference):
    """One model folder in float64 under ADMS."""

    def logits(self, ids: list[int], policy: Adms, prompt: int) -> tuple[np.ndarray, list]:
        request = AdmsRequest(policy=policy, prompt=prompt, first_prompt=prompt)
        return self.run(ids, request).logits, request.heads

    def _attend(self, layer, q, k, v, evicted, rope, request) -> torch.Tensor:
        policy = request.policy
        tokens = q.shape[1]
        places = torch.arange(tokens)
        far_places = places.clamp(
            max=policy.start_size + policy.compressed_budget + policy.recent_size
        )
        near = self._rotate_queries(q, places, rope).numpy()
        far = self._rotate_queries(q, far_places, rope).numpy()
        turned = self._rotate(k, places, rope).numpy()
        turn = partial(self._turn, rope=rope)
        heads = [
            AdmsHead(policy, k[h].numpy(), v[h].numpy(), turned[h], turn)
            for h in range(self.kv_heads)
        ]
        sliding = self._sliding(layer)
        mixed = np.zeros((self.q_heads, tokens, self.head_dim))
        for t in range(tokens):
            for h in range(self.q_heads):
                seen, keys, is_far, values, logs = heads[h // self.group].seen(t, sliding)
                scores = np.where(is_far, keys @ far[h, t], keys @ near[h, t]) * self.score_scale
                scores = scores + logs + self._bias(h, t, seen)
                mixed[h, t] = softmax(self._capped(torch.from_numpy(scores)).numpy()[None]) @ values
            self._plan(t + 1, heads, near, sliding, request)
        request.heads.extend(heads)
        return torch.from_numpy(mixed.transpose(1, 0, 2).reshape(tokens, -1))

    def _bias(self, q_head: int, query: int, places: np.ndarray) -> np.ndarray:
        """What ALiBi makes of distances, [n]."""
        origin = torch.tensor([query])
        biases = self._distance_biases(origin, torch.from_numpy(places), Request())
        return np.zeros(len(places)) if biases.dim() == 0 else biases[q_head, 0].numpy()

    def _plan(self, tokens: int, heads: list[AdmsHead], queries, sliding, request) -> None:
        policy = request.policy
        in_prompt = tokens <= request.prompt
        if tokens % (policy.prompt_interval if in_prompt else policy.compression_interval):
            return
        scores = []
        for h, head in enumerate(heads):
            of_group = queries[h * self.group : (h + 1) * self.group]
            mass = None
            if policy.importance_metric == "attention":
                head.take_candidates(tokens)
                mass = self._mass(tokens, head, of_group, sliding)
            scores.append(head.scores(tokens, mass, sliding))
        sizes = np.array([head.size(tokens, sliding) for head in heads])
        shares = budgets(policy, scores, sizes)
        for head, score, budget in zip(heads, scores, shares, strict=True):
            head.plan(tokens, score, budget, sliding)

    def _mass(self, tokens: int, head: AdmsHead, queries, sliding) -> np.ndarray:
        """[tokens]: what the last queries attend of what is held exactly, on average."""
        held = np.zeros(tokens, bool)
        held[: head.policy.start_size] = True
        held[head.held.exact] = True
        held[max(tokens - head.policy.recent_size, 0) :] = True
        first = max(tokens - ATTENTION_QUERIES, 0)
        ahead = np.arange(first, tokens)[:, None] - np.arange(tokens)[None, :]
        visible = held[None, :] & (ahead >= 0) & (ahead < (sliding or tokens))
        scores = queries[:, first:tokens] @ head.turned[:tokens].T * self.score_scale
        return softmax(np.where(visible, scores, -np.inf)).mean(axis=(0, 1))

    def _turn(self, rows, positions, rope, plain: bool = False) -> np.ndarray:
        """[n, d], each turned by its position [n]; plain: without the factor of cos and sin."""
        frequencies, factor = rope
        rope = (frequencies, 1.0 if plain else factor)
        return self._rotate(torch.from_numpy(rows)[None], torch.from_numpy(positions), rope)[
            0
        ].numpy()
