"""Whether predicting values from keys (AQUA-KV, arXiv 2501.19392) pays: error, perplexity and KL
divergence of survivors in few bits, each alone, and as the residual of two predictors.

python bench/kv_prediction.py MODEL --calibrate FILE --text FILE [--bits 4,3,2] [--window N]
                              [--segments N] [--tokens N]

A simulation in PyTorch on the tests' reference decoder (Llama's shape), with full attention under
an explicit mask: tokens within the window are exact, older ones pass through the quantiser; `evict`
rows hide besides what the model's own DMS decisions, or StreamingLLM where it has none, evict.

- own key: each head's value from its own key before RoPE. It could be absorbed in attention, one
  accumulation over keys and one [head_dim, head_dim] product a head and step.
- AQUA-KV: a layer's keys from the keys of the layer before, its values from those keys and the
  values of the layer before, all heads together, from what a reader would have reconstructed. It
  needs the same tokens alive in all heads and layers: it cannot serve a cache with eviction.

Predictors are fitted in closed form (ridge, 1e-3 of the mean diagonal, with intercept) on the first
`segments` stretches of `tokens` tokens of the calibration text; the same number of the other text
is scored. HIGGS: a random rotation of each head, one scale a token, pairs on the grids of
src/kernels/kv_grids.h; the first layer's survivors and the
first 4 tokens stay exact. Writes Markdown to stdout.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests" / "python"))

import reference  # noqa: E402

reference.DTYPE = torch.float32
RIDGE = 1e-3
SINKS = 4  # first tokens that stay exact: everybody attends them, and they fit no prediction


class Ridge:
    """y from x, linear with intercept, by normal equations that rows are added to."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.xx = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.xy = torch.zeros(inputs + 1, outputs, dtype=torch.float64)
        self.weights: torch.Tensor | None = None

    @staticmethod
    def _with_one(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        rows = self._with_one(x.double())
        self.xx += rows.T @ rows
        self.xy += rows.T @ y.double()

    def solve(self) -> None:
        damped = self.xx + RIDGE * self.xx.diagonal().mean() * torch.eye(len(self.xx))
        self.weights = torch.linalg.solve(damped, self.xy).float()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._with_one(x) @ self.weights


class Higgs:
    """Pairs of rotated channels on a grid, one scale a token and head."""

    def __init__(self, bits: int, head_dim: int) -> None:
        header = (CHECKOUT / "src" / "kernels" / "kv_grids.h").read_text()
        numbers = re.search(rf"kHiggs{bits}\{{([^}}]*)\}}", header).group(1)
        points = [float(number) for number in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", numbers)]
        self.grid = torch.tensor(points).view(2, -1).T  # all first ones, then all second ones
        normal = torch.randn(head_dim, head_dim, generator=torch.Generator().manual_seed(1))
        self.rotation = torch.linalg.qr(normal)[0]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x: [heads, tokens, head_dim], rounded."""
        turned = x @ self.rotation
        scale = turned.pow(2).mean(-1, keepdim=True).sqrt().bfloat16().float() + 1e-30
        pairs = (turned / scale).reshape(-1, 2)
        near = (pairs @ self.grid.T - self.grid.pow(2).sum(1) / 2).argmax(1)
        return (self.grid[near].view(turned.shape) * scale) @ self.rotation.T


@dataclass
class Layer:
    """Predictors of a layer, and the squared errors of what was stored."""

    value_from_key: list[Ridge]
    keys: Ridge
    values: Ridge
    errors: np.ndarray = field(default_factory=lambda: np.zeros(4))  # keys, of; values, of


@dataclass(frozen=True)
class Way:
    """How survivors are stored."""

    predictor: str = "none"  # none | own key | AQUA-KV
    quantise: Higgs | None = None


def flat(x: torch.Tensor) -> torch.Tensor:
    """[heads, tokens, d] -> [tokens, heads * d]."""
    return x.transpose(0, 1).flatten(1)


class Simulated(reference.Reference):
    """The reference decoder whose tokens beyond the window pass through a store."""

    def __init__(self, folder: Path, window: int) -> None:
        super().__init__(folder)
        self.window = window
        width, d = self.kv_heads * self.head_dim, self.head_dim
        self.layers = [
            Layer([Ridge(d, d) for _ in range(self.kv_heads)], Ridge(width, width),
                  Ridge(2 * width, width))
            for _ in range(self.config.num_hidden_layers)
        ]  # fmt: skip
        self.fitting = ""
        self.way = Way()
        self.evicting = False
        self.before: tuple[torch.Tensor, torch.Tensor] | None = None

    def _unflat(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(len(x), self.kv_heads, self.head_dim).transpose(0, 1)

    def _fit(self, layer: Layer, k: torch.Tensor, v: torch.Tensor) -> None:
        rows = slice(SINKS, None)
        if self.fitting == "own key":
            for head, ridge in enumerate(layer.value_from_key):
                ridge.add(k[head, rows], v[head, rows])
        elif self.fitting == "keys" and self.before:
            layer.keys.add(self.before[0][rows], flat(k)[rows])
            layer.values.add(torch.cat([flat(k), self.before[1]], dim=1)[rows], flat(v)[rows])
        self.before = (flat(k), flat(v))

    def _stored(self, number: int, k: torch.Tensor, v: torch.Tensor):
        """Keys and values as a reader gets them back."""
        layer, quantise = self.layers[number], self.way.quantise
        if quantise is None or number == 0:
            self.before = (flat(k), flat(v))
            return k, v
        key_guess, value_guess = torch.zeros_like(k), torch.zeros_like(v)
        if self.way.predictor == "AQUA-KV":
            key_guess = self._unflat(layer.keys(self.before[0]))
        keys = key_guess + quantise(k - key_guess)
        keys[:, :SINKS] = k[:, :SINKS]
        if self.way.predictor == "AQUA-KV":
            value_guess = self._unflat(layer.values(torch.cat([flat(keys), self.before[1]], dim=1)))
        elif self.way.predictor == "own key":
            pairs = zip(layer.value_from_key, keys, strict=True)
            value_guess = torch.stack([ridge(of) for ridge, of in pairs])
        values = value_guess + quantise(v - value_guess)
        values[:, :SINKS] = v[:, :SINKS]
        sums = [(keys - k).pow(2), k.pow(2), (values - v).pow(2), v.pow(2)]
        layer.errors += [float(part.sum()) for part in sums]
        self.before = (flat(keys), flat(values))
        return keys, values

    def _attend(self, layer, q, k, v, evicted, rope, request) -> torch.Tensor:
        if self.fitting:
            self._fit(self.layers[layer], k, v)
        far_keys, far_values = (k, v) if self.fitting else self._stored(layer, k, v)
        positions = torch.arange(q.shape[1])
        queries = self._rotate_queries(q, positions, rope).unflatten(0, (self.kv_heads, -1))
        near = positions[:, None] - positions[None, :] <= self.window
        scores = torch.where(
            near,
            queries @ self._rotate(k, positions, rope).mT[:, None],
            queries @ self._rotate(far_keys, positions, rope).mT[:, None],
        )
        visible = self._hidden(layer, len(positions), evicted, request)[:, None]
        scores = (scores / self.head_dim**0.5).masked_fill(~visible, float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        mixed = (weights * near) @ v[:, None] + (weights * ~near) @ far_values[:, None]
        return mixed.flatten(0, 1).transpose(0, 1).reshape(len(positions), -1)

    def _hidden(self, layer: int, tokens: int, evicted, request) -> torch.Tensor:
        """bool [kv_heads or 1, query, key]."""
        if not self.evicting:
            return torch.ones(1, tokens, tokens, dtype=torch.bool).tril()
        if self.eviction:
            return self._visible(layer, tokens, evicted, request)
        rule = reference.Streaming(SINKS, self.window)
        return reference.streaming_visibility(tokens, None, rule)


def fit(model: Simulated, segments: list[list[int]]) -> None:
    """Both predictors, from exact keys and values."""
    for model.fitting in ("own key", "keys"):
        for ids in segments:
            model.before = None
            model.run(ids, reference.Request(window=model.window))
    for number, layer in enumerate(model.layers):
        for ridge in (*layer.value_from_key, *((layer.keys, layer.values) if number else ())):
            ridge.solve()
    model.fitting = ""


def log_probabilities(
    model: Simulated, ids: list[int], way: Way | None = None, evicting: bool = False
) -> torch.Tensor:
    """[tokens - 1, vocab]."""
    model.way, model.evicting, model.before = way or Way(), evicting, None
    result = model.run(ids, reference.Request(window=model.window))
    return torch.log_softmax(torch.from_numpy(result.logits[:-1]), dim=-1)


def measure(model: Simulated, scored: list, way: Way, evicting: bool) -> str:
    """One row: perplexity, KL divergence from the exact full cache, errors of keys and values.

    `scored`: pairs of ids and their exact log-probabilities.
    """
    for layer in model.layers:
        layer.errors[:] = 0
    losses, divergences = [], []
    with torch.no_grad():
        for ids, exact in scored:
            other = log_probabilities(model, ids, way, evicting)
            losses.append(-other.gather(1, torch.tensor(ids[1:])[:, None]).mean())
            divergences.append((exact.exp() * (exact - other)).sum(1).mean())
    keys, of_keys, values, of_values = sum(layer.errors for layer in model.layers)
    errors = f"{keys / of_keys:.4f} | {values / of_values:.4f}" if of_keys else "0 | 0"
    perplexity = float(torch.stack(losses).mean().exp())
    return f"{perplexity:.3f} | {float(torch.stack(divergences).mean()):.4f} | {errors} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--bits", default="4,3,2")
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--segments", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=1024)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)

    def segments(path: Path) -> list[list[int]]:
        ids = tokenizer(path.read_text()[: 16 * args.segments * args.tokens])["input_ids"]
        starts = range(0, args.segments * args.tokens, args.tokens)
        return [ids[start : start + args.tokens] for start in starts]

    model = Simulated(args.model, args.window)
    with torch.no_grad():
        fit(model, segments(args.calibrate))
        scored = [(ids, log_probabilities(model, ids)) for ids in segments(args.text)]
    print("| survivors | perplexity | KL from exact | error of keys | of values |")
    print("|---|---|---|---|---|")
    for evicting in (False, True):
        name = "evict" if evicting else "all kept"
        print(f"| {name}, exact | {measure(model, scored, Way(), evicting)}", flush=True)
        for bits in args.bits.split(","):
            for predictor in ("none", "own key", *(() if evicting else ("AQUA-KV",))):
                way = Way(predictor, Higgs(int(bits), model.head_dim))
                label = f"{name}, {bits} bits" + (f", {predictor}" if predictor != "none" else "")
                print(f"| {label} | {measure(model, scored, way, evicting)}", flush=True)


if __name__ == "__main__":
    main()
