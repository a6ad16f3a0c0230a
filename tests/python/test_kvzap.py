"""KVzap: adapters' scores as PyTorch computes them, and `dms calibrate kvzap` as transformers and
NumPy fit it in float64."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import models
from bad_input import assert_error
from harness import DEMO, ROOT, assert_close
from kvzap_reference import (
    Collector,
    KvzapReference,
    Settings,
    cut,
    fit_mlp,
    lowest,
    mlp_scores,
    r2,
    ridge,
    stack,
    write_adapter,
)
from reference import Request

TOKENS = 150
NEAR = 1e-4  # of a score: below it float32 may fall on either side
SHAPES = {
    "llama": models.Shape("llama", layers=3, q_heads=9, kv_heads=3, head_dim=24, hidden=54),
    "mistral": models.Shape("mistral", q_heads=5, kv_heads=1, head_dim=40, hidden=50),
    "qwen2": models.Shape("qwen2", q_heads=4, kv_heads=4, tied=True),
    "qwen3": models.Shape("qwen3", q_heads=14, kv_heads=2, head_dim=64, hidden=56),
}
FORMS = {"linear": Settings(), "mlp": Settings(threshold=-0.1, window=33, n_sink=2, hidden=72)}


@pytest.fixture(scope="module")
def make(tmp_path_factory, seed):
    """make(family, form) -> base, adapter, ids and reference, made once."""

    @cache
    def build(family: str, form: str):
        folder = tmp_path_factory.mktemp(family)
        base = models.build(folder / "base", SHAPES[family], seed)
        adapter = write_adapter(base, folder / "zap", FORMS[form], seed)
        ids = models.random_ids(SHAPES[family], TOKENS, seed)
        return base, adapter, ids, KvzapReference(base, adapter)

    return build


def check(scored, made, window: int, what: str) -> None:
    """Decisions first; then the logits of the reference under ours."""
    _, _, ids, reference = made
    expected = reference.run(ids, Request(window=window, evicted=scored.decisions))
    clear = (scored.decisions != expected.fates) & (np.abs(expected.fate_logits) > NEAR)
    assert not clear.any(), f"{what}: decisions differ at {np.argwhere(clear)[:5].tolist()}"
    assert_close(scored.logits, expected.logits, what)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", SHAPES)
def test_fates_are_the_scores(score, make, family, form):
    made = make(family, form)
    base, adapter, ids, _ = made
    settings = FORMS[form]
    for args in (("--chunk", 256), ("--chunk", 7), ("--chunk", 33, "--decode-from", 40)):
        scored = score(base, ids, "--adapter", adapter, *args)
        assert not scored.decisions[:, :, : settings.n_sink].any()
        assert 0.2 < scored.decisions.mean() < 0.8
        assert scored.report["kv"]["held_tokens"] < scored.report["kv"]["dense_tokens"]
        check(scored, made, settings.window, f"{family} {form} {args}")


def test_arguments_change_the_settings(score, make):
    made = make("llama", "linear")
    base, adapter, ids, reference = made
    for threshold, n_sink, window in ((0.5, 0, 40), (-0.7, 20, 1)):
        args = ("--policy-args", f"threshold={threshold},n_sink={n_sink}", "--window", window)
        scored = score(base, ids, "--adapter", adapter, *args)
        changed = KvzapReference(base, adapter)
        changed.threshold, changed.n_sink = threshold, n_sink
        check(scored, (base, adapter, ids, changed), window, f"threshold {threshold}")
    scored = score(base, ids, "--adapter", adapter, "--policy", "none")
    assert not scored.decisions.any()
    assert_close(scored.logits, reference.run(ids, Request(plain=True)).logits, "policy none")


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_scores_are_never_quantised(score, make, weights):
    """What decides is float32: with the first layer's inputs alike, its decisions are."""
    base, adapter, ids, reference = make("qwen2", "mlp")
    scored = score(base, ids, "--adapter", adapter, "--weights", weights, "--policy", "kvzap")
    assert 0.2 < scored.decisions.mean() < 0.8


def test_commands_say_so(dms, dms_json, make, tmp_path):
    base, adapter, ids, _ = make("qwen3", "mlp")
    info = dms_json("inspect", base, "--adapter", adapter)
    assert info["dms"] is None
    assert info["kvzap"] == {
        "form": "mlp",
        "threshold": -0.1,
        "window": 33,
        "n_sink": 2,
        "target_cr": None,
        "origin": str(adapter / "adapter_config.json"),
    }
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(ids))
    generated = dms_json("generate", base, "--adapter", adapter, "--ids", ids_file, "-n", 3)
    assert generated["policy"] == "kvzap"
    refused = ("score", base, "--ids", ids_file, "--policy", "kvzap")
    assert_error(dms(*refused, check=False), "no scores of KVzap", "dms calibrate kvzap")
    refused = ("score", base, "--ids", ids_file, "--adapter", adapter, "--policy", "dms")
    assert_error(dms(*refused, check=False), "no trained eviction")


def test_an_adapter_that_nobody_reads_is_told_of(dms, make, tmp_path):
    base, adapter, ids, _ = make("qwen3", "linear")
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(ids))
    call = (base, "--adapter", adapter, "--ids", ids_file)

    def told(*args: object) -> str:
        found = [line for line in dms(*args).stderr.decode().splitlines() if "--adapter" in line]
        return "\n".join(found)

    assert told("generate", *call, "-n", 1) == ""
    assert told("score", *call, "--policy", "random") == ""  # in the adapter's window
    idle = "dms: note: --adapter: without effect with {}; it is one of kvzap"
    assert told("generate", *call, "-n", 1, "--policy", "none") == idle.format("none")
    knorm = ("--policy", "knorm", "--policy-args", "budget=9")
    assert told("score", *call, *knorm) == idle.format("knorm")
    evaluated = ("eval", "ppl", *call, "--policies")
    assert told(*evaluated, "none,kvzap") == ""
    assert told(*evaluated, "none,random:cr=2:window=9") == ""
    assert told(*evaluated, "none,streaming:recent_size=9") == idle.format("none, streaming")


def test_evaluations_measure_the_adapter_unasked(dms_json, make, tmp_path):
    base, adapter, ids, _ = make("llama", "linear")
    ids_file = tmp_path / "ids.json"
    ids_file.write_text(json.dumps(ids))
    report = dms_json("eval", "ppl", base, "--adapter", adapter, "--ids", ids_file)
    assert [row["policy"] for row in report["rows"]] == ["none", "kvzap"]


def test_damaged_adapters_are_refused(dms, make, tmp_path):
    base, adapter, _, _ = make("llama", "linear")
    ids = tmp_path / "ids.json"
    ids.write_text("[1, 2, 3]")
    name = "model.layers.1.self_attn.kvzap.weight"
    tensors = load_file(adapter / "adapter.safetensors")
    missing = {key: value for key, value in tensors.items() if key != name}
    spoiled = {
        "missing": (missing, (name, "missing")),
        "short": ({**tensors, name: tensors[name][:2]}, (name, "wrong shape")),
        "nan": ({**tensors, name: tensors[name] * np.float32("nan")}, (name, "not finite")),
        "more": ({**tensors, "x": tensors[name]}, ("tensor x", "no place")),
    }
    for kind, (content, words) in spoiled.items():
        folder = shutil.copytree(adapter, tmp_path / kind)
        save_file(content, folder / "adapter.safetensors")
        done = dms("score", base, "--adapter", folder, "--ids", ids, check=False)
        assert_error(done, *words)


# dms calibrate

CONTEXT = 1200  # segments of which some are repeated in more than one pass
CALIBRATED = models.Shape(
    "llama", q_heads=6, kv_heads=2, head_dim=24, hidden=48, vocab=8192, context=CONTEXT
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, seed):
    """A random model with the demo's tokenizer."""
    folder = models.build(tmp_path_factory.mktemp("calibrate") / "plain", CALIBRATED, seed)
    shutil.copy(DEMO / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    parts = (ROOT / "LICENSE", ROOT / "examples" / "long_prompt.txt", ROOT / "LICENSE")
    path.write_text("".join(part.read_text() for part in parts)[:24000])
    return path


@pytest.fixture(scope="module")
def collected(plain, text):
    """How the text is cut, and each segment's inputs and targets: fitted, held out."""
    segments = cut(Tokenizer.from_file(str(plain / "tokenizer.json")), text.read_text(), CONTEXT)
    collector = Collector(plain)

    def collect(part: list[list[int]]) -> list:
        return [collector.collect(segment, segments.asks) for segment in part]

    return segments, collect(segments.fitted), collect(segments.held_out)


def test_the_fit_is_numpys(dms_json, plain, text, collected, tmp_path):
    ratio, n_sink = 0.7, 3
    out = tmp_path / "zap"
    args = ("--ratio", ratio, "--n-sink", n_sink, "--window", 20, "--dtype", "f32")
    report = dms_json("calibrate", "kvzap", plain, "--text", text, "--out", out, *args)

    segments, fitted, held_out = collected
    assert len(segments.fitted) >= 6
    tensors = load_file(out / "adapter.safetensors")
    predictions, quality = [], []
    for layer in range(CALIBRATED.layers):
        x, y = stack(fitted, layer, n_sink)
        fit = ridge(x, y)
        prefix = f"model.layers.{layer}.self_attn.kvzap"
        weight, bias = tensors[prefix + ".weight"], tensors[prefix + ".bias"]
        np.testing.assert_allclose(weight, fit.weight, atol=2e-3 * np.abs(fit.weight).max())
        np.testing.assert_allclose(bias, fit.bias, atol=2e-3 * np.abs(fit.bias).max())
        x, y = stack(held_out, layer, n_sink)
        predictions.append(x @ fit.weight.T + fit.bias)
        quality.append(r2(y, predictions[-1]))
        assert report["held_out_tokens"] == len(x)
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["kvzap_threshold"] == pytest.approx(report["threshold"], rel=1e-6)
    assert report["threshold"] == pytest.approx(lowest(np.array(predictions), ratio), abs=0.01)
    assert report["kept"] == pytest.approx(1 - ratio, abs=0.01)
    assert report["cr"] == pytest.approx(1 / report["kept"])
    assert report["r2"] == pytest.approx(np.mean(quality), abs=2e-3)
    assert report["lowest_r2"] == pytest.approx(np.min(quality), abs=2e-3)
    assert (config["kvzap_window_size"], config["kvzap_n_sink"]) == (20, n_sink)
    assert config["kvzap_cr"] == pytest.approx(1 / (1 - ratio))


def test_the_fit_of_a_hidden_layer_is_torchs(dms_json, plain, text, collected, tmp_path):
    hidden, seed, ratio, n_sink = 11, 5, 0.7, 3
    out = tmp_path / "zap"
    args = ("--ratio", ratio, "--n-sink", n_sink, "--dtype", "f32", "--hidden", hidden)
    call = ("calibrate", "kvzap", plain, "--text", text, "--out", out, *args, "--seed", seed)
    report = dms_json(*call)

    segments, fitted, held_out = collected
    tensors = load_file(out / "adapter.safetensors")
    predictions, quality, linear_quality, moved = [], [], [], []
    for layer in range(CALIBRATED.layers):
        stopping = [fitted[i] for i in segments.stopping]
        others = [part for i, part in enumerate(fitted) if i not in segments.stopping]
        rows = stack(others, layer, n_sink)
        start = ridge(*rows)
        predict = fit_mlp(rows, stack(stopping, layer, n_sink), start, hidden, seed)
        x, y = stack(held_out, layer, n_sink)
        expected = predict(x)
        moved.append(np.abs(expected - x @ start.weight.T - start.bias).max() / y.std())
        prefix = f"model.layers.{layer}.self_attn.kvzap"
        weights = [
            tensors[f"{prefix}.{name}"] for name in ("0.weight", "0.bias", "2.weight", "2.bias")
        ]
        found = mlp_scores(x, *weights)
        assert np.abs(found - expected).max() < 0.02 * y.std(), f"layer {layer}"
        predictions.append(found)
        quality.append(r2(y, expected))
        linear = ridge(*stack(fitted, layer, n_sink))
        linear_quality.append(r2(y, x @ linear.weight.T + linear.bias))
    assert max(moved) > 0.1  # far from where the fit began
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["kvzap_hidden_size"] == hidden
    assert report["threshold"] == pytest.approx(lowest(np.array(predictions), ratio), abs=0.01)
    assert report["r2"] == pytest.approx(np.mean(quality), abs=5e-3)
    assert report["lowest_r2"] == pytest.approx(np.min(quality), abs=5e-3)
    assert report["linear_r2"] == pytest.approx(np.mean(linear_quality), abs=2e-3)
    assert report["lowest_linear_r2"] == pytest.approx(np.min(linear_quality), abs=2e-3)

    again = dms_json(*call, "--threads", 1)
    again.pop("seconds"), report.pop("seconds")
    assert again == report
    same = load_file(out / "adapter.safetensors")
    assert all(np.array_equal(same[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("more", [(), ("--hidden", 16)], ids=["linear", "hidden"])
def test_the_result_is_served(dms_json, score, plain, text, tmp_path, more):
    out = tmp_path / "zap"
    for cr in (2, 4):  # the second replaces the first
        dms_json("calibrate", "kvzap", plain, "--text", text, "--out", out, "--cr", cr, *more)
    ids = Tokenizer.from_file(str(plain / "tokenizer.json")).encode(text.read_text()).ids[:300]
    scored = score(plain, ids, "--adapter", out)
    assert scored.decisions.mean() == pytest.approx(0.75, abs=0.12)
    check(scored, (plain, out, ids, KvzapReference(plain, out)), 128, "calibrated")


def test_a_long_text_is_read_from_its_beginning(dms_json, plain, text, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text(text.read_text() * 40)
    reports = []
    for path in (text, long):
        out = tmp_path / path.stem
        call = ("calibrate", "kvzap", plain, "--text", path, "--out", out, "--tokens", 3000)
        report = dms_json(*call)
        reports.append({name: report[name] for name in ("fitted_tokens", "threshold", "r2")})
    assert reports[0] == reports[1]


def test_bad_input_is_named(dms, plain, text, seed, tmp_path):
    out = tmp_path / "zap"
    short = tmp_path / "short.txt"
    short.write_text("Too short a text.")

    def refused(*args: object, words: tuple[str, ...]) -> None:
        done = dms("calibrate", *args, check=False)
        assert_error(done, *words)
        assert not out.exists()

    into = ("--out", out)
    refused(words=("METHOD", "missing"))
    refused("kvzp", plain, "--text", text, *into, words=("METHOD", "did you mean kvzap?"))
    refused("kvzap", "--text", text, *into, words=("MODEL", "missing"))
    refused("kvzap", plain, *into, words=("--text", "missing"))
    refused("kvzap", plain, "--text", text, words=("--out", "missing"))
    call = ("kvzap", plain, "--text", text, *into)
    refused(*call, "--cr", 4, "--ratio", 0.5, words=("--cr", "--ratio"))
    refused(*call, "--ratio", 1, words=("--ratio", "less than 1"))
    refused(*call, "--cr", 1, words=("--cr", "more than 1"))
    refused(*call, "--window", 99999, words=("--window", "keeps every token", "got 99999"))
    refused(*call, "--tokens", 100, words=("--tokens", "too short", "got 100 tokens"))
    refused(*("kvzap", plain, "--text", short, *into), words=("--text", "too short", "at least"))
    refused(*("kvzap", DEMO, "--text", text, *into), words=("already has trained eviction",))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    full = ("kvzap", plain, "--text", text, "--out", tmp_path / "full")
    refused(*full, words=("is not an adapter's folder",))
    beneath = ("kvzap", plain, "--text", short, "--out", short / "zap")  # said before all work
    refused(*beneath, words=(short / "zap", "cannot be written"))
    refused(*call, "--n-sink", 1000, words=("--n-sink", "out of range", "got 1000"))
    refused(*call, "--hidden", 0, words=("--hidden", "got 0", "leave it out for linear scores"))
    refused(*call, "--hidden", 3, words=("--hidden", "got 3", "4 (two for each KV head) to 4096"))
    refused(*call, "--hidden", 5000, words=("--hidden", "got 5000", "have 512"))
    refused(*call, "--seed", 1, words=("--seed", "closed form", "--hidden N"))
    means = ("triattention", *call[1:])
    refused(*means, "--hidden", 8, words=("--hidden", "no meaning for triattention"))
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "adapter_config.json").write_text('{"dms_separate_alpha": true}')
    (trained / "adapter.safetensors").write_text("hours of training")
    over = ("kvzap", plain, "--text", text, "--out", trained)
    refused(*over, words=("adapter_config.json", "another adapter"))
    assert (trained / "adapter.safetensors").read_text() == "hours of training"
    for vocab in (7000, 1000):  # without some of the text's tokens, and of those that ask to repeat
        small = models.build(tmp_path / str(vocab), replace(CALIBRATED, vocab=vocab), seed)
        shutil.copy(DEMO / "tokenizer.json", small)
        foreign = ("kvzap", small, "--text", text, *into)
        refused(*foreign, words=(small, "the tokenizer has tokens", f"ids below {vocab}"))
