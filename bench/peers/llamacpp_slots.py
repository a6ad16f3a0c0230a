"""llama.cpp's files of one sequence's cache, for bench/documents.py.

Reads one JSON line {"gguf", "kv", "threads", "folder", "tokens"} from standard input, computes the
tokens and answers with a JSON line {"prompt_s"}. Each empty line after it asks for a round: the
sequence is saved as llama.cpp's server saves a slot, and synced; emptied; restored; and goes on by
one token. It is answered by {"bytes", "save_ms", "restore_ms", "again_ms"}.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from pathlib import Path

import llama_cpp as ll
from llamacpp_peer import MARGIN, QUIET, Context, Model


class Slot:
    """A context whose sequence 0 is saved and restored by a file."""

    def __init__(self, context: Context, tokens: list[int], file: Path) -> None:
        self.context = context
        self.tokens = (ll.llama_token * len(tokens))(*tokens)
        self.file = file

    def save(self) -> int:
        """Bytes of the file, which is on the disk at the return."""
        name = str(self.file).encode()
        size = ll.llama_state_seq_save_file(
            self.context.raw, name, 0, self.tokens, len(self.tokens)
        )
        if size == 0:
            raise RuntimeError(f"llama_state_seq_save_file wrote nothing to {self.file}")
        with self.file.open("rb+") as written:
            os.fsync(written.fileno())
        return size

    def restore(self) -> None:
        found = (ll.llama_token * len(self.tokens))()
        count = ctypes.c_size_t()
        name = str(self.file).encode()
        size = ll.llama_state_seq_load_file(
            self.context.raw, name, 0, found, len(found), ctypes.byref(count)
        )
        if size == 0 or list(found) != list(self.tokens):
            raise RuntimeError(f"llama_state_seq_load_file did not restore {self.file}")

    def go_on(self) -> None:
        self.context.step([(self.tokens[0], len(self.tokens), 0)])
        self.context.argmax(0)

    def round(self) -> dict[str, float]:
        start = time.perf_counter()
        size = self.save()
        saved = time.perf_counter()
        self.context.forget(0, 0)
        emptied = time.perf_counter()
        self.restore()
        restored = time.perf_counter()
        self.go_on()
        again = time.perf_counter()
        self.context.forget(0, len(self.tokens))
        return {
            "bytes": size,
            "save_ms": 1e3 * (saved - start),
            "restore_ms": 1e3 * (restored - emptied),
            "again_ms": 1e3 * (again - restored),
        }


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    ll.llama_log_set(QUIET, None)
    ll.llama_backend_init()
    model = Model(Path(asked["gguf"]), asked["threads"], "auto", asked["kv"], mapped=True)
    tokens = asked["tokens"]
    context = Context(model, len(tokens) + MARGIN)
    start = time.perf_counter()
    context.prefill(tokens)
    print(json.dumps({"prompt_s": time.perf_counter() - start}), flush=True)
    slot = Slot(context, tokens, Path(asked["folder"]) / "slot")
    for _ in sys.stdin:
        print(json.dumps(slot.round()), flush=True)


if __name__ == "__main__":
    main()
