"""Training with soft eviction, written from semantics.md section 2 and nothing else.

Explicit [tokens, tokens] scores and masks in float64, gradients by PyTorch's autograd: slow,
obvious, and the yardstick of the trainer's fused attention, losses and gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import logsigmoid, silu
from transformers import AutoConfig

from reference import DTYPE, load_weights, rms_norm


@dataclass(frozen=True)
class Settings:
    """What a configuration and its schedules come to at one step."""

    source: str = "adapter"  # "adapter" | "neuron"
    shift: int = 1
    window: int = 4
    scale: float = 100.0
    offset: float = 5.0
    per_layer: bool = False
    tau: float = 0.1
    target: float = 0.0  # share of decisions that should evict
    forward_kl: bool = False  # KL(teacher || student), else KL(student || teacher)
    kl_sum: bool = False
    soft_fraction: bool = False
    zero_after_rope: bool = True
    borrowed: float = 0.0  # neuron: what is left of the borrowed channel


@dataclass(frozen=True)
class Rows:
    """A micro-batch as lists."""

    ids: list[list[int]]
    loss: list[list[int]]  # 1: the token counts as a target
    eos: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        return max(map(len, self.ids))


class TrainReference:
    """One model folder whose weights are leaves of autograd."""

    def __init__(self, folder: Path, settings: Settings | None):
        self.config = AutoConfig.from_pretrained(folder)
        self.settings = settings
        self.weights = load_weights(folder)
        self.q_heads = self.config.num_attention_heads
        self.kv_heads = self.config.num_key_value_heads
        self.head_dim = (
            getattr(self.config, "head_dim", None) or self.config.hidden_size // self.q_heads
        )
        if settings and settings.source == "adapter":
            self._add_fresh_adapter()
        for weight in self.weights.values():
            weight.requires_grad_(True)

    def _add_fresh_adapter(self) -> None:
        hidden = self.config.hidden_size
        for layer in range(self.config.num_hidden_layers):
            prefix = f"model.layers.{layer}.self_attn."
            fresh = {
                "dms_proj_alpha_norm.weight": torch.ones(hidden, dtype=DTYPE),
                "dms_proj_alpha.weight": torch.zeros(self.kv_heads, hidden, dtype=DTYPE),
            }
            if prefix + "q_proj.bias" in self.weights:
                fresh["dms_proj_alpha.bias"] = torch.zeros(self.kv_heads, dtype=DTYPE)
            for name, value in fresh.items():
                self.weights.setdefault(prefix + name, value)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        y = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, self.weights[name + ".weight"], self.config.rms_norm_eps)

    def _heads(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """[heads, tokens, head_dim]"""
        return self._linear(name, x).view(len(x), -1, self.head_dim).transpose(0, 1)

    def _rotate(self, x: torch.Tensor) -> torch.Tensor:
        """Angles are rounded to float32, as the engine computes them."""
        exponent = torch.arange(0, self.head_dim, 2, dtype=DTYPE) / self.head_dim
        inverse = (self.config.rope_parameters["rope_theta"] ** -exponent).float()
        angles = torch.arange(x.shape[1], dtype=torch.float32)[:, None] * inverse
        cos, sin = angles.cos().to(DTYPE), angles.sin().to(DTYPE)
        low, high = x.chunk(2, dim=-1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)

    def _scale_borrowed(self, q: torch.Tensor) -> torch.Tensor:
        factor = torch.ones(self.q_heads, 1, self.head_dim, dtype=DTYPE)
        factor[:: self.q_heads // self.kv_heads, :, -1] = self.settings.borrowed
        return q * factor

    def _decision_logits(self, layer: int, x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        """[kv_heads, tokens], computed *from* each token; x before its norm, q before RoPE."""
        prefix = f"model.layers.{layer}.self_attn.dms_proj_alpha"
        if self.settings.source == "adapter":
            raw = self._linear(prefix, self._norm(prefix + "_norm", x)).T
        else:
            raw = q[:: self.q_heads // self.kv_heads, :, -1]
        return raw * self.settings.scale - self.settings.offset

    def _sliding(self, layer: int) -> float:
        kinds = getattr(self.config, "layer_types", None)
        if kinds is not None and kinds[layer] != "sliding_attention":
            return math.inf
        return getattr(self.config, "sliding_window", None) or math.inf

    def _attend(self, layer: int, x: torch.Tensor, noise: torch.Tensor | None):
        """What attention adds to x, and z [kv_heads, tokens] (None: eviction off)."""
        prefix = f"model.layers.{layer}.self_attn."
        normed = self._norm(f"model.layers.{layer}.input_layernorm", x)
        q, k, v = (self._heads(prefix + name, normed) for name in ("q_proj", "k_proj", "v_proj"))
        if prefix + "q_norm.weight" in self.weights:
            q, k = self._norm(prefix + "q_norm", q), self._norm(prefix + "k_norm", k)
        z = None
        if noise is not None:
            z = (self._decision_logits(layer, x, q) + noise) / self.settings.tau
            if self.settings.per_layer:
                z = z[:1].expand_as(z)
        borrows = self.settings and self.settings.source == "neuron"
        if borrows:
            q = self._scale_borrowed(q)
        q, k = self._rotate(q), self._rotate(k)
        if borrows and self.settings.zero_after_rope:
            q = self._scale_borrowed(q)
        group = self.q_heads // self.kv_heads
        scores = q @ k.repeat_interleave(group, 0).transpose(1, 2) / math.sqrt(self.head_dim)
        scores = scores + self._bias(scores.shape[1], z, group)
        position = torch.arange(scores.shape[1])
        distance = position[:, None] - position[None, :]
        hidden = (distance < 0) | (distance >= self._sliding(layer))
        shares = torch.softmax(scores.masked_fill(hidden, -math.inf), -1)
        mixed = shares @ v.repeat_interleave(group, 0)
        return self._linear(prefix + "o_proj", mixed.transpose(0, 1).reshape(len(x), -1)), z

    def _bias(self, tokens: int, z: torch.Tensor | None, group: int) -> torch.Tensor | float:
        """[q_heads, query, key]: logsigmoid(-z) of the token that decides, beyond the window."""
        if z is None:
            return 0.0
        position = torch.arange(tokens)
        beyond = position[:, None] - position[None, :] > self.settings.window
        last = torch.zeros(self.kv_heads, self.settings.shift, dtype=DTYPE)
        fate = torch.cat([logsigmoid(-z[:, self.settings.shift :]), last], 1)
        return beyond * fate.repeat_interleave(group, 0)[:, None, :]

    def row(self, ids: list[int], noise: torch.Tensor | None = None):
        """Logits [tokens, vocab] and z [layers, kv_heads, tokens]; noise alike (None: off)."""
        x = self.weights["model.embed_tokens.weight"][torch.tensor(ids)]
        all_z = []
        for layer in range(self.config.num_hidden_layers):
            added, z = self._attend(layer, x, None if noise is None else noise[layer])
            x = x + added
            prefix = f"model.layers.{layer}."
            h = self._norm(prefix + "post_attention_layernorm", x)
            gate = silu(self._linear(prefix + "mlp.gate_proj", h))
            x = x + self._linear(
                prefix + "mlp.down_proj", gate * self._linear(prefix + "mlp.up_proj", h)
            )
            all_z.append(z)
        x = self._norm("model.norm", x)
        head = self.weights.get("lm_head.weight", self.weights["model.embed_tokens.weight"])
        return x @ head.T, None if noise is None else torch.stack(all_z)


def fraction_closed(z: torch.Tensor, soft: bool) -> torch.Tensor:
    """Mean straight-through decision over layers, heads and tokens."""
    probability = torch.sigmoid(z)
    if soft:
        return probability.mean()
    return ((z > 0).to(DTYPE) - probability.detach() + probability).mean()


def targets_of(rows: Rows, row: int) -> list[int | None]:
    """For each token what it should predict; None where that does not count."""
    ids, loss = rows.ids[row], rows.loss[row]
    return [
        ids[i + 1] if loss[i + 1] and ids[i] not in rows.eos else None for i in range(len(ids) - 1)
    ] + [None]


def cross_entropy(reference: TrainReference, rows: Rows) -> torch.Tensor:
    """Plain language modelling: the mean over tokens that have a target."""
    terms = []
    for row, ids in enumerate(rows.ids):
        log_p = torch.log_softmax(reference.row(ids)[0], -1)
        terms += [-log_p[i, t] for i, t in enumerate(targets_of(rows, row)) if t is not None]
    return torch.stack(terms).mean()


def distillation(
    student: TrainReference, teacher: TrainReference, rows: Rows, noise: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """noise [layers, rows, kv_heads, width]; None: the student evicts as little as the teacher."""
    settings = student.settings
    kl, lm, missing, fractions = [], [], [], []
    for row, ids in enumerate(rows.ids):
        with torch.no_grad():
            log_q = torch.log_softmax(teacher.row(ids)[0], -1)
        logits, z = student.row(ids, None if noise is None else noise[:, row, :, : len(ids)])
        log_p = torch.log_softmax(logits, -1)
        if settings.forward_kl:
            per_token = (log_q.exp() * (log_q - log_p)).sum(-1)
        else:
            per_token = (log_p.exp() * (log_p - log_q)).sum(-1)
        # The last token's target is not in the row; its own mark tells whether it counts.
        marks = rows.loss[row][1:] + rows.loss[row][-1:]
        kl += [per_token[i] for i, m in enumerate(marks) if m and ids[i] not in rows.eos]
        lm += [-log_p[i, t] for i, t in enumerate(targets_of(rows, row)) if t is not None]
        closed = torch.zeros((), dtype=DTYPE)
        fractions.append(closed if z is None else fraction_closed(z, settings.soft_fraction))
        missing.append((settings.target - fractions[-1]).clamp(min=0))
    kl = torch.stack(kl).sum() if settings.kl_sum else torch.stack(kl).mean()
    return {
        "loss": kl + torch.stack(missing).mean(),
        "kl": kl,
        "lm_loss": torch.stack(lm).mean(),
        "fraction_closed": torch.stack(fractions).mean(),
    }
