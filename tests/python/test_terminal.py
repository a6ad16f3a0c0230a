"""What the program prints on a terminal, and into a pipe that nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
from pathlib import Path
from threading import Thread

import pytest

from harness import DEMO, HANG_GUARD_S, binary, run_ok


def run_on_terminal(*args: object, columns: int, stdin: bytes = b"") -> tuple[int, str]:
    """The status and everything a terminal of so many columns would receive."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    received = []

    def read():
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            received.append(data)

    reader = Thread(target=read, daemon=True)
    reader.start()
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    done = subprocess.run(
        [str(binary()), *map(str, args)],
        input=stdin,
        stdout=slave,
        stderr=slave,
        env=environment,
        timeout=HANG_GUARD_S,
        check=False,
    )
    os.close(slave)
    reader.join()
    os.close(master)
    return done.returncode, b"".join(received).decode().replace("\r\n", "\n")


BENCH = ("bench", DEMO, "--prompt-lens", "8,16", "--gen", 2, "--repeat", 1)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_bench_table_fits(columns):
    status, text = run_on_terminal(*BENCH, columns=columns)
    assert status == 0, text
    table = text[text.index("\npolicy") + 1 :]
    assert max(map(len, table.splitlines())) <= columns, table
    assert ("prefill tok/s" in table.splitlines()[0]) == (columns == 200)


def test_bench_table_in_a_pipe_has_one_line_a_run(dms):
    table = dms(*BENCH).stdout.decode().split("\npolicy", 1)[1]
    assert len(table.splitlines()) == 3


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", [("inspect", DEMO), ("inspect", "--config", "CONFIG")])
def test_inspect_fits(columns, command):
    command = [DEMO / "config.json" if word == "CONFIG" else word for word in command]
    status, text = run_on_terminal(*command, columns=columns)
    assert status == 0
    words = [line for line in text.splitlines() if "/" not in line]
    assert max(map(len, words)) <= columns, text


def test_an_error_after_text_has_its_own_line():
    limits = ("--ignore-eos", "-n", 2000, "--kv-memory", "300KiB")
    status, text = run_on_terminal("generate", DEMO, "-p", "It was", *limits, columns=80)
    assert status == 1
    assert "\ndms: error: KV memory" in text, text[-300:]


@pytest.mark.parametrize("command", ["inspect", "score", "tokenize", "generate", "--help"])
def test_a_reader_that_went_away_is_no_error(command, tmp_path):
    (tmp_path / "ids.json").write_text("[1, 2, 3]")
    more = {
        "score": ["--ids", str(tmp_path / "ids.json")],
        "generate": ["-p", "a", "-n", "2"],
        "--help": [],
    }
    args = [command] if command == "--help" else [command, str(DEMO), *more.get(command, [])]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [str(binary()), *args],
        stdout=writer,
        stderr=subprocess.PIPE,
        input=b"hello",
        timeout=HANG_GUARD_S,
        check=False,
    )
    os.close(writer)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == b""


ESCAPES = "\x1b[31m\x9b2J\x7f\r"
SHOWN = "\\u001b[31m\\u009b2J\\u007f\\u000d"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """The demo, all of whose answers hold escape sequences where others have an e."""
    folder = tmp_path_factory.mktemp("hostile") / "m\x1b[31m"
    shutil.copytree(DEMO, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    replace = {"type": "Replace", "pattern": {"String": "e"}, "content": ESCAPES}
    tokenizer["decoder"] = {"type": "Sequence", "decoders": [tokenizer["decoder"], replace]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


NAMES = ("generate", "chat", "decode", "tokenize", "inspect", "json", "error")


def commands_that_show_text(folder: Path) -> dict[str, tuple]:
    """Each with its standard input."""
    prompt = ("-p", "It was a dark night and", "-n", 20)
    ids = run_ok("tokenize", DEMO, "--json", stdin="the sea").encode()
    return {
        "generate": (("generate", folder, *prompt), b""),
        "chat": (("chat", folder, "--template", "plain", "-n", 20), b"Who came there?\n"),
        "decode": (("tokenize", folder, "--decode"), ids),
        "tokenize": (("tokenize", folder), f"a{ESCAPES}b".encode()),
        "inspect": (("inspect", folder), b""),
        "json": (("generate", folder, *prompt, "--json"), b""),
        "error": (("score", folder, "--ids", "-"), b'["\x1b[31m"]'),
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_text_reaches_a_terminal_with_its_control_characters(hostile, name):
    command, stdin = commands_that_show_text(hostile)[name]
    _, text = run_on_terminal(*command, columns=80, stdin=stdin)
    progress = text.replace("\r\x1b[K", "")  # ours, on standard error
    controls = {c for c in progress if c not in "\n\t" and (c < " " or "\x7f" <= c < "\xa0")}
    assert not controls, text
    if name in ("generate", "chat", "decode"):
        assert SHOWN in text


def test_a_pipe_keeps_every_byte(hostile):
    command, _ = commands_that_show_text(hostile)["generate"]
    assert ESCAPES in run_ok(*command)
    report = run_ok(*command, "--json")
    assert ESCAPES in json.loads(report)["text"]
    assert SHOWN not in report


def test_json_on_a_terminal_is_the_same_json(hostile):
    command, _ = commands_that_show_text(hostile)["json"]
    _, text = run_on_terminal(*command, columns=80)
    assert ESCAPES in json.loads(text[text.index("{") :])["text"]
