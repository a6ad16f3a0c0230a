"""A conversation over one cache that grows by what it keeps, not by what was said.

    python examples/long_chat.py [MODEL] [--turns 6]

Each turn appends only its own tokens. A saved session goes on later and reads nothing again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from dms_cpp import LLM, SamplingParams

TEXT = Path(__file__).resolve().parent / "long_prompt.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="models/demo")
    parser.add_argument("--turns", type=int, default=6)
    options = parser.parse_args()

    llm = LLM(options.model)
    session = llm.session()
    params = SamplingParams(temperature=0.7, seed=1, max_tokens=24)
    paragraphs = [part for part in TEXT.read_text().split("\n\n") if part.strip()]
    print("turn   tokens     held    dense     KiB    cr")
    for turn in range(options.turns):
        said = paragraphs[turn % len(paragraphs)]
        session.generate(said + "\n\n", params)
        kv = session.kv
        print(
            f"{turn + 1:4} {len(session):8} {kv.held_tokens:8} {kv.dense_tokens:8}"
            f" {kv.allocated_bytes / 1024:7.0f} {kv.cr:5.2f}"
        )

    what_if = session.fork()  # shares the memory until one of the two goes on
    print("fork:  ", what_if.generate("But then", params).outputs[0].text.strip())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "conversation.dms"
        session.save(file)
        print(f"saved:  {file.stat().st_size / 1024:.0f} KiB")
        again = llm.load_session(file)
        print("loaded:", again.generate("But then", params).outputs[0].text.strip())


main()
