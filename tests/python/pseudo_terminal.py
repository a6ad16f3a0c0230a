"""Runs `dms` on a pseudo-terminal, as a person at a keyboard."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
from collections.abc import Callable, Iterator

from harness import HANG_GUARD_S, binary

CTRL_C, CTRL_D, UP, HOME = "\x03", "\x04", "\x1b[A", "\x01"
TAKEN = "\x1b[?2004l"  # after a line has been read
PASTE = "\x1b[200~{}\x1b[201~"


class Terminal:
    """A program on a terminal of its own. Waits for texts, never for times."""

    def __init__(self, *arguments: object):
        command = [str(part) for part in (binary(), *arguments)]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", HOME="/nonexistent")
            os.environ.pop("LC_ALL", None)
            os.execv(command[0], command)
        self.seen = ""
        self.status: int | None = None

    def wait_for(self, text: str) -> str:
        """Reads until `text` has come; what came up to it."""
        deadline = time.monotonic() + HANG_GUARD_S
        while (at := self.seen.find(text)) < 0:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if not select.select([self.fd], [], [], 1)[0]:
                continue
            try:
                piece = os.read(self.fd, 1 << 16)
            except OSError:  # the other side has gone
                piece = b""
            assert piece, f"ended without {text!r}: {self.seen!r}"
            self.seen += piece.decode(errors="replace")
        before, self.seen = self.seen[:at], self.seen[at + len(text) :]
        return before

    def send(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self.fd, data[:1024]) :]

    def prompt(self) -> str:
        return self.wait_for("> ")

    def say(self, text: str, key: str = "\r") -> str:
        """At a prompt: types a line and waits for the next prompt; what was printed between."""
        self.send(text + key)
        self.wait_for(TAKEN)
        return self.prompt()

    def end(self) -> int:
        """The exit status of a program that has been told to leave."""
        if self.status is None:
            while True:
                try:
                    if not os.read(self.fd, 1 << 16):
                        break
                except OSError:
                    break
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self.fd)
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.end()


@contextlib.contextmanager
def chats(*first: object) -> Iterator[Callable[..., Terminal]]:
    """start(options) -> `dms chat FIRST... OPTIONS...` at its first prompt; all end at last."""
    opened: list[Terminal] = []

    def start(*options: object) -> Terminal:
        opened.append(Terminal("chat", *first, *options))
        opened[-1].wait_for("Type a message, or /help.")
        opened[-1].prompt()
        return opened[-1]

    yield start
    for each in opened:
        each.close()
