"""The command line as a tested artefact: help texts are goldens, JSON fields are fixed."""

from __future__ import annotations

import json
import os
import shutil
from io import BytesIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import GenerationConfig

import models
from bad_input import assert_error
from harness import DEMO, ROOT, mean_nll

GOLDENS = ROOT / "tests" / "python" / "goldens" / "help"
COMMANDS = (
    "inspect",
    "tokenize",
    "generate",
    "chat",
    "document",
    "score",
    "serve",
    "bench",
    "eval",
    "report",
    "quantize",
    "calibrate",
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


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(dms, command):
    text = dms(*command.split(), "--help").stdout.decode()
    assert max(map(len, text.splitlines())) <= 80


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


def test_generate_stops_after_a_token(dms_json):
    command = ("generate", DEMO, "-p", "It was a dark night", "-n", 40, "--ignore-eos")
    ids = dms_json(*command)["ids"]
    report = dms_json(*command, "--stop-id", 8191, "--stop-id", ids[10])
    assert report["ids"] == ids[: ids.index(ids[10]) + 1]
    assert report["finish_reason"] == "stop"


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("cache", [[], ["--policy", "none", "--kv-dtype", "int8"]])
@pytest.mark.parametrize("temperature", [0, 0.3])
def test_generate_guesses_ahead_and_says_the_same(dms_json, dtype, cache, temperature):
    verse = "The rain came down upon the hill, and all the lamps were cold and still. "
    command = ("generate", DEMO, "-p", verse * 8, "-n", 160, "--ignore-eos", "--dtype", dtype)
    command += ("--temperature", temperature, *cache)
    plain, guessed = (dms_json(*command, "--speculate", count) for count in (0, 8))
    assert guessed["ids"] == plain["ids"]
    assert guessed["kv"]["held_per_head"] == plain["kv"]["held_per_head"]
    assert (plain["drafted_tokens"], plain["accepted_tokens"]) == (0, 0)
    assert guessed["drafted_tokens"] >= guessed["accepted_tokens"] > 20


@pytest.mark.parametrize("options", [[], ["--kv-memory", "1MiB"], ["--policy", "none"]])
def test_a_draft_model_changes_no_text(dms_json, options):
    command = ("generate", DEMO, "-p", "It was a dark night", "-n", 60, "--ignore-eos", *options)
    plain = dms_json(*command)
    drafted = dms_json(*command, "--speculate", 4, "--draft", DEMO)
    assert drafted["ids"] == plain["ids"]
    assert drafted["accepted_tokens"] > 0


def test_a_draft_model_must_have_the_same_tokens(dms, tmp_path):
    for file in DEMO.iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).symlink_to(file)
    tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    one, other = list(vocab)[300:302]
    vocab[one], vocab[other] = vocab[other], vocab[one]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    done = dms("generate", DEMO, "-p", "a", "--speculate", 2, "--draft", tmp_path, check=False)
    assert done.returncode == 2
    assert b"the draft model has other tokens" in done.stderr


def test_what_was_made_before_the_memory_limit_is_kept(dms, dms_json):
    command = ("generate", DEMO, "-p", "It was a dark night", "--ignore-eos")
    done = dms(*command, "-n", 2000, "--kv-memory", "300KiB", "--json", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["finish_reason"] == "error"
    assert done.stderr.decode() == f"dms: error: {report['error']}\n"
    assert len(report["ids"]) > 10
    whole = dms_json(*command, "-n", len(report["ids"]))
    assert (report["ids"], report["text"]) == (whole["ids"], whole["text"])
    plain = dms(*command, "-n", 2000, "--kv-memory", "300KiB", check=False)
    assert plain.stdout.decode() == report["text"] + "\n"


def test_a_prompt_beyond_the_memory_limit_is_an_error(dms):
    command = ("generate", DEMO, "-p", "a", "--kv-memory", "4KiB")
    assert_error(dms(*command, check=False), "KV memory: limit reached", status=1)
    done = dms(*command, "--json", check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ids"], report["text"]) == (1, [], "")
    assert done.stderr.decode() == f"dms: error: {report['error']}\n"


GENERATION_CONFIGS = [
    {},
    {"do_sample": True},
    {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"do_sample": True, "temperature": 0.7, "min_p": 0.05, "repetition_penalty": 1.05},
    {"do_sample": True, "top_k": 0},
    {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.2},
    {"do_sample": False, "max_new_tokens": 7},
]


@pytest.fixture
def recommending(tmp_path):
    """recommending(settings) -> a copy of the demo with this generation_config.json."""

    def make(settings: dict) -> Path:
        folder = shutil.copytree(DEMO, tmp_path / "m", dirs_exist_ok=True)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, **settings}))
        return folder

    return make


@pytest.mark.parametrize("settings", GENERATION_CONFIGS, ids=json.dumps)
def test_sampling_defaults_are_those_of_transformers(dms_json, recommending, settings):
    folder = recommending(settings)
    oracle = GenerationConfig.from_pretrained(folder)
    defaults = GenerationConfig._get_default_generation_params()
    shown = dms_json("inspect", folder)["generation"]

    def wanted(key, off):
        value = getattr(oracle, key)
        return next(v for v in (value, defaults.get(key), off) if v is not None)

    assert shown["repetition_penalty"] == wanted("repetition_penalty", 1.0)
    assert shown["do_sample"] == bool(oracle.do_sample)
    if oracle.do_sample:
        offs = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        assert {key: shown[key] for key in offs} == {k: wanted(k, off) for k, off in offs.items()}
    else:
        assert shown["temperature"] == 0


def test_sampling_defaults_are_what_generate_does(dms_json, recommending):
    folder = recommending({"do_sample": True, "temperature": 1.2, "top_k": 30, "top_p": 0.9})
    command = ("-p", "It was a dark night", "-n", 24, "--seed", 3)
    plain = dms_json("generate", DEMO, *command)["ids"]
    same = ("--temperature", 1.2, "--top-k", 30, "--top-p", 0.9)
    sampled = dms_json("generate", folder, *command)["ids"]
    assert sampled == dms_json("generate", DEMO, *command, *same)["ids"] != plain
    for greedy in (("--greedy",), ("--temperature", 0)):
        assert dms_json("generate", folder, *command, *greedy)["ids"] == plain
    warm = ("--temperature", 1.7)
    expected = dms_json("generate", DEMO, *command, *same, *warm)["ids"]
    assert dms_json("generate", folder, *command, *warm)["ids"] == expected


def test_score_is_the_same_whatever_the_folder_recommends(dms_json, recommending, tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(list(range(100, 160))))
    folder = recommending({"do_sample": True, "temperature": 2.0, "repetition_penalty": 3.0})
    command = ("--ids", tmp_path / "ids.json")
    assert dms_json("score", folder, *command)["nll"] == dms_json("score", DEMO, *command)["nll"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_newline_that_ends_a_file_is_not_the_prompts(dms_json, tmp_path, end):
    text = "It was a dark night"
    (tmp_path / "prompt").write_bytes((text + end).encode())
    command = ("generate", DEMO, "--prompt-file", tmp_path / "prompt", "-n", 1)
    oracle = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    assert dms_json(*command)["prompt_tokens"] == len(oracle.encode(text).ids)
    kept = dms_json(*command, "--keep-newline")["prompt_tokens"]
    assert kept == len(oracle.encode(text + end).ids)


def feed(path: Path, data: bytes) -> None:
    """Makes `path` a pipe through which `data` comes once."""
    os.mkfifo(path)
    Thread(target=lambda: path.write_bytes(data), daemon=True).start()


PIPES = ["fifo", "-", "/dev/stdin"]


@pytest.mark.parametrize("kind", PIPES)
def test_files_may_be_pipes(dms_json, tmp_path, kind):
    decisions = BytesIO()
    np.save(decisions, np.ones((6, 2, 90), np.uint8))
    files = {
        "--prompt-file": (b"It was a dark night", ("generate", DEMO, "-n", 3)),
        "--text-file": (b"It was a dark night", ("score", DEMO)),
        "--ids": (b"[5, 6, 7]", ("score", DEMO)),
        "--config": ((DEMO / "config.json").read_bytes(), ("inspect",)),
        "--decisions": (
            decisions.getvalue(),
            ("generate", DEMO, "-p", "It was", "-n", 90, "--policy", "forced", "--window", 9),
        ),
    }
    for option, (data, command) in files.items():
        path = tmp_path / option.strip("-")
        path.write_bytes(data)
        expected = dms_json(*command, option, path)
        path.unlink()
        stdin = b"" if kind == "fifo" else data
        if kind == "fifo":
            feed(path, data)
        report = dms_json(*command, option, path if kind == "fifo" else kind, stdin=stdin)
        for timed in (expected, report):
            timed.pop("timings", None)
        if option == "--config":
            assert report["dms"].pop("origin") != expected["dms"].pop("origin")
        assert report == expected, option


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
    assert {"bandwidth_gb_s", "f32_gflops", "bf16_gflops", "int8_gops"} <= set(report["machine"])
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
