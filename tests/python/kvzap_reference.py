"""KVzap in PyTorch and NumPy, written from its definition (kvpress: KVzapPress and its data
collector): the scores under an explicit mask, and their fit to what a text's repetition attends."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from reference import DTYPE, Reference, load_weights

KEPT = -1e9  # a fate logit that no rounding turns


@dataclass(frozen=True)
class Settings:
    threshold: float = 0.0
    window: int = 16
    n_sink: int = 4
    hidden: int = 0


def write_adapter(base: Path, out: Path, settings: Settings, seed: int = 0) -> Path:
    """Random scores for a base, by the format's description in docs/model-folders.md."""
    config = json.loads((base / "config.json").read_text())
    sizes = ("model_type", "hidden_size", "num_hidden_layers", "num_key_value_heads")
    fields = {"format": "dms-adapter", "version": 1} | {key: config[key] for key in sizes}
    fields |= {
        "kvzap_threshold": settings.threshold,
        "kvzap_window_size": settings.window,
        "kvzap_n_sink": settings.n_sink,
        "kvzap_hidden_size": settings.hidden,
    }
    hidden, heads = config["hidden_size"], config["num_key_value_heads"]
    generator = torch.Generator().manual_seed(seed)

    def linear(name: str, rows: int, columns: int) -> dict[str, torch.Tensor]:
        weight = torch.randn(rows, columns, generator=generator) / columns**0.5
        bias = 0.2 * torch.randn(rows, generator=generator)
        return {name + ".weight": weight, name + ".bias": bias}

    tensors: dict[str, torch.Tensor] = {}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}.self_attn.kvzap"
        if settings.hidden:
            tensors |= linear(prefix + ".0", settings.hidden, hidden)
            tensors |= linear(prefix + ".2", heads, settings.hidden)
        else:
            tensors |= linear(prefix, heads, hidden)
    out.mkdir()
    (out / "adapter_config.json").write_text(json.dumps(fields))
    save_file(tensors, out / "adapter.safetensors")
    return out


class KvzapReference(Reference):
    """The base under an adapter's decisions; fate logits are threshold - score."""

    def __init__(self, base: Path, adapter: Path):
        super().__init__(base)
        self.scores = load_weights(adapter)
        fields = json.loads((adapter / "adapter_config.json").read_text())
        self.threshold = fields["kvzap_threshold"]
        self.n_sink = fields["kvzap_n_sink"]

    def _score(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ self.scores[name + ".weight"].T + self.scores[name + ".bias"]

    def _project(self, layer: int, x: torch.Tensor):
        q, k, v, _ = super()._project(layer, x)
        h = self._before(layer, self.names.attention_norm, x)
        prefix = f"model.layers.{layer}.self_attn.kvzap"
        if prefix + ".weight" in self.scores:
            return q, k, v, self._score(prefix, h).T
        hidden = torch.nn.functional.gelu(self._score(prefix + ".0", h))
        return q, k, v, self._score(prefix + ".2", hidden).T

    def _own_fate_logits(self, raw: torch.Tensor) -> torch.Tensor:
        own = self.threshold - raw
        own[:, : self.n_sink] = KEPT
        return own


# What `dms calibrate kvzap` does with a text.

WHOLE = "\n\nRepeat the previous context exactly."
PART = "\n\nRepeat the part of the previous context exactly, starting with"


@dataclass
class Segments:
    fitted: list[list[int]]
    held_out: list[list[int]]
    stopping: list[int]  # which of the fitted ones say when to stop
    asks: list[int]  # between a segment and its repetition


def cut(tokenizer: Tokenizer, text: str, context: int) -> Segments:
    """As docs/cli.md says it, by minstd_rand's draws."""

    def encode(part: str) -> list[int]:
        return tokenizer.encode(part, add_special_tokens=False).ids

    answer = encode("\n")
    asks = max(len(encode(WHOLE)), len(encode(PART)) + 8) + len(answer)
    beginning = tokenizer.encode("").ids
    longest = min(1250, (context - asks) // 2) - len(beginning)
    shortest = longest * 3 // 5
    ids, draw, first = encode(text), 1, 0
    segments: list[list[int]] = []
    while len(ids) - first >= shortest:
        draw = draw * 48271 % (2**31 - 1)
        count = shortest + draw % (longest - shortest + 1)
        segments.append(beginning + ids[first : first + count])
        first += count
    held_out = segments[3::8]
    fitted = [i for i in range(len(segments)) if i % 8 != 3]
    stopping = [at for at, i in enumerate(fitted) if i % 8 == 1]
    return Segments([segments[i] for i in fitted], held_out, stopping, encode(WHOLE) + answer)


class Collector:
    """Inputs and targets of every layer, of transformers' model in float64."""

    def __init__(self, folder: Path):
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=DTYPE, attn_implementation="eager"
        ).eval()
        self.seen: dict[tuple[str, int], torch.Tensor] = {}
        for index, layer in enumerate(self.model.model.layers):
            layer.input_layernorm.register_forward_hook(self._keep("h", index))
            layer.self_attn.v_proj.register_forward_hook(self._keep("v", index))

    def _keep(self, name: str, layer: int):
        def hook(module, inputs, output):
            self.seen[name, layer] = output[0].detach()

        return hook

    def collect(self, segment: list[int], asks: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """[layers] of h [tokens, hidden] and y [tokens, kv_heads]."""
        with torch.no_grad():
            output = self.model(
                torch.tensor([segment + asks + segment]), output_attentions=True, use_cache=False
            )
        config, n, collected = self.model.config, len(segment), []
        group = config.num_attention_heads // config.num_key_value_heads
        for index, layer in enumerate(self.model.model.layers):
            h = self.seen["h", index]
            v = self.seen["v", index].view(len(h), config.num_key_value_heads, -1)
            w = layer.self_attn.o_proj.weight.detach().view(len(h[0]), -1, v.shape[-1])
            v = v.repeat_interleave(group, dim=1)
            sizes = torch.einsum("ogd,tgd->gto", w, v).norm(dim=-1)  # [q_heads, tokens]
            a = output.attentions[index][0].to(DTYPE)[:, n:, :n]
            a = a / h[n:].norm(dim=-1)[None, :, None] * sizes[:, None, :n]
            best = a.amax(dim=1).view(config.num_key_value_heads, group, n).amax(dim=1)
            collected.append((h[:n].numpy(), best.log().T.numpy()))
        return collected


@dataclass
class Fit:
    weight: np.ndarray  # [kv_heads, hidden]
    bias: np.ndarray


def ridge(x: np.ndarray, y: np.ndarray, penalty: float = 1.0) -> Fit:
    centred = x - x.mean(0)
    gram = centred.T @ centred + penalty * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, centred.T @ (y - y.mean(0))).T
    return Fit(weight, y.mean(0) - weight @ x.mean(0))


def r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """[kv_heads]"""
    return 1 - ((y - predicted) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)


def stack(parts: list[list[tuple[np.ndarray, np.ndarray]]], layer: int, n_sink: int):
    """One layer's inputs and targets of several segments, without their first tokens."""
    x = np.concatenate([part[layer][0][n_sink:] for part in parts])
    y = np.concatenate([part[layer][1][n_sink:] for part in parts])
    return x, y


def lowest(values: np.ndarray, share: float) -> float:
    """The value below which this share lies."""
    return float(np.sort(values, axis=None)[math.floor(share * values.size)])


# The fit with a hidden layer.

MASK = 2**64 - 1
BATCH, RATE, WARM_UP, DECAY, PASSES, PATIENCE = 256, 3e-4, 0.05, 0.01, 15, 3


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


class Draws:
    """SplitMix64's stream for a seed and a purpose (src/base/random.h)."""

    def __init__(self, seed: int, purpose: str):
        hashed = 0xCBF29CE484222325
        for byte in purpose.encode():
            hashed = ((hashed ^ byte) * 0x100000001B3) & MASK
        self.state = mix(mix(seed ^ mix(hashed)))

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return mix(self.state)

    def below(self, bound: int) -> int:
        draw = self.next()
        while draw < 2**64 % bound:
            draw = self.next()
        return draw % bound

    def signed(self) -> float:
        return 2 * (self.next() >> 11) / 2**53 - 1

    def shuffle(self, items: list[int]) -> None:
        for left in range(len(items), 1, -1):
            at = self.below(left)
            items[left - 1], items[at] = items[at], items[left - 1]


def mlp_scores(x: np.ndarray, first, first_bias, last, last_bias) -> np.ndarray:
    """W2 GELU(W1 x + b1) + b2 of rows, in float64."""
    hidden = torch.nn.functional.gelu(torch.from_numpy(x @ first.T + first_bias))
    return hidden.numpy() @ last.T + last_bias


def begun_as(start: Fit, x: np.ndarray, y: np.ndarray, hidden: int, draws: Draws):
    """A network for standardised rows that says what `start` says of plain ones."""
    columns, targets = x.shape[1], y.shape[1]
    network = torch.nn.Sequential(
        torch.nn.Linear(columns, hidden), torch.nn.GELU(), torch.nn.Linear(hidden, targets)
    ).to(DTYPE)
    weight = start.weight * x.std(0) / y.std(0)[:, None]
    bias = (start.weight @ x.mean(0) + start.bias - y.mean(0)) / y.std(0)
    first, last = np.zeros((hidden, columns + 1)), np.zeros((targets, hidden))
    for target in range(targets):
        for unit, sign in ((2 * target, 1), (2 * target + 1, -1)):
            first[unit] = sign * np.append(weight[target], bias[target])
            last[target, unit] = sign
    for unit in range(2 * targets, hidden):
        first[unit] = [draws.signed() / columns**0.5 for _ in range(columns + 1)]
    with torch.no_grad():
        network[0].weight.copy_(torch.from_numpy(first[:, :-1]))
        network[0].bias.copy_(torch.from_numpy(first[:, -1]))
        network[2].weight.copy_(torch.from_numpy(last))
        network[2].bias.zero_()
    return network


def fit_mlp(fitted, stopping, start: Fit, hidden: int, seed: int):
    """Fits by torch's AdamW, in float64, to (x, y); returns the function of x that it found."""
    (x, y), (other_x, other_y) = fitted, stopping
    draws = Draws(seed, "kvzap")
    network = begun_as(start, x, y, hidden, draws)

    def scaled(values: np.ndarray, by: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((values - by.mean(0)) / by.std(0))

    inputs, wanted = scaled(x, x), scaled(y, y)
    judge = scaled(other_x, x), scaled(other_y, y)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    loss = torch.nn.functional.mse_loss

    def error() -> float:
        with torch.no_grad():
            return loss(network(judge[0]), judge[1]).item()

    def copied() -> dict:
        return {name: value.clone() for name, value in network.state_dict().items()}

    best, least, since = copied(), error(), 0
    order, batch = list(range(len(x))), min(BATCH, len(x))
    steps, step = len(x) // batch * PASSES, 0
    for _ in range(PASSES):
        draws.shuffle(order)
        for first in range(0, len(x) // batch * batch, batch):
            rows = order[first : first + batch]
            done, step = (step + 1) / (steps + 1), step + 1
            falling = (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
            optimiser.param_groups[0]["lr"] = RATE * min(done / WARM_UP, falling)
            optimiser.zero_grad()
            loss(network(inputs[rows]), wanted[rows]).backward()
            optimiser.step()
        since += 1
        if error() < least:
            best, least, since = copied(), error(), 0
        if since == PATIENCE:
            break
    network.load_state_dict(best)

    def predict(values: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(scaled(values, x)).numpy() * y.std(0) + y.mean(0)

    return predict
