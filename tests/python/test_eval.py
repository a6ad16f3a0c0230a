"""`dms eval`: its numbers against transformers', and what becomes of runs that end early."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import models
from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, ROOT, binary, wait_until
from kvzap_reference import Settings as KvzapSettings
from kvzap_reference import write_adapter as write_kvzap
from pseudo_terminal import Terminal
from reference import Reference, Request, Streaming

SHAPE = models.Shape("llama", layers=2, q_heads=4, kv_heads=2, head_dim=16)
TOKENS, CONTEXT, STRIDE = 150, 64, 24
TEXT = ROOT / "examples" / "long_prompt.txt"
TEXT_FILE = ("--text-file", TEXT)
CUT = ("--context", CONTEXT, "--stride", STRIDE)


@pytest.fixture(scope="module")
def model(tmp_path_factory, seed):
    """(folder, ids, the file of the ids)"""
    folder = models.build(tmp_path_factory.mktemp("eval") / "m", SHAPE, seed)
    ids = models.random_ids(SHAPE, TOKENS, seed)
    file = folder.parent / "ids.json"
    file.write_text(json.dumps(ids))
    return folder, ids, file


def windows(first: int) -> list[tuple[int, int, int]]:
    """(begin, first scored, end) of each window."""
    result, scored, begin = [], first, 0
    while scored < TOKENS:
        end = min(begin + CONTEXT, TOKENS)
        result.append((begin, scored, end))
        scored, begin = end, begin + STRIDE
    return result


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.log_softmax(torch.from_numpy(np.asarray(logits)).double(), dim=-1).numpy()


def expected_row(ids: list[int], first: int, dense, policy) -> dict[str, float]:
    """What a row says, of functions from ids to logits [tokens, vocab]."""
    nll, kld, same, scored, before = 0.0, 0.0, 0, 0, []
    for begin, start, end in windows(first):
        part = ids[begin:end]
        rows = slice(start - begin - 1, end - begin - 1)
        p, q = (log_softmax(logits(part))[rows] for logits in (dense, policy))
        nll -= q[np.arange(end - start), ids[start:end]].sum()
        kld += (np.exp(p) * (p - q)).sum()
        agrees = p.argmax(axis=1) == q.argmax(axis=1)
        same += agrees.sum()
        scored += end - start
        before.append(agrees.argmin() if not agrees.all() else len(agrees))
    return {
        "nll": nll / scored,
        "ppl": math.exp(nll / scored),
        "kld": kld / scored,
        "token_match": same / scored,
        "before_divergence": float(np.mean(before)),
        "scored_tokens": scored,
        "windows": len(before),
    }


@pytest.mark.parametrize("first", [1, CONTEXT - STRIDE])
def test_kld_equals_an_independent_computation(dms_json, model, first):
    folder, ids, file = model
    oracle = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference = Reference(folder)

    def dense(part: list[int]) -> np.ndarray:
        with torch.no_grad():
            return oracle(torch.tensor([part])).logits[0].numpy()

    def streaming(part: list[int]) -> np.ndarray:
        return reference.run(part, Request(streaming=Streaming(2, 9, False))).logits

    policies = "none,streaming:start_size=2:recent_size=9"
    command = ("eval", "kld", folder, "--ids", file, "--dtype", "f32", "--policies", policies)
    report = dms_json(*command, *CUT, "--first-scored", first, "--decode", 3)
    assert (report["tokens"], report["windows"]) == (TOKENS, len(windows(first)))
    for row, logits in zip(report["rows"], (dense, streaming), strict=True):
        for name, value in expected_row(ids, first, dense, logits).items():
            assert row[name] == pytest.approx(value, rel=2e-4, abs=1e-6), (row["policy"], name)
    none, other = report["rows"]
    assert (none["kld"], none["token_match"], none["ppl_change"]) == (0, 1, 0)
    assert other["kld"] > 1e-3
    assert other["ppl_change"] == pytest.approx(other["ppl"] / none["ppl"] - 1)


def test_the_way_the_text_is_appended_changes_nothing(dms_json, model):
    folder, _, file = model
    command = ("eval", "kld", folder, "--ids", file, "--dtype", "f32", "--context", 128)
    policies = ("--policies", "none,random:cr=4:window=8,none:kv_dtype=int8:window=4")
    reports = [
        dms_json(*command, *policies, "--decode", decode, "--chunk", chunk)["rows"]
        for decode, chunk in ((0, 256), (1000, 256), (5, 7))
    ]
    for rows in reports[1:]:
        # When survivors are stored in few bits depends on the chunks; what is evicted does not.
        for row, expected in zip(rows[:2], reports[0][:2], strict=True):
            assert row["nll"] == pytest.approx(expected["nll"], rel=1e-5)
            assert row["kld"] == pytest.approx(expected["kld"], rel=1e-3, abs=1e-7)
    assert reports[0][2]["kld"] > 0


def test_ppl_equals_score(dms_json, model):
    folder, _, file = model
    command = (folder, "--ids", file, "--dtype", "f32", *CUT)
    row = dms_json("eval", "ppl", *command, "--policies", "none", "--first-scored", 1)["rows"][0]
    assert row["nll"] == pytest.approx(dms_json("score", *command)["nll"], rel=1e-6)
    assert row["kld"] is None


def test_a_text_can_be_cut(dms_json, tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(dms_json("tokenize", DEMO, "--text-file", TEXT)["ids"][:100]))
    command = ("eval", "ppl", DEMO, "--policies", "none")
    whole = dms_json(*command, "--ids", ids)
    cut = dms_json(*command, "--text-file", TEXT, "--max-tokens", 100)
    assert cut["tokens"] == whole["tokens"] == 100
    assert cut["rows"][0]["nll"] == whole["rows"][0]["nll"]


def test_weights_are_compared_with_the_models_own(dms_json):
    command = ("eval", "kld", DEMO, "--text-file", TEXT, "--max-tokens", 200)
    none, int8 = dms_json(*command, "--policies", "none,none:weights=int8")["rows"]
    assert none["kld"] == 0
    assert 0 < int8["kld"] < 0.01
    assert none["kv_bytes"] == int8["kv_bytes"]


def test_prompt_policies_are_scored_behind_their_prompt(dms_json, model, score):
    """knorm's cut at the end of the prompt is what every scored token sees."""
    folder, ids, file = model
    policy = "knorm:compression_ratio=0.5"
    command = ("eval", "ppl", folder, "--ids", file, "--dtype", "f32", "--policies", policy)
    row = dms_json(*command, "--context", TOKENS, "--first-scored", 100)["rows"][0]
    arguments = ("--policy", "knorm", "--policy-args", "compression_ratio=0.5")
    logits = score(folder, ids, *arguments, "--decode-from", 100).logits
    scored = log_softmax(logits)[99:-1][np.arange(50), ids[100:]]
    assert row["nll"] == pytest.approx(-scored.mean(), rel=1e-5)
    # What scored tokens saw, on average: 50 entries where the prompt ends, 49 more at the end.
    held = (50 + 49 * 50 + 49**2 / 2) / 50
    heads = SHAPE.layers * SHAPE.kv_heads
    assert row["kv"]["held_tokens"] == pytest.approx(held * heads, abs=1)
    assert row["kv"]["dense_tokens"] == pytest.approx((held + 50) * heads, abs=1)


@pytest.mark.parametrize(
    ("policy", "held"),
    [
        ("none", 200 - 61.5),
        ("streaming:start_size=4:recent_size=12", 17),
        ("snapkv:budget=24:window_size=8:interval=1000", 24 + 61.5),
        ("knorm:compression_ratio=0.75", 19 + 61.5),
        ("h2o:budget=24:interval=8", 28),
        ("random:cr=4:window=8", None),
    ],
)
def test_what_is_held_is_a_mean_over_scored_tokens(dms_json, tmp_path, policy, held):
    """However the tokens are appended; what ends with the window no scored token has seen."""
    folder = models.build(tmp_path / "m", SHAPE, 1)
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(models.random_ids(SHAPE, 200, 1)))
    command = ("eval", "ppl", folder, "--ids", ids, "--context", 200, "--policies", policy)
    heads = SHAPE.layers * SHAPE.kv_heads
    seen = []
    for decode, chunk in ((0, 256), (16, 256), (1000, 256), (5, 7)):
        size = ("--first-scored", 76, "--decode", decode, "--chunk", chunk)
        seen.append(dms_json(*command, *size)["rows"][0]["kv"]["held_tokens"] / heads)
    assert seen == pytest.approx([held or seen[2]] * 4, rel=0.03)


@pytest.mark.parametrize(
    ("policy", "size"),
    [
        # More than the first window's 50 tokens, and less than it becomes.
        ("chunked:budget=70:chunk_length=30:window_size=8", ("--decode", 0)),
        ("rkv:budget=70:interval=16", ("--decode", 50)),
    ],
)
def test_what_evicts_as_a_text_grows_is_not_held_to_its_prompt(dms_json, model, policy, size):
    folder, _, file = model
    command = ("eval", "ppl", folder, "--ids", file, "--context", 100, "--max-tokens", 100)
    row = dms_json(*command, *size, "--first-scored", 50, "--policies", policy)["rows"][0]
    assert row["kv"]["held_tokens"] < row["kv"]["dense_tokens"]


@pytest.mark.parametrize(
    "policy", ["knorm:compression_ratio=0.5", "snapkv:budget=16:window_size=8"]
)
def test_an_eviction_that_no_scored_token_sees_does_not_count(dms_json, model, tmp_path, policy):
    folder, _, file = model
    command = ("eval", "ppl", folder, "--ids", file, "--context", 100, "--max-tokens", 100)
    command += ("--first-scored", 1, "--policies", policy)
    row = dms_json(*command, "--out", tmp_path)["rows"][0]
    assert row["kv"]["held_tokens"] == row["kv"]["dense_tokens"]
    record = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[1])
    assert set(record["texts"]["kept"]) == {"z"}


@pytest.mark.parametrize(("first", "shown"), [(30, 30), (1, 63)])
def test_the_shaded_text_is_the_prompts(dms, tmp_path, first, shown):
    """Whatever is decoded behind it. A prompt of one token has nothing to show: the window has."""
    page, out = tmp_path / "page.html", tmp_path / "out"
    command = ("eval", "ppl", DEMO, *TEXT_FILE, "--max-tokens", 64, "--decode", 20, "--html", page)
    command += ("--first-scored", first, "--policies", "streaming:recent_size=8", "--out", out)
    dms(*command)
    record = json.loads((out / "results.jsonl").read_text().splitlines()[1])
    assert len(record["texts"]["kept"]) == shown
    assert record["texts"]["kept"][-9:] == "z" * 9
    text = page.read_text()
    assert f"{shown} tokens<" in text
    assert ("where the prompt ends" in text) == (shown == first)


def test_the_shaded_text_has_whole_characters(dms, tmp_path):
    text, page = tmp_path / "uni.txt", tmp_path / "page.html"
    text.write_text("Übergrößen für 日本語 🙂 naïve. " * 12)
    command = ("eval", "ppl", DEMO, "--text-file", text, "--context", 200, "--html", page)
    dms(*command, "--policies", "random:cr=2,dms")
    assert "日" in page.read_text()
    assert "\ufffd" not in page.read_text()


def numbers(rows: list[dict]) -> list[dict]:
    """The rows without what the clock says."""
    return [{k: v for k, v in row.items() if not k.endswith("tok_s")} for row in rows]


def test_a_second_run_goes_on(dms, dms_json, tmp_path, model):
    folder, _, file = model
    policies = "none,random:cr=4:window=8"
    command = ("eval", "kld", folder, "--ids", file, *CUT, "--out", tmp_path)
    command += ("--policies", policies)
    whole = dms_json(*command)
    kept = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    assert len(kept) == 1 + 2 * whole["windows"]
    # As a run that was killed leaves it: two records and a half.
    (tmp_path / "results.jsonl").write_text("".join(kept[:3]) + kept[3][:40])
    again = dms_json(*command)
    assert numbers(again["rows"]) == numbers(whole["rows"])
    after = (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)
    assert after[:3] == kept[:3]
    assert len(after) == len(kept)
    more = dms_json(*command[:-1], policies + ",streaming:recent_size=9")
    assert numbers(more["rows"])[:2] == numbers(whole["rows"])
    assert (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)[: len(kept)] == after
    done = dms(*command, "--context", 60, check=False)
    assert_error(done, "results.jsonl", "context", "'64'", "'60'", "--force")
    done = dms(*command, "--chunk", 64, check=False)
    assert_error(done, "results.jsonl", "chunk", "'256'", "'64'", "--force")
    dms_json(*command, "--context", 60, "--force")


@pytest.mark.parametrize("option", ["--text-file", "--ids"])
def test_kept_results_of_another_text_are_refused(dms, tmp_path, option):
    def run(tokens: range, **kwargs):
        given = tmp_path / "given"
        given.write_text(json.dumps(list(tokens)))
        return dms("eval", "ppl", DEMO, option, given, "--context", 16, "--out", tmp_path, **kwargs)

    run(range(40))
    where = f"results.jsonl: {option}: holds results of other settings"
    assert_error(run(range(1, 41), check=False), where)


@pytest.mark.parametrize(
    ("action", "spoil", "words"),
    [
        ("ppl", lambda record: record["numbers"].pop("nll"), ("numbers: nll", "missing")),
        ("kld", lambda record: record["numbers"].update(scored="9"), ("scored", 'got "9"')),
        ("needle", lambda record: record["numbers"].pop("score"), ("numbers: score", "missing")),
    ],
)
def test_a_spoilt_record_does_not_count_as_nothing(dms, tmp_path, action, spoil, words):
    sizes = ("--lengths", 200, "--depths", 50, "--samples", 1, "--digits", 4)
    command = ("eval", action, DEMO, "--policies", "none,dms", "--out", tmp_path)
    command += sizes if action == "needle" else (*TEXT_FILE, "--max-tokens", 40)
    dms(*command)
    results = tmp_path / "results.jsonl"
    head, first, second = results.read_text().splitlines()
    record = json.loads(second)
    spoil(record)
    results.write_text(f"{head}\n{first}\n{json.dumps(record)}\n")
    assert_error(dms(*command, check=False), "results.jsonl:3", *words, "take the line out")
    results.write_text(f"{head}\n{first}\n")
    assert len(dms(*command).stdout.decode().splitlines()) >= 4


def test_a_run_does_not_go_on_over_other_files(dms, dms_json, tmp_path, seed):
    folder = models.build(tmp_path / "m", SHAPE, seed)
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(models.random_ids(SHAPE, 20, seed)))
    decisions = tmp_path / "decisions.npy"
    evicted = np.zeros((SHAPE.layers, SHAPE.kv_heads, 20), np.uint8)
    np.save(decisions, evicted)
    command = ("eval", "ppl", folder, "--ids", ids, "--out", tmp_path / "out")
    command += ("--policies", "none,forced", "--decisions", decisions)
    dms_json(*command)
    dms_json(*command)
    evicted[0, 0, 3] = 1
    np.save(decisions, evicted)
    assert_error(dms(*command, check=False), "results.jsonl", "decisions", "--force")
    dms_json(*command, "--force")
    models.build(folder, SHAPE, seed + 1)
    assert_error(dms(*command, check=False), "results.jsonl", "model", "--force")


def test_a_run_goes_on_over_the_same_files_elsewhere(dms, dms_json, tmp_path, model):
    """As in another checkout: files are what they hold, not where they lie or when they came."""
    folder, _, file = model
    elsewhere = tmp_path / "elsewhere"
    adapter = write_kvzap(folder, tmp_path / "zap", KvzapSettings())
    out = tmp_path / "out"

    def command(model_folder, adapter_folder):
        policies = ("--policies", "none,kvzap", "--adapter", adapter_folder, "--out", out)
        return ("eval", "ppl", model_folder, "--ids", file, *CUT, *policies)

    before = dms_json(*command(folder, adapter))["rows"]
    kept = (out / "results.jsonl").read_text()
    shutil.copytree(folder, elsewhere / "m", copy_function=shutil.copyfile)
    shutil.copytree(adapter, elsewhere / "zap", copy_function=shutil.copyfile)
    assert dms_json(*command(elsewhere / "m", elsewhere / "zap"))["rows"] == before
    assert (out / "results.jsonl").read_text() == kept
    other = write_kvzap(folder, elsewhere / "other", KvzapSettings(), seed=1)
    done = dms(*command(folder, other), check=False)
    assert_error(done, "results.jsonl", "adapter", "--force")
    first, rest = kept.split("\n", 1)
    older = json.loads(first)
    older["evaluation"] |= {"format": "2", "model_files": older["evaluation"].pop("model")}
    (out / "results.jsonl").write_text(json.dumps(older) + "\n" + rest)
    done = dms(*command(folder, adapter), check=False)
    assert_error(done, "results.jsonl", "format: holds results of another version", "--force")


@pytest.mark.parametrize("force", [False, True])
def test_ctrl_c_keeps_the_rows_that_are_done(tmp_path, force):
    command = ["eval", "kld", DEMO, "--text-file", TEXT, "--context", 64, "--stride", 1]
    command += ["--out", tmp_path, "--policies", "none,dms", "--html", tmp_path / "page.html"]
    command += ["--force"] * force
    process = subprocess.Popen(
        [str(binary()), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    results = tmp_path / "results.jsonl"
    wait_until(
        lambda: results.exists() and results.read_text().count("\n") >= 4, process, "four records"
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    goes_on = "the command goes on without --force" if force else "the same command goes on"
    assert f"interrupted: what was measured until then is above; {goes_on}" in err.decode()
    assert "| none " in out.decode()
    assert "| dms " in out.decode()
    assert "</svg>" in (tmp_path / "page.html").read_text()


def test_rows_that_are_done_are_printed_at_the_memory_limit(dms):
    command = ("eval", "ppl", DEMO, "--text-file", TEXT, "--policies", "dms,none")
    done = dms(*command, "--kv-memory", "3MiB", check=False)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("dms: error: KV memory")
    assert [line[:6] for line in done.stdout.decode().splitlines()[2:]] == ["| dms "]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("pppl", DEMO), ("ACTION", "did you mean ppl?")),
        ((), ("ACTION", "missing")),
        (("ppl",), ("MODEL",)),
        (("ppl", DEMO), ("--text-file, --ids",)),
        (("ppl", "nowhere", "--text-file", TEXT), ("nowhere",)),
        (("ppl", DEMO, "--text-file", TEXT, "--samples", 3), ("--samples", "dms eval ppl")),
        (("ruler", DEMO, "--depths", 3), ("--depths", "dms eval ruler")),
        (("ppl", DEMO, "--text-file", TEXT, "--force"), ("--force", "--out")),
        (("ppl", DEMO, "--text-file", TEXT, "--policies", "non"), ("--policies: non", "unknown")),
        (("ppl", DEMO, "--text-file", TEXT, "--context", 4097), ("--context", "at most 4096")),
        (("ppl", DEMO, "--text-file", TEXT, "--stride", 4096), ("--stride",)),
        (("ppl", DEMO, "--text-file", TEXT, "--max-tokens", 9, "--first-scored", 9), ("--first",)),
        (("ppl", DEMO, "--text-file", "/dev/null"), ("too short to score",)),
        (("ppl", DEMO, "--text-file", TEXT, "--csv", "/nowhere/x"), ("/nowhere",)),
        (("ppl", DEMO, "--ids", TEXT, "--policies", "none:weights=int9"), ("long_prompt.txt",)),
        (("needle", DEMO, "--policies", "none:weights=int9"), ("none:weights=int9: --weights",)),
        (("needle", DEMO, "--chat"), ("--chat", "no chat template")),
        (("needle", DEMO, "--lengths", 5000), ("--lengths", "at most 4096")),
        (("needle", DEMO, "--lengths", 30), ("--lengths", "too short", "at least")),
        (("needle", DEMO, "--lengths", "9,8,9"), ("--lengths", "twice", "9")),
        (("needle", DEMO, "--depths", "50,50"), ("--depths", "twice", "50")),
        (("needle", DEMO, "--depths", 101), ("--depths", "0 to 100")),
        (("needle", DEMO, "--haystack", "nowhere.txt"), ("nowhere.txt",)),
        (("needle", DEMO, "--haystack", "/dev/null"), ("/dev/null", "no words")),
        (("needle", DEMO, "--lengths", 2100, "--policies", "kvzip"), ("--policies: kvzip", "2100")),
        (("ppl", DEMO, *TEXT_FILE, "--policies", ""), ("--policies", "an empty list")),
        (("ppl", DEMO, *TEXT_FILE, "--csv", "a.csv", "--html", "./a.csv"), ("--html", "--csv")),
        (("ppl", DEMO, *TEXT_FILE, "--window", 99999), ("--window", "keeps every token", 99999)),
        (
            ("ppl", DEMO, *TEXT_FILE, "--context", 2048, "--policies", "none,kvzip"),
            ("--policies: kvzip", "got 2048", "at most 20"),
        ),
        (
            ("ppl", DEMO, *TEXT_FILE, "--context", 10**8, "--policies", "snapkv:budget=12.5%"),
            ("--context: longer than the model's context", "at most 4096"),
        ),
        (
            ("ppl", DEMO, *TEXT_FILE, "--context", 64, "--policies", "dms:window=64"),
            ("dms:window=64: window: keeps every token", "got 64, expected 0 to 63"),
        ),
        (("ruler", DEMO, "--tasks", "vt,vt"), ("--tasks", "stands there twice", "vt")),
        (("ruler", DEMO, "--tasks", "niah_singel_1"), ("--tasks", "did you mean niah_single_1?")),
        (("ruler", DEMO, "--tasks", "qa_1"), ("--tasks", "no --squad file")),
        (("ruler", DEMO, "--tasks", "qa_1", "--squad", TEXT), ("long_prompt.txt",)),
        (("ruler", DEMO, "--policies", "snapkv:budget=4096"), ("budget", "1 to 4095")),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(dms, command, words):
    assert_error(dms("eval", *command, check=False), *words)


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "ppl", DEMO, *TEXT_FILE),
        ("bench", DEMO, "--methods", "none", "--prompt-lens", 200),
    ],
    ids=("eval", "bench"),
)
def test_kept_results_are_not_written_over(dms, tmp_path, command):
    results = tmp_path / "results.jsonl"
    for option in ("--csv", "--html"):
        done = dms(*command, "--out", tmp_path, option, results, check=False)
        assert_error(done, f"{option}: is the file of --out")
    assert not results.exists()


def test_a_windows_reference_is_bounded(dms, tmp_path):
    shape = models.Shape("llama", layers=1, vocab=70_000, context=8192)
    folder = models.build(tmp_path / "m", shape)
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(models.random_ids(shape, 8000)))
    command = ("eval", "kld", folder, "--ids", ids, "--context", 8000, "--first-scored", 100)
    assert_error(dms(*command, check=False), "--stride", "at most 3834")
    # By default as many as fit: what is refused comes after that.
    fits = (*command[:-2], "--out", ids)
    assert "--stride" not in assert_error(dms(*fits, check=False), "ids.json")


def test_what_has_no_effect_is_said(dms):
    command = ("eval", "ppl", DEMO, *TEXT_FILE, "--max-tokens", 40)
    done = dms(*command, "--policies", "none", "--policy-args", "cr=8")
    assert "note: --policy-args: without effect" in done.stderr.decode()
    done = dms(*command, "--policies", "none,streaming")
    assert "note: streaming: every token was held" in done.stderr.decode()
    assert "note: none" not in done.stderr.decode()


@pytest.mark.parametrize("policy", ["triattention", "knorm"])
def test_an_adapter_is_of_use_to_its_policy(dms, model, tmp_path, policy):
    folder, _, file = model
    adapter = write_kvzap(folder, tmp_path / "zap", KvzapSettings())
    command = ("eval", "ppl", folder, "--ids", file, "--policies")
    done = dms(*command, f"none,{policy}:adapter={adapter}:budget=60", check=False)
    assert_error(done, f"--policies: {policy}:adapter", "adapter: has no effect", "one of kvzap")


def test_progress_shows_the_time_left_on_a_terminal():
    command = ("eval", "ppl", DEMO, "--text-file", TEXT, "--policies", "none")
    terminal = Terminal(*command, "--context", 64, "--stride", 16, "--max-tokens", 800)
    terminal.wait_for(" left: none, window ")
    terminal.wait_for("policy")
    terminal.wait_for("KV held")  # turned round: a terminal of 80 columns has no room for all
    assert terminal.end() == 0
