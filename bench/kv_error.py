"""What each format of survivors loses, on normal variables and on a model's real keys and values.

python bench/kv_error.py MODEL --text FILE [--tokens N] [--program build/release/bench/dms_kv_error]

Keys (after RoPE), values and queries of every layer and KV head over the first tokens of the text,
from the tests' reference decoder (Llama's shape). Errors are squares over squares; that of products
q . k is over |q|^2 |k|^2 / head_dim, what an error that knows nothing of q makes of the keys'. A
query is paired with the key of a random token before it. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests" / "python"))

import reference  # noqa: E402

reference.DTYPE = torch.float32
NORMAL_ROWS = 100_000
# Least squared errors of 2, 3 and 4 bits, known from the literature.
KNOWN = {"lloyd4": 0.0095, "higgs4": 0.0078, "higgs3": 0.0296, "higgs2": 0.108}


class Recorded(reference.Reference):
    """The reference decoder that notes queries, keys and values as attention meets them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.random = np.random.default_rng(0)
        self.rows: list[list[np.ndarray]] = [[], [], []]

    def _attend(self, layer, q, k, v, evicted, rope, request) -> torch.Tensor:
        positions = torch.arange(q.shape[1])
        queries = self._rotate_queries(q, positions, rope)[:: self.group]
        keys = self._rotate(k, positions, rope)
        before = self.random.integers(0, positions.numpy() + 1)
        for rows, heads in zip(self.rows, (queries, keys[:, before], v), strict=True):
            rows.append(heads.flatten(0, 1).numpy())
        return super()._attend(layer, q, k, v, evicted, rope, request)


def losses(program: Path, rows: list[np.ndarray]) -> dict[str, list[float]]:
    """Errors of keys, values and products by format. rows: queries, keys, values [rows, d]."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("queries", "keys", "values")]
        for path, array in zip(files, rows, strict=True):
            array.astype(np.float32).tofile(path)
        command = [program, str(rows[0].shape[1]), *files]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    fields = [line.split() for line in output.splitlines()]
    return {name: [float(number) for number in numbers] for name, *numbers in fields}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=512)
    default = CHECKOUT / "build" / "release" / "bench" / "dms_kv_error"
    parser.add_argument("--program", type=Path, default=default)
    args = parser.parse_args()
    model = Recorded(args.model)
    text = args.text.read_text()[: 16 * args.tokens]
    ids = AutoTokenizer.from_pretrained(args.model)(text)["input_ids"][: args.tokens]
    with torch.no_grad():
        model.run(ids, reference.Request(plain=True))
    normal = np.random.default_rng(1).standard_normal((3, NORMAL_ROWS, model.head_dim))
    expected = losses(args.program, list(normal))
    found = losses(args.program, [np.concatenate(rows) for rows in model.rows])
    print("| format | known | normal: keys | products | real: keys | values | products |")
    print("|---|---|---|---|---|---|---|")
    for name in found:
        keys, _, products = expected[name]
        numbers = [keys, products, *found[name]]
        known = f"{KNOWN[name]:g}" if name in KNOWN else ""
        print(f"| {name} | {known} | " + " | ".join(f"{number:.2g}" for number in numbers) + " |")


if __name__ == "__main__":
    main()
