"""bf16 on the demo model against transformers in float32, on real text."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from harness import DEMO

TOKENS = 4000
MAX_KLD_NATS = 1e-3
BF16_ROUNDING = 2.0**-8


@pytest.fixture(scope="module")
def oracle():
    return AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32)


@pytest.fixture(scope="module")
def book_ids(test_data) -> list[int]:
    """The first 4,000 tokens of a book that the demo model was not trained on."""
    with tarfile.open(test_data / "books" / "valid.tar.xz") as archive:
        name = sorted(entry.name for entry in archive if entry.isfile())[0]
        text = archive.extractfile(name).read().decode()
    return Tokenizer.from_file(str(DEMO / "tokenizer.json")).encode(text[:40_000]).ids[:TOKENS]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.log_softmax(torch.from_numpy(logits).double(), dim=-1).numpy()


def mean_kld(oracle_logits: np.ndarray, ours: np.ndarray) -> float:
    """KL(oracle || ours) in nats per token; both [tokens, vocab]."""
    p, q = log_softmax(oracle_logits), log_softmax(ours)
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def test_kld_over_a_book(score, oracle, book_ids):
    assert len(book_ids) == TOKENS
    with torch.no_grad():
        expected = oracle(torch.tensor([book_ids])).logits[0].numpy()
    scored = score(DEMO, book_ids, "--policy", "none", dtype="bf16")
    assert mean_kld(expected, scored.logits) < MAX_KLD_NATS


@pytest.mark.parametrize(
    ("kv_dtype", "most_nats", "most_bytes"), [("int8", 1e-3, 0.55), ("lloyd4", 0.02, 0.3)]
)
def test_kld_of_survivors_in_few_bits(score, book_ids, kv_dtype, most_nats, most_bytes):
    exact, near = (
        score(DEMO, book_ids, "--policy", "none", "--kv-dtype", stored, "--weights", "bf16")
        for stored in ("bf16", kv_dtype)
    )
    assert 0 < mean_kld(exact.logits, near.logits) < most_nats
    of_exact, of_near = (run.report["kv"]["allocated_bytes"] for run in (exact, near))
    assert of_near < most_bytes * of_exact


@pytest.mark.parametrize(("weights", "most"), [("int8", 2e-3), ("int4", 5e-2)])
def test_kld_of_quantised_weights(score, book_ids, weights, most):
    runs = [
        score(DEMO, book_ids, "--policy", "none", "--weights", kind, dtype="bf16")
        for kind in ("bf16", weights)
    ]
    assert 0 < mean_kld(*(run.logits for run in runs)) < most


def greedy(model, prompt: list[int], count: int) -> tuple[list[int], list[np.ndarray]]:
    """`count` greedy tokens and the logits each was chosen from."""
    ids, rows, past = list(prompt), [], None
    for _ in range(count):
        with torch.no_grad():
            fed = ids if past is None else ids[-1:]
            out = model(torch.tensor([fed]), past_key_values=past, use_cache=True)
        past = out.past_key_values
        rows.append(out.logits[0, -1].numpy())
        ids.append(int(rows[-1].argmax()))
    return ids[len(prompt) :], rows


def assert_same_greedy_text(ours: list[int], expected: list[int], rows: list[np.ndarray]) -> None:
    """The first difference, if any, is between two logits that bf16 cannot tell apart."""
    for position, (mine, theirs) in enumerate(zip(ours, expected, strict=True)):
        if mine == theirs:
            continue
        gap = rows[position][theirs] - rows[position][mine]
        limit = 2 * BF16_ROUNDING * np.abs(rows[position]).max()
        assert gap <= limit, f"token {position}: {mine} for {theirs}, logits {gap:.4f} apart"
        return


@pytest.mark.parametrize("start", [0, 500, 1000, 1500, 2000])
def test_greedy_text(dms_json, oracle, book_ids, tmp_path, start):
    prompt = book_ids[start : start + 200]
    expected, rows = greedy(oracle, prompt, 64)
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(prompt))
    options = ("--policy", "none", "--max-new-tokens", 64, "--ignore-eos")
    report = dms_json("generate", DEMO, "--ids", ids_file, *options)
    assert len(report["ids"]) == 64
    assert_same_greedy_text(report["ids"], expected, rows)


def test_trained_eviction_forgets_well(score, book_ids):
    """The demo's promise: an eighth of the cache and nearly the same perplexity."""
    dense = score(DEMO, book_ids, "--policy", "none", dtype="bf16").report
    compact = score(DEMO, book_ids, "--policy", "dms", dtype="bf16").report
    assert compact["ppl"] < 1.02 * dense["ppl"]
    assert compact["kv"]["held_tokens"] < dense["kv"]["dense_tokens"] / 6
