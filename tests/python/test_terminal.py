"""What the program prints on a terminal, and into a pipe that nobody reads."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from threading import Thread

import pytest
from harness import DEMO, HANG_GUARD_S, binary


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
