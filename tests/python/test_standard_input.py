"""`-` is standard input for every option that reads a file, and for one of them at a time."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import DEMO, HANG_GUARD_S, ROOT, binary, run_dms, run_ok

TEXT = "It was a dark night, and who came to the door?\n"
IDS = json.dumps(list(range(1, 21)))
TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
# Of eviction, `inspect` tells which file its settings are from.
PLAIN_CONFIG = (ROOT / "configs" / "shapes" / "llama-3.2-1b.json").read_text()
FORCED = ("--policy", "forced", "--window", 4)
SHORT = ("-n", 4)

# (command and what else it is given, option) -> what the file holds
READERS: dict[tuple[tuple[object, ...], str], str | None] = {
    (("generate", DEMO, *SHORT), "--prompt-file"): TEXT,
    (("generate", DEMO, *SHORT), "--ids"): IDS,
    (("generate", DEMO, "--chat", "-p", "Hello", *SHORT), "--template"): TEMPLATE,
    (("generate", DEMO, "-p", TEXT, *FORCED, *SHORT), "--decisions"): None,
    (("score", DEMO), "--text-file"): TEXT,
    (("score", DEMO), "--ids"): IDS,
    (("generate", DEMO, "-p", "In short", *SHORT), "--json-schema-file"): '{"type": "integer"}',
    (("generate", DEMO, "-p", "In short", *SHORT), "--grammar-file"): "root ::= [0-9]{3}",
    (("tokenize", DEMO), "--text-file"): TEXT,
    (("tokenize", DEMO, "--decode"), "--ids"): IDS,
    (("inspect",), "--config"): PLAIN_CONFIG,
}
# Tested below: their results have times in them, or another program makes them.
ELSEWHERE = {
    ("score", "--decisions"),
    ("bench", "--config"),
    ("bench", "--decisions"),
    ("chat", "--template"),
    ("chat", "--decisions"),
    ("chat", "--load"),  # a cache, which is mapped: no stream
    ("chat", "--document"),  # the same
    ("document", "--text-file"),
    ("document", "--messages"),
    ("document", "--prompt-file"),
    ("document", "--ids"),
    ("document", "--template"),
    ("document", "--decisions"),  # refused
    ("extract", "--config"),
    ("quantize", "--calibrate"),
    ("bench", "--csv"),  # written, not read
    ("bench", "--html"),
}
COMMANDS = (
    "inspect",
    "tokenize",
    "generate",
    "chat",
    "document",
    "score",
    "bench",
    "quantize",
    "train",
    "data",
    "extract",
)


def file_options(command: str) -> list[str]:
    """Those that --help gives a FILE."""
    return re.findall(r"^  (--[a-z-]+) FILE\b", run_ok(command, "--help"), re.MULTILINE)


def decisions() -> bytes:
    """A file for `--decisions`: every token but a few goes."""
    out = io.BytesIO()
    fates = np.ones((6, 2, 40), np.uint8)
    fates[..., ::3] = 0
    np.save(out, fates)
    return out.getvalue()


def test_no_option_is_left_out():
    known = {(str(command[0]), option) for command, option in READERS} | ELSEWHERE
    assert {(name, option) for name in COMMANDS for option in file_options(name)} == known


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize(
    ("command", "option"), READERS, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_it_is_read_like_a_file(tmp_path, command, option, name):
    text = READERS[command, option]
    data = decisions() if text is None else text.encode()
    file = tmp_path / "file"
    file.write_bytes(data)
    from_file = run_ok(*command, option, file)
    assert from_file
    assert run_ok(*command, option, name, stdin=data) == from_file


def test_documents_are_made_of_it(tmp_path):
    plain = ("--template", "plain", "--json")
    messages = json.dumps([{"role": "system", "content": TEXT}])
    made = []
    for option, data in (("--text-file", TEXT), ("--messages", messages)):
        out = tmp_path / option
        report = json.loads(run_ok("document", DEMO, out, option, "-", *plain, stdin=data))
        made.append((report["tokens"], report["file_bytes"], report["form"]))
    assert made[0] == made[1]
    ids = json.loads(run_ok("tokenize", DEMO, "--text-file", "-", "--json", stdin=TEXT))["ids"]
    for option, data in (("--prompt-file", TEXT), ("--ids", json.dumps(ids))):
        out = tmp_path / option
        report = json.loads(run_ok("document", DEMO, out, option, "-", "--json", stdin=data))
        assert (report["tokens"], report["form"]) == (len(ids), "prompt")


def test_it_is_read_where_times_are_told(dms_json, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    score = ("score", DEMO, "--text-file", text, *FORCED)
    kv = json.loads(run_ok(*score, "--decisions", "-", "--json", stdin=decisions()))["kv"]
    assert kv["held_tokens"] < kv["dense_tokens"]
    short = ("--prompt-lens", 12, "--gen", 2, "--repeat", 1)
    config = (DEMO / "config.json").read_bytes()
    bench = ("bench", "--config", "-", "--random-weights", *short)
    report = json.loads(run_ok(*bench, "--json", stdin=config))
    assert report["model"]["parameters"] == dms_json("inspect", DEMO)["parameters"]
    bench = ("bench", DEMO, *FORCED, "--decisions", "-", *short)
    (run,) = json.loads(run_ok(*bench, "--json", stdin=decisions()))["runs"]
    assert run["kv"]["held_tokens"] < run["kv"]["dense_tokens"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "-"),
        ("data", "prepare", "-"),
        ("extract", "--checkpoint", "c", "--out", "o", "--config", "-"),
    ],
    ids=" ".join,
)
def test_the_trainer_is_given_a_file(tmp_path, arguments):
    program = Path(shutil.copy(binary(), tmp_path / "dms"))
    trainer = tmp_path / "dms-train"
    trainer.write_text('#!/bin/sh\nfor a; do case $a in /*) cat "$a";; esac; done\n')
    trainer.chmod(0o755)
    done = subprocess.run(
        [program, *arguments], input=b"seed: 1\n", capture_output=True, timeout=HANG_GUARD_S
    )
    assert done.stdout == b"seed: 1\n", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_two_that_read_it_are_refused(command):
    for first, second in itertools.permutations(file_options(command), 2):
        done = run_dms(command, DEMO, first, "-", second, "/dev/stdin", stdin=TEXT)
        message = done.stderr.decode()
        assert done.returncode == 2
        assert message.count("\n") == 1
        assert "standard input can be read once" in message
        assert first in message
        assert second in message


@pytest.mark.parametrize("option", ["--template", "--decisions"])
def test_a_conversation_leaves_nothing_of_it(option):
    done = run_dms("chat", DEMO, option, "-", stdin="Hello\n")
    assert done.returncode == 2
    expected = f"{option}: standard input can be read once (got the conversation reads it too)"
    assert expected in done.stderr.decode()
    done = run_dms("chat", DEMO, "--template", "plain", stdin="/read -\nHello\n")
    assert done.returncode == 2
    assert "/read: standard input is the conversation" in done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "data", "part"),
    [
        (("score", DEMO, "--text-file", "-"), b"\xff", "standard input: is not text"),
        (("score", DEMO, "--ids", "-"), b"[1, 99999]", "standard input: element 1: out of range"),
        (("score", DEMO, "--ids", "-"), b"[1,", "standard input: line 1"),
        (("tokenize", DEMO, "--decode"), b"[99999]", "standard input: element 0: token id out"),
        (("generate", DEMO, "--chat", "-p", "x", "--template", "-"), b"{{", "standard input: "),
    ],
)
def test_errors_call_it_by_its_name(command, data, part):
    done = run_dms(*command, stdin=data)
    assert done.returncode == 2
    assert part in done.stderr.decode()
