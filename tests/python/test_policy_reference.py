"""The policies' reference against transformers: kvpress's steps in torch on eager attention
weights, and caches that are really cut down."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, DynamicCache

import models
from harness import assert_close
from policy_reference import (
    PolicyReference,
    PromptPolicy,
    Ranked,
    Tova,
    assert_same_kept,
    rank_per_head,
    rank_per_layer,
)
from reference import Reference

GROUPS = (1, 2, 3, 5, 8)
# Around snapkv's window, where nothing or hardly anything votes, and around pages of 32.
PROMPTS = (65, 66, 67, 70, 96, 127, 129, 150)


def eager(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    ).eval()


def tiny_shape(rng: random.Random, group: int) -> models.Shape:
    kv_heads = rng.choice([1, 2, 3]) if group < 4 else 1
    return models.random_shape(
        rng,
        family=rng.choice(["llama", "qwen3"]),
        layers=2,
        kv_heads=kv_heads,
        q_heads=kv_heads * group,
        head_dim=rng.choice([6, 10, 24, 40]),
        hidden=kv_heads * group * 12,
        rope="default",
        dtype="float32",
    )


def press_scores(policy: PromptPolicy, weights: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """One layer's, step by step as the presses do: weights [q_heads, tokens, tokens], keys
    [kv_heads, tokens, d] after RoPE."""
    if policy.name == "knorm":
        return -keys.norm(dim=-1)
    window, kernel = policy.window_size, policy.kernel_size
    scores = weights[:, -window:, :-window].mean(dim=-2)
    scores = functional.avg_pool1d(scores, kernel_size=kernel, padding=kernel // 2, stride=1)
    scores = scores.view(len(keys), -1, scores.shape[-1]).mean(1)
    return functional.pad(scores, (0, window), value=scores.max().item() + 1)


def press_kept(policy: PromptPolicy, scores: torch.Tensor) -> torch.Tensor:
    """Which entries ScorerPress or AdaKVPress leaves; bool [kv_heads, tokens]. A ratio that cuts
    into snapkv's window, which stays as a whole here, is taken for one that comes to it."""
    heads, tokens = scores.shape
    n_kept = int(tokens * (1 - policy.compression_ratio))
    if policy.name == "snapkv":
        n_kept = max(n_kept, policy.window_size)
    if policy.budget_over == "head":
        kept = torch.zeros_like(scores, dtype=torch.bool)
        return kept.scatter(-1, scores.topk(n_kept, dim=-1).indices, True)
    top = scores.topk(int(n_kept * 0.20), dim=-1).indices
    scores = scores.scatter(-1, top, torch.finfo(scores.dtype).max)
    pruned = (-scores.reshape(-1)).topk(heads * (tokens - n_kept)).indices
    return torch.ones(heads * tokens, dtype=torch.bool).scatter(0, pruned, False).view(heads, -1)


def logits_under(model, ids: list[int], prompt: int, kept: np.ndarray) -> np.ndarray:
    """transformers' logits where tokens after the prompt see of it only what was kept in each layer
    and head."""
    tokens = len(ids)
    visible = torch.ones(kept.shape[0], model.config.num_key_value_heads, tokens, tokens).bool()
    visible[:, :, prompt:, :] = torch.from_numpy(kept)[:, :, None, :]
    visible &= torch.ones(tokens, tokens).tril().bool()
    group = model.config.num_attention_heads // model.config.num_key_value_heads
    masks = torch.zeros(visible.shape, dtype=torch.float64).masked_fill(~visible, float("-inf"))
    masks = masks.repeat_interleave(group, dim=1)

    def with_mask(mask):
        return lambda module, args, kwargs: (args, {**kwargs, "attention_mask": mask[None]})

    hooks = [
        layer.self_attn.register_forward_pre_hook(with_mask(mask), with_kwargs=True)
        for layer, mask in zip(model.model.layers, masks, strict=True)
    ]
    try:
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0].numpy()
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("name", "budget_over"), itertools.product(["knorm", "snapkv"], ["head", "layer"])
)
def test_prompt_policies_keep_what_kvpress_keeps(name, budget_over, group, rng, tmp_path):
    shape = tiny_shape(rng, group)
    folder = models.build(tmp_path / "m", shape, rng.randrange(1000))
    model, reference = eager(folder), PolicyReference(folder)
    for prompt in rng.sample(PROMPTS, 3):
        policy = PromptPolicy(name, rng.choice([0.1, 0.3, 0.5, 0.75]), budget_over)
        ids = models.random_ids(shape, prompt + 20, rng.randrange(1000))
        held = reference.hold(ids, policy, prompt)
        with torch.no_grad():
            out = model(torch.tensor([ids[:prompt]]), output_attentions=True, use_cache=True)
        oracle = [
            press_kept(policy, press_scores(policy, weights[0], layer.keys[0]))
            for weights, layer in zip(out.attentions, out.past_key_values.layers, strict=True)
        ]
        ours = np.ones(held.kept.shape, bool)
        ours[:, :, :prompt] = torch.stack(oracle).numpy()
        assert_same_kept(ours, held, tolerance=1e-5)
        expected = logits_under(model, ids, prompt, held.kept)
        assert_close(held.logits, expected, f"{shape} {policy} {prompt}", tolerance=1e-5)


def test_snapkv_keeps_a_prompt_that_is_no_longer_than_its_window(tmp_path):
    shape = models.Shape(layers=1)
    reference = PolicyReference(models.build(tmp_path / "m", shape))
    for prompt in (1, 63, 64):
        held = reference.hold(models.random_ids(shape, prompt), PromptPolicy("snapkv"))
        assert held.kept.all()
    ids = models.random_ids(shape, 90)
    held = reference.hold(ids, PromptPolicy("snapkv", compression_ratio=0.2))
    assert held.kept[:, :, 90 - 64 :].all()
    assert (held.kept.sum(axis=2) == 72).all()


def test_what_comes_after_a_prompt_does_not_change_what_it_left(tmp_path):
    shape = models.Shape()
    reference = PolicyReference(models.build(tmp_path / "m", shape))
    ids = models.random_ids(shape, 120)
    for name in ("knorm", "snapkv"):
        alone = reference.hold(ids[:90], PromptPolicy(name))
        longer = reference.hold(ids, PromptPolicy(name), prompt=90)
        assert np.array_equal(alone.kept, longer.kept[:, :, :90])
        assert longer.kept[:, :, 90:].all()
        np.testing.assert_allclose(alone.logits, longer.logits[:90], rtol=1e-9, atol=1e-9)


def tova_by_cutting(model, ids: list[int], policy: Tova) -> tuple[np.ndarray, np.ndarray]:
    """Token by token over a cache that is cut down each time: logits, and what it holds at last as
    bool [layers, kv_heads, tokens]."""
    cache = DynamicCache()
    held: list[list[int]] = [[] for _ in model.model.layers]
    logits = []
    for token, one in enumerate(ids):
        with torch.no_grad():
            out = model(
                torch.tensor([[one]]),
                past_key_values=cache,
                position_ids=torch.tensor([[token]]),
                output_attentions=True,
            )
        logits.append(out.logits[0, 0].numpy())
        for places, layer, weights in zip(held, cache.layers, out.attentions, strict=True):
            places.append(token)
            if (token + 1) % policy.interval or len(places) <= policy.budget:
                continue
            scores = weights[0, :, -1, :-1].mean(0)
            scores = functional.pad(scores, (0, 1), value=scores.max().item() + 1)
            stays = scores.topk(policy.budget).indices.sort().values
            places[:] = [places[index] for index in stays.tolist()]
            layer.keys = layer.keys[:, :, stays]
            layer.values = layer.values[:, :, stays]
    kept = np.zeros((len(held), model.config.num_key_value_heads, len(ids)), bool)
    for layer, places in enumerate(held):
        kept[layer][:, places] = True
    return np.stack(logits), kept


@pytest.mark.parametrize("interval", [1, 7, 32])
@pytest.mark.parametrize("group", GROUPS)
def test_tova_equals_a_cache_that_is_cut_down(group, interval, rng, tmp_path):
    shape = tiny_shape(rng, group)
    folder = models.build(tmp_path / "m", shape, rng.randrange(1000))
    ids = models.random_ids(shape, 80, rng.randrange(1000))
    for budget in (1, 20, 64):
        policy = Tova(budget, interval)
        logits, kept = tova_by_cutting(eager(folder), ids, policy)
        held = PolicyReference(folder).hold(ids, policy)
        assert_same_kept(kept, held, tolerance=1e-6)
        assert_close(held.logits, logits, f"{shape} {policy}", tolerance=1e-5)


def test_tova_holds_its_budget_and_the_newest(tmp_path):
    shape = models.Shape()
    reference = PolicyReference(models.build(tmp_path / "m", shape))
    ids = models.random_ids(shape, 50)
    for tokens in (10, 11, 12, 31, 50):
        held = reference.hold(ids[:tokens], Tova(budget=10)).kept
        assert (held.sum(axis=2) == min(tokens, 10)).all()
        assert held[:, :, -1].all()
        assert (held == held[:, :1]).all(), "all heads of a layer hold the same"


def test_the_whole_budget_changes_nothing(tmp_path):
    shape = models.Shape()
    folder = models.build(tmp_path / "m", shape)
    reference = PolicyReference(folder)
    ids = models.random_ids(shape, 80)
    dense = Reference(folder).run(ids).logits
    for policy in (PromptPolicy("knorm", 0.0), PromptPolicy("snapkv", 0.0), Tova(80)):
        held = reference.hold(ids, policy, prompt=70)
        assert held.kept.all()
        assert np.isinf(held.margins).all()
        np.testing.assert_allclose(held.logits, dense, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("ranks", [rank_per_head, rank_per_layer])
def test_only_entries_within_their_margin_can_change_sides(ranks, seed):
    random_numbers = np.random.default_rng(seed)
    for _ in range(200):
        scores = -random_numbers.uniform(1.0, 1.2, (3, 40))
        count = int(random_numbers.integers(1, 40))
        ranked: Ranked = ranks(scores, count)
        assert ranked.kept.sum() == 3 * count
        assert (ranked.margins >= 0).all()
        for size in (1e-4, 1e-3, 1e-2):
            noise = random_numbers.uniform(-size, size, scores.shape)
            flipped = ranks(scores * (1 + noise), count).kept != ranked.kept
            assert (ranked.margins[flipped] <= 2.5 * size).all()


def test_equal_scores_have_no_margin(tmp_path):
    shape = models.Shape(layers=1)
    reference = PolicyReference(models.build(tmp_path / "m", shape))
    held = reference.hold([7] * 60 + [9] * 20, PromptPolicy("knorm", compression_ratio=0.5))
    tied = held.margins[0, :, :60]
    # Before RoPE a token's key is the same everywhere, and turning it changes no norm.
    assert (tied < 1e-9).all() or (held.margins[0, :, 60:] < 1e-9).all()
