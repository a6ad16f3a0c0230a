"""The command line as a tested artefact: help texts are goldens, JSON fields are fixed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from harness import DEMO, ROOT, mean_nll
from tokenizers import Tokenizer

import models

GOLDENS = ROOT / "tests" / "python" / "goldens" / "help"
COMMANDS = (
    "inspect",
    "tokenize",
    "generate",
    "chat",
    "score",
    "bench",
    "train",
    "data",
    "extract",
)
KV_FIELDS = {
    "dense_tokens",
    "held_tokens",
    "dense_bytes",
    "allocated_bytes",
    "peak_bytes",
    "cr",
    "cr_bytes",
}
TIMING_FIELDS = {"prefill_s", "decode_s", "prefill_tok_s", "decode_tok_s"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_the_golden_text(dms, request, command):
    text = dms(*command.split(), "--help").stdout.decode()
    path = GOLDENS / f"{command or 'dms'}.txt"
    if request.config.getoption("--regenerate-goldens"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; --regenerate-goldens if it is meant"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(dms, command):
    assert f"dms {command} " in dms(command, "--help").stdout.decode().split("xamples", 1)[1]


def test_every_command_is_listed(dms):
    text = dms("--help").stdout.decode()
    assert all(command in text for command in COMMANDS)


def test_version(dms):
    assert dms("--version").stdout.decode().strip().endswith("0.1.0")


def test_inspect(dms_json):
    report = dms_json("inspect", DEMO)
    expected = {
        "model_type": "llama",
        "layers": 6,
        "hidden": 384,
        "q_heads": 6,
        "kv_heads": 2,
        "head_dim": 64,
        "vocab": 8192,
        "context": 4096,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["dms"]["source"] == "adapter"
    assert report["kv_bytes_per_token"] == 2 * 6 * 2 * 64 * 2


@pytest.mark.parametrize("form", models.METADATA_FORMS)
def test_inspect_shows_eviction(dms_json, tmp_path, form):
    folder = models.build(tmp_path / "run" / "m", models.Shape())
    models.add_metadata(folder, models.Metadata(form, window=23, scale=50.0, offset=3.0))
    settings = dms_json("inspect", folder)["dms"]
    assert settings["source"] == ("adapter" if form == "adapter" else "neuron")
    assert settings["window"] == 23
    assert settings["decision_shift"] == (1 if form in ("adapter", "neuron") else 0)
    assert (settings["alpha_scale"], settings["alpha_offset"]) == (50.0, 3.0)
    assert settings["alpha_per"] == "head"


def test_inspect_counts_parameters(dms_json, tmp_path):
    shape = models.Shape("qwen3", tied=True, layers=3)
    folder = models.build(tmp_path / "m", shape)
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    count = sum(tensor.numel() for tensor in tensors.values())
    assert dms_json("inspect", folder)["parameters"] == count


def test_tokenize_and_back(dms_json, dms, tmp_path):
    text = "The hat — it’s “new”.\n\n  Two lines, 1234 and a 🦔.\n"
    oracle = Tokenizer.from_file(str(DEMO / "tokenizer.json")).encode(text)
    source = tmp_path / "text.txt"
    source.write_text(text)
    for report in (
        dms_json("tokenize", DEMO, "--text-file", source),
        dms_json("tokenize", DEMO, stdin=text),
    ):
        assert report["ids"] == oracle.ids
        assert report["tokens"] == oracle.tokens
    plain = dms_json("tokenize", DEMO, "--text-file", source, "--no-special")["ids"]
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(plain))
    assert dms_json("tokenize", DEMO, "--decode", "--ids", ids)["text"] == text


def test_generate_fields(dms_json):
    report = dms_json("generate", DEMO, "-p", "It was a dark night", "--max-new-tokens", 12)
    assert isinstance(report["text"], str)
    assert len(report["ids"]) <= 12
    assert report["finish_reason"] in ("stop", "length")
    oracle = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    assert report["prompt_tokens"] == len(oracle.encode("It was a dark night").ids)
    assert report["text"] == oracle.decode(report["ids"])
    assert set(report["timings"]) >= TIMING_FIELDS
    assert set(report["kv"]) >= KV_FIELDS
    cached = report["prompt_tokens"] + len(report["ids"]) - 1
    assert report["kv"]["dense_tokens"] == cached * 6 * 2


def test_generate_prints_the_same_text_as_its_json(dms, dms_json):
    command = ("generate", DEMO, "-p", "It was a dark night", "--max-new-tokens", 30)
    assert dms(*command).stdout.decode().rstrip("\n") == dms_json(*command)["text"].rstrip("\n")


def test_generate_is_reproducible_by_seed(dms_json):
    command = ("generate", DEMO, "-p", "Once", "--temperature", 1.0, "--max-new-tokens", 20)
    first, again, other = (dms_json(*command, "--seed", s)["ids"] for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_generate_stops_at_a_text(dms_json):
    command = ("generate", DEMO, "-p", "It was a dark night", "--max-new-tokens", 40)
    text = dms_json(*command, "--ignore-eos")["text"]
    stop = text[20:24]
    report = dms_json(*command, "--ignore-eos", "--stop", stop)
    assert report["finish_reason"] == "stop"
    assert report["text"] == text[: text.index(stop)]


def test_max_new_tokens_ends_with_length(dms_json):
    report = dms_json("generate", DEMO, "-p", "a", "--max-new-tokens", 5, "--ignore-eos")
    assert (report["finish_reason"], len(report["ids"])) == ("length", 5)


def test_score_fields(score):
    ids = list(range(100, 180))
    scored = score(DEMO, ids)
    assert scored.logits.dtype == np.float32
    assert scored.logits.shape == (80, 8192)
    assert scored.decisions.shape == (6, 2, 80)
    assert scored.report["tokens"] == 80
    assert scored.report["nll"] == pytest.approx(mean_nll(scored.logits, ids), abs=1e-5)
    assert scored.report["ppl"] == pytest.approx(np.exp(scored.report["nll"]), rel=1e-6)
    assert set(scored.report["kv"]) >= KV_FIELDS


def test_score_of_text_equals_score_of_its_ids(dms_json, tmp_path):
    text = "A short text to score."
    source, ids = tmp_path / "text.txt", tmp_path / "ids.json"
    source.write_text(text)
    oracle = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    ids.write_text(json.dumps(oracle.encode(text).ids))
    by_text = dms_json("score", DEMO, "--text-file", source)
    by_ids = dms_json("score", DEMO, "--ids", ids)
    assert (by_text["tokens"], by_text["nll"]) == (by_ids["tokens"], by_ids["nll"])


def test_bench_fields(dms_json):
    report = dms_json(
        "bench", DEMO, "--prompt-lens", "64", "--gen", 4, "--concurrency", "1,2", "--repeat", 2
    )
    assert {"bandwidth_gb_s", "f32_gflops", "bf16_gflops"} <= set(report["machine"])
    assert [run["concurrency"] for run in report["runs"]] == [1, 2]
    for run in report["runs"]:
        assert (run["prompt_tokens"], run["gen_tokens"]) == (64, 4)
        for key in ("prefill_tok_s", "decode_tok_s", "attention_s"):
            assert {"median", "min", "max", "n"} <= set(run[key])
            assert run[key]["min"] <= run[key]["median"] <= run[key]["max"]
        assert set(run["kv"]) >= KV_FIELDS
        assert isinstance(run["policy"], str)


def test_bench_with_random_weights(dms_json, tmp_path):
    folder = models.build(tmp_path / "m", models.Shape("qwen3"))
    report = dms_json(
        "bench",
        *("--config", folder / "config.json", "--random-weights"),
        *("--prompt-lens", "40", "--gen", 2, "--repeat", 1, "--policy", "random"),
    )
    assert report["runs"][0]["policy"].startswith("random")


def test_preallocation_is_visible(dms_json, tmp_path):
    command = ("generate", DEMO, "-p", "a", "--max-new-tokens", 2, "--policy", "none")
    plain = dms_json(*command)["kv"]["allocated_bytes"]
    taken = dms_json(*command, "--preallocate", 2048)["kv"]["allocated_bytes"]
    assert taken > plain
    assert taken >= 2048 * 2 * 6 * 2 * 64 * 2


def test_streaming_holds_less_than_dense(dms_json, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(list(range(1000, 3000))))
    common = ("score", DEMO, "--ids", ids)
    dense = dms_json(*common, "--policy", "none")["kv"]
    arguments = "start_size=4,recent_size=200"
    compact = dms_json(*common, "--policy", "streaming", "--policy-args", arguments)["kv"]
    assert compact["dense_tokens"] == dense["dense_tokens"] == 2000 * 12
    assert compact["held_tokens"] <= 205 * 12
    assert compact["allocated_bytes"] < dense["allocated_bytes"] / 4
