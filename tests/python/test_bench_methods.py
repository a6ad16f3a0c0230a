"""`dms bench --methods`: a table of context lengths and methods, with a needle in each prompt."""

from __future__ import annotations

import csv
import json
import signal
import subprocess

import pytest

from bad_input import assert_error
from harness import DEMO, HANG_GUARD_S, binary, wait_until
from pseudo_terminal import Terminal

METHODS = "none,streaming:recent_size=12.5%"
COMMAND = ("bench", DEMO, "--prompt-lens", "200,400", "--gen", 12, "--repeat", 2)


def test_each_method_is_measured_at_each_length(dms, dms_json):
    report = dms_json(*COMMAND, "--methods", METHODS)
    rows = report["methods"]
    assert [(row["context_tokens"], row["method"]) for row in rows] == [
        (length, method) for length in (200, 400) for method in METHODS.split(",")
    ]
    for row in rows:
        assert row["prompts"] == row["seconds"]["n"] == 2
        # Of so many tokens is the prompt with its answer, but for what no word can fill.
        heads = rows[0]["kv"]["dense_tokens"] / 200
        assert 0.8 < row["kv"]["dense_tokens"] / (heads * row["context_tokens"]) <= 1
        assert 0 < row["first_token_s"]["min"] <= row["seconds"]["max"]
        assert row["tok_s"]["median"] > 0
        assert row["weight_bytes"] > 0
        assert row["kv_peak_bytes"] >= row["kv"]["allocated_bytes"]
    none, streaming = rows[2:]
    assert none["kv"]["cr"] == 1
    # An eighth of 400 tokens, the sinks, and the newest token.
    assert streaming["kv"]["held_tokens"] == (50 + 4 + 1) * 12
    # The needle is in the middle: the full cache finds it, the end of the text does not hold it.
    assert rows[0]["found"] > 0
    assert streaming["found"] == 0
    lines = dms(*COMMAND, "--methods", METHODS).stdout.decode().splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:3]] == ["context", "method"]
    assert len(lines) == 2 + 4


def test_a_method_without_memory_is_a_row_that_says_so(dms, dms_json):
    command = ("bench", DEMO, "--prompt-lens", 1000, "--gen", 4, "--repeat", 1)
    command += ("--methods", "none,streaming:recent_size=64", "--kv-memory", "1MiB")
    none, streaming = dms_json(*command)["methods"]
    assert (none["method"], streaming["method"]) == ("none", "streaming:recent_size=64")
    assert "KV memory" in none["failed"]
    assert "raise --kv-memory" in none["failed"]
    assert streaming["prompts"] == 1
    row = dms(*command).stdout.decode().splitlines()[2]
    assert row.startswith("|    1000 | none ")
    assert "KV memory" in row
    alone = dms(*command[:-4], "--methods", "none", *command[-2:], check=False)
    assert alone.returncode == 1
    assert "KV memory" in alone.stdout.decode()
    assert "none could be measured" in alone.stderr.decode()


def test_a_second_run_goes_on(dms, dms_json, tmp_path):
    out, results = tmp_path / "out", tmp_path / "out" / "results.jsonl"
    command = (*COMMAND, "--out", out, "--methods")
    whole = dms_json(*command, METHODS)["methods"]
    kept = results.read_text().splitlines(keepends=True)
    assert len(kept) == 1 + 2 * len(whole)  # a record a prompt
    # As a run that was killed leaves it: three records and a half.
    results.write_text("".join(kept[:4]) + kept[4][:40])
    done = dms(*command, METHODS, "--json")
    again = json.loads(done.stdout)["methods"]
    after = results.read_text().splitlines(keepends=True)
    assert after[:4] == kept[:4]
    assert len(after) == len(kept)
    # What is done is neither measured nor told again: its times are the first run's.
    assert again[0] == whole[0]
    assert b"none at 200" not in done.stderr
    assert b"none at 400" in done.stderr
    assert [row["found"] for row in again] == [row["found"] for row in whole]
    assert [row["kv"] for row in again] == [row["kv"] for row in whole]
    more = dms_json(*command, METHODS + ",random:cr=4")["methods"]
    assert [row for row in more if row["method"] != "random:cr=4"] == again
    done = dms(*command, METHODS, "--gen", 13, check=False)
    assert_error(done, "results.jsonl", "gen", "'12'", "'13'", "--force")
    begun = dms_json(*command, "none", "--gen", 13, "--repeat", 1, "--force")["methods"]
    assert [row["prompts"] for row in begun] == [1, 1]
    # An evaluation's folder is no place for it.
    needle = ("eval", "needle", DEMO, "--lengths", 200, "--samples", 1, "--out", out)
    assert_error(dms(*needle, check=False), "results.jsonl", "action", "--force")


def test_rows_are_written_as_csv_and_as_a_page(dms, tmp_path):
    """A row without numbers has the columns of the others."""
    table, page = tmp_path / "rows.csv", tmp_path / "page.html"
    command = ("bench", DEMO, "--prompt-lens", 1000, "--gen", 4, "--repeat", 1)
    command += ("--methods", "none,streaming:recent_size=64", "--kv-memory", "1MiB")
    dms(*command, "--csv", table, "--html", page)
    with table.open() as file:
        none, streaming = csv.DictReader(file)
    assert none["method"] == "none"
    assert none["seconds.median"] == none["kv.held_tokens"] == none["found"] == ""
    assert "KV memory" in none["failed"]
    assert float(streaming["seconds.median"]) > 0
    assert int(streaming["kv.held_tokens"]) == (64 + 4 + 1) * 12
    assert streaming["failed"] == ""
    text = page.read_text()
    assert "<td>none</td>" in text
    assert "streaming:recent_size=64: " in text  # a point of the chart
    assert text.count("<figure") == 1


def test_progress_shows_the_time_left_on_a_terminal(tmp_path):
    command = ("bench", DEMO, "--prompt-lens", 4000, "--gen", 4, "--repeat", 2)
    terminal = Terminal(*command, "--methods", "none", "--threads", 1, "--out", tmp_path)
    terminal.wait_for(" left: none at 4000, ")
    terminal.wait_for("none at 4000: ")
    terminal.wait_for("KV peak")
    assert terminal.end() == 0
    terminal = Terminal(*command, "--methods", "none", "--threads", 1, "--out", tmp_path)
    terminal.wait_for("goes on behind 2 parts that are measured")
    assert terminal.end() == 0


def test_ctrl_c_keeps_the_prompts_that_are_done(tmp_path):
    """Those of a row that was under way too."""
    command = ["bench", DEMO, "--prompt-lens", "4000", "--gen", 12, "--repeat", 50]
    command += ["--methods", "none", "--threads", 1, "--json"]
    command += ["--out", tmp_path, "--csv", tmp_path / "rows.csv"]
    process = subprocess.Popen(
        [str(binary()), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    results = tmp_path / "results.jsonl"
    wait_until(
        lambda: results.exists() and results.read_text().count("\n") >= 2, process, "a record"
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    assert b"interrupted: what was measured until then is above" in err
    prompts = json.loads(out)["methods"][0]["prompts"]
    assert prompts == results.read_text().count("\n") - 1
    assert f",{prompts}," in (tmp_path / "rows.csv").read_text().splitlines()[1]


def test_answers_too_short_for_the_needle_are_noted(dms):
    """The demo writes a space and seven digits in a token each."""
    command = ("bench", DEMO, "--prompt-lens", 200, "--repeat", 4, "--methods", "none")
    short, enough = (dms(*command, "--gen", tokens).stderr.decode() for tokens in (7, 8))
    assert "--gen 7: too few tokens to say the number that is hidden" in short
    assert "expected at least 8" in short
    assert "0 of 4 found" in short
    assert "too few tokens" not in enough
    assert "0 of 4 found" not in enough


def test_ctrl_c_prints_the_rows_that_are_done():
    command = ["bench", DEMO, "--prompt-lens", "200,4000", "--gen", 12, "--repeat", 1]
    command += ["--methods", "none,streaming:recent_size=64", "--threads", 1]
    process = subprocess.Popen(
        [str(binary()), *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert b"none at 200" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == -signal.SIGINT
    assert b"interrupted: what was measured until then is above" in err
    assert b"none" in out
    assert len(out.splitlines()) < 2 + 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--methods", "nonne"), ("--methods: nonne", "unknown policy")),
        (("--methods", "none,none"), ("--methods", "twice")),
        (("--methods", "snapkv:budget=100%"), ("--methods: snapkv:budget=100%", "below 100%")),
        (("--methods", "none", "--policy", "none"), ("--methods", "--policy")),
        (("--methods", "none", "--prompt-lens", 5000), ("--prompt-lens", "at most 4096")),
        (("--methods", "none", "--prompt-lens", 20), ("--prompt-lens: too short",)),
        (("--methods", ""), ("--methods", "an empty list")),
        (("--methods", "none,kvzap:adapter=/none"), ("--methods: kvzap:adapter=/none",)),
        (
            ("--methods", "snapkv:budget=400", "--prompt-lens", 400),
            ("--methods: snapkv:budget=400: budget: keeps", "got 400, expected 1 to 399"),
        ),
        (("--methods", "none", "--gen", 0), ("--gen 0",)),
        (("--methods", "none", "--prompt-lens", "200,200"), ("--prompt-lens", "twice", "200")),
        (("--methods", "none", "--force"), ("--force", "--out")),
        (("--methods", "none", "--csv", "a.csv", "--html", "./a.csv"), ("--html", "--csv")),
        (("--methods", "none", "--csv", "/nowhere/x"), ("/nowhere",)),
        (("--csv", "a.csv"), ("--csv", "goes with --methods")),
        (("--out", "a"), ("--out", "goes with --methods")),
    ],
)
def test_bad_options(dms, options, words):
    assert_error(dms("bench", DEMO, *options, check=False), *words)
