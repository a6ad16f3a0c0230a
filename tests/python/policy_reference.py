"""Policies that rank what a cache holds, as the yardstick of the engine's.

Definitions as in kvpress (policy_scores.py, ScorerPress, AdaKVPress, CriticalKVPress, KVzipPress's
cut, TOVAPress), computed in float64 on the decoder of reference.py: all of a sequence at once, so
that no chunking can matter. Ranks are told together with how far each score lies from the cut: in
float32 what is near it may fall on the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from policy_scores import SCORES, LayerTensors, Moment, PromptPolicy, output_norms, softmax
from reference import Reference, Request, visibility
from triattention_reference import Queries

PROTECTED = 1e300  # the score of what stays whatever the others' are; inf: what is not ranked
SAFEGUARD = 0.20  # AdaKV's share of a head's fair budget that no other head can take


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
    is_joint: bool = False  # layers were cut together, so that ties may fall in any of them
    is_repeated: bool = False  # cut again, after tokens that saw what the cuts before had left

    def sure_layers(self, tolerance: float) -> int:
        """Layers whose cuts can be compared: a tie within `tolerance` that fell otherwise changes
        what later tokens compute in the layers after it, and so what the next cut leaves there."""
        ties = np.flatnonzero((self.margins <= tolerance).any(axis=(1, 2)))
        return ties[0] + 1 if self.is_repeated and len(ties) else len(self.kept)


class Ranked(NamedTuple):
    """One layer's entries after a cut; both [kv_heads, tokens]."""

    kept: np.ndarray  # bool
    margins: np.ndarray


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
    scores: np.ndarray,
    count: int | np.ndarray,
    safe_count: int | np.ndarray | None = None,
    total: int | None = None,
) -> Ranked:
    """AdaKV: `count` a head on average, the best of the layer; the safe ones of each head first."""
    heads, tokens = scores.shape
    count = np.broadcast_to(count, heads)
    if safe_count is None:
        safe_count = (count * SAFEGUARD).astype(int)
    safe = rank_per_head(scores, safe_count)
    raised = np.where(safe.kept, np.inf, scores)
    kept = np.zeros(heads * tokens, bool)
    kept[best_first(raised.ravel())[: count.sum() if total is None else total]] = True
    kept = kept.reshape(heads, tokens)
    margins = margins_of(raised, kept)
    # What was dropped may win a safe place as well as one in the layer; a safe entry goes only
    # where it loses its place and its score is not enough.
    margins[~kept] = np.minimum(margins, safe.margins)[~kept]
    margins[safe.kept] = np.maximum(margins_of(scores, kept), safe.margins)[safe.kept]
    return Ranked(kept, margins)


@dataclass
class Rated:
    """The entries of some heads with their scores, inf where they stay in any case, and how many
    of each head stay were it alone."""

    scores: np.ndarray  # [heads, tokens]; -inf: not there
    ranked: np.ndarray  # [heads], entries that are ranked
    stays: np.ndarray  # [heads], of those; under a budget also more, which other heads may take
    untouched: np.ndarray  # [heads], of what is not
    norms: np.ndarray | None  # as output_norms

    @property
    def safe(self) -> np.ndarray:
        """[heads]: AdaKV's share that is each head's in any case."""
        return np.minimum((self.stays * SAFEGUARD).astype(int), self.ranked)


def rate(moment: Moment) -> Rated:
    policy, held = moment.policy, moment.held
    begin = max(0 if policy.budget else moment.begin, moment.first_seen)
    scores = np.where(held, np.inf, -np.inf)
    ranked, stays = np.zeros((2, len(held)), int)
    for head in range(len(held)):
        places = np.flatnonzero(held[head, begin : moment.tokens]) + begin
        scores[head, places] = np.minimum(SCORES[policy.score](moment, head, places), PROTECTED)
        protected = (scores[head, places] == PROTECTED).sum()
        stays[head] = policy.budget or int(len(places) * (1 - policy.compression_ratio))
        if policy.chunk_length:
            stays[head] = max(stays[head], 1)
        if not policy.count_prompt_tokens:
            stays[head] += protected
        stays[head] = max(stays[head], protected)
        ranked[head] = len(places)
    untouched = held[:, :begin].sum(axis=1) + held[:, moment.tokens :].sum(axis=1)
    return Rated(
        scores, ranked, stays, untouched, output_norms(moment) if policy.is_critical else None
    )


def cut(rated: Rated, policy: PromptPolicy) -> Ranked:
    """What stays."""
    scores = rated.scores
    count = np.minimum(rated.stays, rated.ranked) + rated.untouched
    if policy.over == "head":
        ranked = rank_per_head(scores, count)
    elif policy.over == "layer":
        total = min(rated.stays.sum(), rated.ranked.sum()) + rated.untouched.sum()
        ranked = rank_per_layer(scores, count, rated.safe + rated.untouched, total)
    else:
        ranked = rank_together(scores, rated, policy)
    return cut_again(rated, ranked, policy) if policy.is_critical else ranked


def rank_together(scores: np.ndarray, rated: Rated, policy: PromptPolicy) -> Ranked:
    """KVzip: the best of all heads together, without a safeguard."""
    there = ~np.isneginf(scores)
    dropped = max(rated.ranked.sum() - rated.stays.sum(), 0)
    if not policy.budget:
        dropped = int(rated.ranked.sum() * policy.compression_ratio)
    kept = np.zeros(scores.size, bool)
    kept[best_first(scores.ravel())[: there.sum() - dropped]] = True
    kept |= scores.ravel() >= PROTECTED
    kept = kept.reshape(scores.shape)
    return Ranked(kept, margins_of(scores, kept))


def cut_again(rated: Rated, first: Ranked, policy: PromptPolicy) -> Ranked:
    """CriticalKV: as many of each head as `first` keeps, half of them by score, the others by score
    times norm."""
    count = first.kept.sum(axis=1)
    by_score = (count - rated.untouched) // 2
    if policy.over == "layer":
        by_score = np.maximum(by_score, rated.safe)
    best = rank_per_head(rated.scores, by_score + rated.untouched)
    weighed = np.minimum((rated.scores + 1e-4) * rated.norms, np.finfo(np.float32).max)
    weighed[np.isneginf(rated.scores)] = -np.inf
    raised = np.where(best.kept, PROTECTED, weighed)
    second = rank_per_head(np.where(rated.scores >= PROTECTED, rated.scores, raised), count)
    # A narrow decision on the way may change how many or which the next one is about.
    margins = np.minimum(second.margins, min(first.margins.min(), best.margins.min()))
    return Ranked(second.kept, margins)


@dataclass(frozen=True)
class RankedRequest(Request):
    """A pass of PolicyReference; what its layers hold is left in `layers`."""

    policy: Policy | None = None
    prompt: int = 0
    layers: list[Ranked] = field(default_factory=list)
    planned: list[Ranked] = field(default_factory=list)  # of each layer, where all are cut at once
    rated: list[Rated] = field(default_factory=list)
    replayed: np.ndarray | None = None  # [layers, kv_heads, prompt]


class PolicyReference(Reference):
    """One model folder in float64 under a policy that ranks."""

    queries: list[Queries] | None = None  # of each layer, for triattention; or its own

    def hold(
        self,
        ids: list[int],
        policy: Policy,
        prompt: int | None = None,
        replayed: np.ndarray | None = None,
    ) -> Held:
        """Computes `ids`, of which the first `prompt` (or all) are the prompt. `replayed`: what its
        repetition gave, where the policy wants that."""
        prompt = len(ids) if prompt is None else prompt
        request = RankedRequest(
            policy=policy, prompt=prompt, first_prompt=prompt, replayed=replayed
        )
        if isinstance(policy, PromptPolicy) and policy.over == "model":
            request.planned.extend(self._plan_together(ids, request))
        result = self.run(ids, request)
        return Held(
            result.logits,
            np.stack([layer.kept for layer in request.layers]),
            np.stack([layer.margins for layer in request.layers]),
            is_joint=bool(request.planned),
            is_repeated=isinstance(policy, PromptPolicy)
            and len(policy.moments(prompt, len(ids))) > 1,
        )

    def _plan_together(self, ids: list[int], wanted: RankedRequest) -> list[Ranked]:
        """A cut over all layers for each."""
        policy, later = wanted.policy, len(ids) - wanted.prompt
        request = replace(wanted, layers=[], planned=[], rated=[])
        self.run(ids[: wanted.prompt], request)
        rated = request.rated
        joint = Rated(
            np.concatenate([layer.scores for layer in rated]),
            np.concatenate([layer.ranked for layer in rated]),
            np.concatenate([layer.stays for layer in rated]),
            np.concatenate([layer.untouched for layer in rated]),
            np.concatenate([layer.norms for layer in rated]) if policy.is_critical else None,
        )
        ranked = cut(joint, policy)
        return [
            Ranked(
                np.pad(kept, ((0, 0), (0, later)), constant_values=True),
                np.pad(margins, ((0, 0), (0, later)), constant_values=np.inf),
            )
            for kept, margins in zip(
                np.split(ranked.kept, len(rated)),
                np.split(ranked.margins, len(rated)),
                strict=True,
            )
        ]

    def _attend(self, layer, q, k, v, evicted, rope, request) -> torch.Tensor:
        tokens = q.shape[1]
        positions = torch.arange(tokens)
        keys = self._rotate(k, positions, rope).numpy()
        queries = self._rotate_queries(q, positions, rope).numpy()
        scores = queries @ keys.repeat(self.group, axis=0).transpose(0, 2, 1) * self.score_scale
        scores = torch.from_numpy(scores) + self._distance_biases(positions, positions, request)
        scores = self._capped(scores).numpy()
        scores = np.where(self._causal(layer, tokens), scores, -np.inf)
        if isinstance(request.policy, Tova):
            visible = self._attend_running(layer, scores, request)
        elif isinstance(request.policy, H2o):
            visible = self._attend_heavy(layer, scores, request)
        elif isinstance(request.policy, KnormThreshold):
            visible = self._attend_window(layer, keys, request)
        else:
            output = self.weights[self._in_attention(layer, self.names.output) + ".weight"].numpy()
            turn = partial(self._turn, rope=rope)
            tensors = LayerTensors(
                q.numpy(),
                k.numpy(),
                queries,
                keys,
                v.numpy(),
                scores,
                turn,
                output,
                self.score_scale,
                len(rope[0]),
                partial(self._bias_of, request),
            )
            visible = self._attend_prompt(layer, tensors, request)
        weights = softmax(np.where(visible.repeat(self.group, axis=0), scores, -np.inf))
        mixed = weights @ v.numpy().repeat(self.group, axis=0)
        return torch.from_numpy(mixed.transpose(1, 0, 2).reshape(tokens, -1))

    def _bias_of(self, request: Request, q_head: int, places: np.ndarray) -> np.ndarray:
        """What ALiBi adds to scaled scores at places [n] beyond what it adds at 0."""
        origin = torch.zeros(1, dtype=torch.long)
        biases = self._distance_biases(origin, torch.from_numpy(places), request)
        return np.zeros(len(places)) if biases.dim() == 0 else biases[q_head, 0].numpy()

    def _turn(self, rows: np.ndarray, positions: np.ndarray, rope) -> np.ndarray:
        """[n, d], each to its position [n]."""
        return self._rotate(torch.from_numpy(rows)[None], torch.from_numpy(positions), rope)[
            0
        ].numpy()

    def _causal(self, layer: int, tokens: int) -> np.ndarray:
        """bool [query, key]."""
        ahead = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
        return (ahead >= 0) & (ahead < (self._sliding(layer) or tokens))

    def first_seen(self, layer: int, tokens: int) -> int:
        """Of what the next of `tokens` tokens sees; what is older is neither ranked nor counted."""
        sliding = self._sliding(layer)
        return max(tokens - sliding + 1, 0) if sliding else 0

    def _attend_prompt(
        self, layer: int, tensors: LayerTensors, request: RankedRequest
    ) -> np.ndarray:
        """bool [kv_heads, query, key]: before a cut all is seen, after it what stayed."""
        policy, tokens = request.policy, tensors.keys.shape[1]
        held = np.ones((self.kv_heads, tokens), bool)
        margins = np.full(held.shape, np.inf)
        visible = np.ones((self.kv_heads, tokens, tokens), bool)
        last = 0
        for at in policy.moments(request.prompt, tokens):
            ended = last if policy.chunk_length else 0 if at == request.prompt else at
            replayed = None if request.replayed is None else request.replayed[layer]
            sliding = self._sliding(layer)
            queries = None if self.queries is None else self.queries[layer]
            moment = Moment(
                policy, ended, at, tensors, held, request.prompt, replayed, sliding, queries
            )
            last = at
            if request.planned:
                ranked = request.planned[layer]
            elif policy.over == "model":
                request.rated.append(rate(moment))
                continue
            else:
                ranked = cut(rate(moment), policy)
            held = held & ranked.kept
            margins = np.minimum(margins, ranked.margins)
            visible[:, at:] = held[:, None, :]
        request.layers.append(Ranked(held, margins))
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

    def _attend_running(self, layer, scores, request: RankedRequest) -> np.ndarray:
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
                seen = self.first_seen(layer, token + 1)
                attention = softmax(row).mean(axis=0)[seen:]
                drop_least(attention, request.policy.budget, held[seen : token + 1], margins[seen:])
        shape = (self.kv_heads, 1)
        request.layers.append(Ranked(np.tile(held, shape), np.tile(margins, shape)))
        return np.broadcast_to(visible, (self.kv_heads, tokens, tokens))

    def _attend_heavy(self, layer, scores, request: RankedRequest) -> np.ndarray:
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
            seen = self.first_seen(layer, token + 1)
            for head in range(self.kv_heads):
                recent = np.flatnonzero(held[head])[-newest:]
                ranked = sums[head].copy()
                ranked[recent] = np.inf
                there = held[head, seen : token + 1]
                drop_least(ranked[seen:], request.policy.budget, there, margins[head, seen:])
        request.layers.append(Ranked(held.copy(), margins))
        return visible


def drop_least(attention: np.ndarray, budget: int, held: np.ndarray, margins: np.ndarray) -> None:
    """Drops the least attended from `held` [tokens], but not the last, until `budget` are left, and
    takes account of how narrow that was in `margins`."""
    if held.sum() <= budget:
        return
    places = np.flatnonzero(held)
    scores = np.where(places == len(held) - 1, np.inf, attention[places])
    stays = np.zeros(len(places), bool)
    stays[best_first(scores)[:budget]] = True
    margins[places] = np.minimum(margins[places], margins_of(scores, stays))
    held[places[~stays]] = False


def assert_same_kept(ours: np.ndarray, held: Held, tolerance: float = 1e-4) -> None:
    """`ours` bool [layers, kv_heads, tokens]: as many entries of each layer, and the same ones but
    for those whose scores lie within `tolerance` of the cut."""
    assert ours.shape == held.kept.shape
    axes = (0, 1, 2) if held.is_joint else (1, 2)
    counts = ours.sum(axis=axes), held.kept.sum(axis=axes)
    assert np.array_equal(*counts), f"entries of each layer, or of all, {counts}"
    wrong = (ours != held.kept) & (held.margins > tolerance)
    wrong = wrong[: held.sure_layers(tolerance)]
    assert not wrong.any(), f"{wrong.sum()} entries, first {np.argwhere(wrong)[0]} (l, head, token)"
