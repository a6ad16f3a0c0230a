#!/usr/bin/env python3
"""Encoding speed of dms beside Hugging Face's tokenizers, one thread each, interleaved.

Usage: tokenizer_bench.py --program BUILD/bench/dms_tokenizer_bench --text FILE TOKENIZER_JSON...

Two ways of feeding the text: paragraph by paragraph, and whole. The ids are compared as well.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402

REPEATS = 3


def ours(program: Path, tokenizer: Path, text: Path, mode: str) -> tuple[float, int]:
    """Seconds of the best of a few runs inside one process, and the number of ids."""
    command = [str(program), str(tokenizer), str(text), mode]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer["seconds"], answer["ids"]


def theirs(tokenizer: Tokenizer, pieces: list[str]) -> tuple[float, int]:
    """Seconds for encoding all pieces, and the number of ids."""
    start = time.perf_counter()
    ids = sum(len(tokenizer.encode(piece, add_special_tokens=False).ids) for piece in pieces)
    return time.perf_counter() - start, ids


def main() -> None:
    """Prints one row for each vocabulary and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("tokenizers", type=Path, nargs="+")
    options = parser.parse_args()
    text = options.text.read_text(encoding="utf-8")
    megabytes = len(text.encode()) / 1e6
    print("| vocabulary | text | dms MB/s | tokenizers MB/s | ratio |\n|---|---|---|---|---|")
    for path in options.tokenizers:
        peer = Tokenizer.from_file(str(path))
        for mode, pieces in (("paragraphs", text.split("\n\n")), ("whole", [text])):
            runs = [
                (ours(options.program, path, options.text, mode), theirs(peer, pieces))
                for _ in range(REPEATS)
            ]
            assert all(a[1] == b[1] for a, b in runs), f"{path}: different ids"
            speed = [megabytes / statistics.median(r[side][0] for r in runs) for side in (0, 1)]
            print(
                f"| {path.parent.name} | {mode} | {speed[0]:.1f} | {speed[1]:.2f} "
                f"| {speed[0] / speed[1]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
