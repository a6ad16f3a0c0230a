"""`dms quantize`: folders that transformers reads as we do, and what is refused."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import models
from bad_input import assert_error
from harness import DEMO, assert_close, run_ok

SHAPE = models.Shape("llama", q_heads=4, head_dim=24, hidden=64, ffn=96, dtype="bfloat16")


@pytest.fixture
def plain(tmp_path):
    return models.build(tmp_path / "plain", SHAPE, 5)


@pytest.mark.parametrize("weights", ["int4", "int8"])
def test_transformers_reads_what_we_read(score, plain, tmp_path, weights):
    out = tmp_path / "out"
    run_ok("quantize", plain, out, "--weights", weights)
    ids = models.random_ids(SHAPE, 60, 2)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].double().numpy()
    scored = score(out, ids, "--policy", "none", "--weights", "f32")
    assert_close(scored.logits, expected, weights)
    assert scored.report["notes"] == []
    # the codes as they are stored are the codes of --weights at load
    again = score(out, ids, "--policy", "none", "--weights", weights)
    loaded = score(plain, ids, "--policy", "none", "--weights", weights)
    assert np.array_equal(again.logits, loaded.logits)


def test_a_result_may_be_replaced_and_nothing_else(dms, plain, tmp_path):
    out = tmp_path / "out"
    run_ok("quantize", plain, out)
    run_ok("quantize", plain, out, "--weights", "int8")
    assert json.loads((out / "config.json").read_text())["quantization_config"]
    assert_error(dms("quantize", plain, plain, check=False), "holds a model that is not quantised")
    (out / "notes.txt").write_text("mine")
    assert_error(dms("quantize", plain, out, check=False), "notes.txt", "would be lost")
    assert (out / "notes.txt").read_text() == "mine"


def test_bad_input_is_named(dms, plain, tmp_path):
    out = tmp_path / "out"

    def refused(*args: object, words: tuple[str, ...]) -> None:
        assert_error(dms("quantize", *args, check=False), *words)

    refused(plain, out, "--weights", "bf16", words=("--weights", "int8 or int4"))
    refused(tmp_path / "none", out, words=("no such model folder",))
    short = tmp_path / "short.txt"
    short.write_text("It was a dark night.")
    refused(DEMO, out, "--calibrate", short, words=("--calibrate", "at least 512", "tokens"))
    foreign = models.build(tmp_path / "foreign", SHAPE, 1)
    shutil.copy(DEMO / "tokenizer.json", foreign)
    long = tmp_path / "long.txt"
    long.write_text("It was a dark night. " * 200)
    refused(foreign, out, "--calibrate", long, words=(foreign, "the tokenizer has tokens"))
    odd = models.build(tmp_path / "odd", models.Shape("llama", hidden=48), 1)
    refused(odd, out, words=("q_proj.weight", "48 columns", "a multiple of 32"))
    assert not out.exists()


def kld(logits: np.ndarray, reference: np.ndarray) -> float:
    """Mean over tokens, in nats."""
    p = torch.log_softmax(torch.from_numpy(reference.astype(np.float64)), -1)
    q = torch.log_softmax(torch.from_numpy(logits.astype(np.float64)), -1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_calibrates_by_standard_input(tmp_path):
    text = "It was a dark night, and who came to the door? " * 60
    (tmp_path / "text.txt").write_text(text)
    run_ok("quantize", DEMO, tmp_path / "a", "--calibrate", tmp_path / "text.txt")
    run_ok("quantize", DEMO, tmp_path / "b", "--calibrate", "-", stdin=text)
    a, b = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert a == b


def test_calibration_keeps_more_of_the_demo(score, test_data, tmp_path):
    with tarfile.open(test_data / "books" / "valid.tar.xz") as archive:
        texts = [archive.extractfile(m).read().decode() for m in archive if m.isfile()][:2]
    (tmp_path / "text.txt").write_text(texts[0][:40000])
    ids = Tokenizer.from_file(str(DEMO / "tokenizer.json")).encode(texts[1][:4000]).ids[:800]
    run_ok("quantize", DEMO, tmp_path / "plain")
    run_ok("quantize", DEMO, tmp_path / "calibrated", "--calibrate", tmp_path / "text.txt")
    reference = score(DEMO, ids, "--policy", "none").logits

    def loss(name: str) -> float:
        return kld(score(tmp_path / name, ids, "--policy", "none").logits, reference)

    assert loss("calibrated") < 0.75 * loss("plain")


@pytest.mark.parametrize("form", ["adapter", "neuron"])
def test_what_decides_eviction_is_not_quantised(score, tmp_path, form):
    shape = replace(SHAPE, vocab=1999)
    plain = models.build(tmp_path / "plain", shape, 5)
    models.add_metadata(plain, models.Metadata(form), 7)
    run_ok("quantize", plain, tmp_path / "out")
    ids = models.random_ids(shape, 1900, 4)
    expected = score(plain, ids).decisions[0]  # later layers see what quantisation changed
    assert 0.2 < expected.mean() < 0.8
    for folder in (plain, tmp_path / "out"):
        scored = score(folder, ids, "--weights", "int4")
        # the embedding, which is in eight bits, moves few; decisions in four would move 3 in 100
        assert np.mean(scored.decisions[0] != expected) < 0.004, folder


def test_bench_tells_how_the_weights_are_kept(plain, tmp_path):
    run_ok("quantize", plain, tmp_path / "out")
    bench = ("bench", tmp_path / "out", "--prompt-lens", 16, "--gen", 2, "--repeat", 1, "--json")
    model = json.loads(run_ok(*bench))["model"]
    assert model["weights"] == "int4"
    assert model["weight_bytes"] < model["parameters"] * 1.1  # the tables are int8
