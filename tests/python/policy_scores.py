"""What entries are worth under the policies that rank a prompt, in float64 from the definitions of
kvpress's KnormPress, KeyDiffPress, LagKVPress, SnapKVPress, ExpectedAttentionPress and
CompactorPress, and the norms of its CriticalKVPress."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

import triattention_reference as triattention

BEST = float(np.finfo(np.float32).max)  # above all others, but within the budget


@dataclass(frozen=True)
class PromptPolicy:
    """Ranks the prompt's entries when all of it is computed; what comes later stays, but under a
    budget, which is kept. Under a chunk_length all is ranked as it comes, what came last alone."""

    name: str  # of SCORES, or of a wrapper of `base`
    compression_ratio: float = 0.5
    budget_over: str = "head"  # "head" | "layer" | "model"
    base: str = ""
    budget: int | None = None  # entries a head, instead of the ratio
    interval: int = 128  # under a budget: after a prompt it is cut to at the multiples of so many
    chunk_length: int | None = None
    critical: bool = False
    window_size: int = 64  # snapkv: queries that vote, and entries that stay
    kernel_size: int = 5  # snapkv: average pooling along the entries
    n_sink: int = 4  # lagkv: first entries that are not compared
    lag_size: int = 128  # lagkv: entries of a partition
    cross_scoring: bool = False  # lagkv: scores of different partitions are compared as they are
    n_future_positions: int = 512  # expected_attention
    use_covariance: bool = True  # expected_attention
    use_vnorm: bool = True  # expected_attention
    epsilon: float = 0.0  # expected_attention
    sink_size_start: int = 8  # compactor: first tokens that are not rated
    sink_size_end: int = 4  # compactor: likewise the last
    chunk_size: int = 256  # compactor: tokens that attend each other
    sketch_dimension: int = 48  # compactor
    blending: float | None = None  # compactor; None: the compression ratio
    mix_lambda: float = 0.1  # rkv: what attention counts beside redundancy
    count_prompt_tokens: bool = True  # triattention: the prompt's entries are part of the budget
    offset_max_length: int = 65536  # triattention

    @property
    def over(self) -> str:
        return "layer" if self.name == "adaptive" else self.budget_over

    @property
    def is_critical(self) -> bool:
        return self.critical or self.name == "criticalkv"

    @property
    def score(self) -> str:
        return self.name if self.name in SCORES else self.base or "snapkv"

    def moments(self, prompt: int, tokens: int) -> list[int]:
        """After how many of `tokens` tokens something is cut; the first `prompt` are a prompt."""
        if self.chunk_length:
            return sorted({*range(self.chunk_length, tokens + 1, self.chunk_length), prompt})
        if self.budget is None:
            return [prompt]
        return [prompt, *(n for n in range(prompt + 1, tokens + 1) if n % self.interval == 0)]

    def arguments(self) -> str:
        """As --policy-args has them, but for those that are as by default."""
        given = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "name" and getattr(self, f.name) != f.default
        }
        return ",".join(f"{name}={str(value).lower()}" for name, value in given.items())


def softmax(scores: np.ndarray) -> np.ndarray:
    """Along the last axis; -inf gives 0."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class LayerTensors:
    """What one layer computes of all tokens."""

    plain_queries: np.ndarray  # [q_heads, tokens, d] before RoPE
    plain_keys: np.ndarray  # [kv_heads, tokens, d] before RoPE
    queries: np.ndarray  # [q_heads, tokens, d] after RoPE
    keys: np.ndarray  # [kv_heads, tokens, d] after RoPE
    values: np.ndarray  # [kv_heads, tokens, d]
    scores: np.ndarray  # [q_heads, tokens, tokens], scaled; -inf where a query does not look
    rotate: Callable[[np.ndarray, np.ndarray], np.ndarray]  # [n, d] to positions [n]
    output: np.ndarray  # [hidden, q_heads * d]
    scale: float  # of q . k
    pairs: int  # of channels that turn
    # What ALiBi adds to the scaled scores of a query head at positions [n], beyond that at 0
    bias: Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Moment:
    """One layer when a cut is due."""

    policy: PromptPolicy
    begin: int  # where that began which has ended; `tokens` where nothing has
    tokens: int  # computed so far
    layer: LayerTensors
    held: np.ndarray  # bool [kv_heads, tokens]
    prompt: int = 0  # tokens of the prompt
    replayed: np.ndarray | None = None  # [kv_heads, prompt], what its repetition gave
    sliding: int | None = None  # the layer's own window
    queries: triattention.Queries | None = None  # triattention: a calibration's, not the sequence's

    @property
    def first_seen(self) -> int:
        """Of the entries that the next token sees; what has left the layer's window before it is
        neither ranked nor counted."""
        return max(self.tokens - self.sliding + 1, 0) if self.sliding else 0

    @property
    def keys(self) -> np.ndarray:
        return self.layer.keys

    @property
    def values(self) -> np.ndarray:
        return self.layer.values

    @property
    def group(self) -> int:
        return len(self.layer.scores) // len(self.keys)

    def first_query(self, newest: int) -> int:
        """Of the `newest` last ones, no more than have ended."""
        return max(self.tokens - newest, self.begin if self.begin < self.tokens else 0)


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
    scores[:sink] = BEST  # those of a later prompt; the first of all stay
    scores[places < sink] = np.inf
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
    window = moment.first_query(policy.window_size)
    scores = np.full(len(places), np.inf)
    before = places < window
    if before.any():
        rows = moment.layer.scores[head * group : (head + 1) * group, window : moment.tokens]
        weights = softmax(np.where(moment.held[head], rows, -np.inf))
        votes = weights.mean(axis=1)[:, places[before]]
        scores[before] = average_pool(votes, policy.kernel_size).mean(axis=0)
    return scores


def expected_attention_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """What queries like those so far, at the positions to come, are expected to attend."""
    policy, group, tokens = moment.policy, moment.group, moment.tokens
    width = moment.keys.shape[-1]
    ahead = np.arange(tokens, tokens + policy.n_future_positions)
    turn = np.stack(
        [
            moment.layer.rotate(np.tile(unit, (len(ahead), 1)), ahead).mean(0)
            for unit in np.eye(width)
        ],
        axis=1,
    )
    scores = np.full(len(places), np.inf)
    rated = places >= policy.n_sink
    keys, values = moment.keys[head, places[rated]], moment.values[head, places[rated]]
    if not rated.any():
        return scores
    weights = []
    for q_head in range(head * group, (head + 1) * group):
        seen = moment.layer.plain_queries[q_head, policy.n_sink : tokens]
        mean = turn @ seen.mean(axis=0)
        scale = moment.layer.scale
        logits = keys @ mean * scale
        if policy.use_covariance:
            spread = turn @ np.atleast_2d(np.cov(seen.T, bias=True)) @ turn.T
            logits += np.einsum("ni,ij,nj->n", keys, spread, keys) * scale**2 / 2
        weights.append(softmax(logits + moment.layer.bias(q_head, places[rated])))
    scores[rated] = np.mean(weights, axis=0)
    if policy.use_vnorm:
        scores[rated] = (scores[rated] + policy.epsilon) * np.linalg.norm(values, axis=-1)
    return scores


def mix(x: int) -> int:
    """SplitMix64's finaliser."""
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def normal_numbers(seed: int, count: int) -> np.ndarray:
    """Those of our sketch."""
    keys = [mix(seed ^ mix(index)) for index in range(count)]
    first, second = (
        np.array([mix(key + offset & (1 << 64) - 1) >> 11 for key in keys]) * 2.0**-53
        for offset in (0, 1)
    )
    return np.sqrt(-2 * np.log(1 - first)) * np.cos(2 * np.pi * second)


def leverage(rows: np.ndarray, sketch: int, seed: int) -> np.ndarray:
    random = normal_numbers(seed, rows.shape[1] * sketch).reshape(rows.shape[1], sketch)
    x = (rows - rows.mean(axis=0)) @ (random / math.sqrt(sketch))
    gram = x.T @ x + 1e-2 * np.eye(sketch)
    return (x * np.linalg.solve(gram, x.T).T).sum(axis=1)


def chunk_attention(
    queries: np.ndarray, keys: np.ndarray, size: int, bias: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """[n]: sums over the queries [n, d] of each chunk's softmax over its keys [n, d]; the last one
    is filled up with products of zero, of keys and of queries, as NonCausalAttnPress does. What
    ALiBi takes for a distance, it takes on both sides."""
    sums = []
    for begin in range(0, len(keys), size):
        products = queries[begin : begin + size] @ keys[begin : begin + size].T
        filled = np.zeros((size, size))
        filled[: len(products), : len(products)] = products
        places = bias(np.arange(begin, begin + size))
        filled -= np.abs(places[:, None] - places[None, :])
        sums.append(softmax(filled).sum(axis=0)[: len(products)])
    return np.concatenate(sums)


def z_score(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean()) / max(rows.std(ddof=1), 1e-6)


def distance_bias(moment: Moment, q_head: int, first: int, places: np.ndarray) -> np.ndarray:
    """In units of products of queries and keys, which Compactor does not scale."""
    return moment.layer.bias(q_head, first + places) / moment.layer.scale


def compactor_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """All heads' scores at once, of which one's are returned: they are scaled together. Where all
    tokens are held; those that have left the layer's window were attended, and are not rated."""
    policy, group, tokens = moment.policy, moment.group, moment.tokens
    first, end = policy.sink_size_start, tokens - policy.sink_size_end
    begin = max(first, moment.first_seen)
    scores = np.where(places < first, np.inf, BEST)
    if end - begin < 2:
        return scores
    leverages, attentions = [], []
    for each in range(len(moment.keys)):
        plain = moment.layer.plain_keys[each, begin:end]
        leverages.append(leverage(plain, policy.sketch_dimension, each))
        keys = moment.keys[each, first:end]
        heads = []
        for q_head in range(each * group, (each + 1) * group):
            queries = moment.layer.queries[q_head, first:end]
            bias = partial(distance_bias, moment, q_head, first)
            heads.append(chunk_attention(queries, keys, policy.chunk_size, bias))
        sums = np.mean(heads, axis=0)
        sizes = np.linalg.norm(moment.values[each, begin:end], axis=-1)
        attentions.append(average_pool((sums[begin - first :] * sizes)[None], 3)[0])
    blending = policy.compression_ratio if policy.blending is None else policy.blending
    rated = blending * z_score(np.stack(leverages)) + z_score(np.stack(attentions))
    scores[(places >= begin) & (places < end)] = rated[head]
    return scores


def rkv_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """R1KV.update_kv and cal_similarity of the authors' code."""
    policy, group = moment.policy, moment.group
    rated = max(len(places) - policy.window_size, 0)
    scores = np.full(len(places), np.inf)
    if rated == 0:
        return scores
    first = moment.first_query(policy.window_size)
    keys = moment.keys[head, places]
    heads = moment.layer.scores[head * group : (head + 1) * group, first : moment.tokens]
    logits = heads[:, :, places[:rated]].max(axis=0)
    attention = softmax(logits).mean(axis=0)
    side = policy.kernel_size // 2
    padded = np.pad(attention, side, constant_values=-np.inf)
    attention = np.lib.stride_tricks.sliding_window_view(padded, policy.kernel_size).max(-1)
    directions = keys / (np.linalg.norm(keys, axis=-1, keepdims=True) + 1e-8)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, 0)
    last = np.where(cosines > 0.5, np.arange(len(places)), 0).max(axis=1)
    cosines[np.arange(len(places)), last] = 0
    redundancy = softmax(cosines.mean(axis=0))
    mixed = policy.mix_lambda * attention - (1 - policy.mix_lambda) * redundancy[:rated]
    scores[:rated] = mixed
    return scores


def replay_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """KVzipPress: what the repetition attends at most; sinks stay. What has not been repeated, of
    an answer, is better than all but these."""
    scores = np.full(len(places), BEST / 2)
    repeated = places < moment.prompt
    scores[repeated] = moment.replayed[head, places[repeated]]
    scores[places < moment.policy.n_sink] = np.inf
    return scores


def triattention_scores(moment: Moment, head: int, places: np.ndarray) -> np.ndarray:
    """score_keys_for_round and _select_per_layer_perhead_independent of the authors' code, with the
    statistics of a calibration or of the sequence's own queries."""
    policy, group, tokens = moment.policy, moment.group, moment.tokens
    scores = np.full(len(places), np.inf)
    answer = places >= moment.prompt
    if not answer.any():
        return scores
    keys = moment.layer.plain_keys[head, places[answer]]
    offsets = 2 ** np.arange(int(math.log2(policy.offset_max_length)) + 1)
    if moment.queries is not None:
        expected = [
            triattention.score(moment.queries, q_head, keys, places[answer], tokens, offsets)
            for q_head in range(head * group, (head + 1) * group)
        ]
        scores[answer] = np.max([(x - x.mean()) / max(x.std(), 1e-6) for x in expected], axis=0)
        return scores
    rotate, half = moment.layer.rotate, moment.layer.pairs
    units = np.eye(keys.shape[-1])
    factors = np.linalg.norm(rotate(units, np.zeros(len(units))), axis=-1)  # of each channel
    sizes = factors[:half] ** 2 * np.hypot(keys[:, :half], keys[:, half : 2 * half])
    best = np.full(len(keys), -np.inf)
    for queries in moment.layer.plain_queries[head * group : (head + 1) * group, :tokens]:
        mean = queries.mean(axis=0)
        mean_sizes = np.hypot(queries[:, :half], queries[:, half : 2 * half]).mean(axis=0)
        total = np.zeros(len(keys))
        for offset in offsets:
            turned = rotate(np.tile(mean, (len(keys), 1)), tokens + offset - places[answer])
            total += (turned * keys) @ factors / len(offsets)
        total += sizes @ (mean_sizes - np.hypot(mean[:half], mean[half : 2 * half]))
        best = np.maximum(best, (total - total.mean()) / max(total.std(), 1e-6))
    scores[answer] = best
    return scores


SCORES: dict[str, Callable[[Moment, int, np.ndarray], np.ndarray]] = {
    "knorm": knorm_scores,
    "keydiff": keydiff_scores,
    "lagkv": lagkv_scores,
    "snapkv": snapkv_scores,
    "expected_attention": expected_attention_scores,
    "compactor": compactor_scores,
    "rkv": rkv_scores,
    "kvzip": replay_scores,
    "kvzip_plus": replay_scores,
    "triattention": triattention_scores,
}


def output_norms(moment: Moment) -> np.ndarray:
    """[kv_heads, tokens]: sums of absolute values of what the output projection makes of values."""
    width = moment.values.shape[-1]
    slices = moment.layer.output.reshape(len(moment.layer.output), -1, width).transpose(1, 0, 2)
    heads = [
        np.abs(moment.values[head // moment.group] @ part.T).sum(axis=-1)
        for head, part in enumerate(slices)
    ]
    return np.stack(heads).reshape(len(moment.keys), moment.group, -1).mean(axis=1)
