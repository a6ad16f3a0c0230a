"""Texts longer than the context are scored in overlapping windows, as transformers' guide does."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

import models
from bad_input import assert_error

CONTEXT = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    shape = models.Shape("llama", context=CONTEXT)
    return shape, models.build(tmp_path_factory.mktemp("windows") / "m", shape)


def sliding_nll(folder, ids: list[int], window: int, stride: int) -> float:
    """The loop of Hugging Face's "Perplexity of fixed-length models"; labels -100 do not count."""
    oracle = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    total, count, scored = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        inputs = torch.tensor([ids[begin:end]])
        labels = inputs.clone()
        labels[:, : scored - begin] = -100
        with torch.no_grad():
            logits = oracle(inputs).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits, labels[0, 1:], ignore_index=-100, reduction="sum"
        )
        total += losses.item()
        count += int((labels[0, 1:] != -100).sum())
        scored = end
        if end == len(ids):
            break
    assert count == len(ids) - 1
    return total / count


@pytest.mark.parametrize(
    ("tokens", "options", "window", "stride", "windows"),
    [
        (CONTEXT, (), CONTEXT, 32, 1),
        (CONTEXT + 1, (), CONTEXT, 32, 2),
        (300, (), CONTEXT, 32, 9),
        (300, ("--context", 40, "--stride", 39), 40, 39, 8),
        (61, ("--context", 2, "--stride", 1), 2, 1, 60),
    ],
)
def test_windows_equal_the_guides_loop(
    dms_json, tmp_path, model, tokens, options, window, stride, windows
):
    shape, folder = model
    ids = models.random_ids(shape, tokens)
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    command = ("score", folder, "--ids", tmp_path / "ids.json", "--dtype", "f32")
    report = dms_json(*command, *options)
    assert (report["tokens"], report["context"], report["stride"]) == (tokens, window, stride)
    assert report["windows"] == windows
    expected = sliding_nll(folder, ids, window, stride)
    assert report["nll"] == pytest.approx(expected, rel=1e-5)
    assert report["ppl"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert report["kv"]["dense_tokens"] == min(tokens, window) * shape.layers * shape.kv_heads


def test_one_window_equals_the_whole(dms_json, tmp_path, model):
    shape, folder = model
    (tmp_path / "ids.json").write_text(json.dumps(models.random_ids(shape, 40)))
    command = ("score", folder, "--ids", tmp_path / "ids.json", "--dtype", "f32")
    assert dms_json(*command)["nll"] == dms_json(*command, "--context", 50)["nll"]


def test_the_text_output_says_so(dms, tmp_path, model):
    shape, folder = model
    (tmp_path / "ids.json").write_text(json.dumps(models.random_ids(shape, 100)))
    text = dms("score", folder, "--ids", tmp_path / "ids.json").stdout.decode()
    assert "windows 3 of 64 tokens, stride 32" in text


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--logits", "x.npy"), "--logits: needs a text that fits into one window"),
        (("--decode-from", 3), "--decode-from"),
        (("--save-decisions", "x.npy"), "--save-decisions"),
        (("--context", CONTEXT + 1), "--context"),
        (("--context", 1), "--context"),
        (("--stride", CONTEXT), "--stride"),
        (("--stride", 0), "--stride"),
    ],
)
def test_what_windows_do_not_have(dms, tmp_path, model, options, word):
    shape, folder = model
    (tmp_path / "ids.json").write_text(json.dumps(models.random_ids(shape, 100)))
    done = dms("score", folder, "--ids", tmp_path / "ids.json", *options, check=False)
    assert_error(done, word)
