"""An independent decoder in PyTorch, written from the definition of DMS, not from the engine.

Full attention under an explicit [tokens, tokens] mask, in float64: slow, obvious, and the yardstick
of every cache layout and chunking. Only weight-free helpers (config parsing, RoPE frequencies) come
from transformers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.falcon.modeling_falcon import build_alibi_tensor
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from family_names import first_of, has_alibi, is_parallel, kv_heads_of, names_of

DTYPE = torch.float64


@dataclass(frozen=True)
class Eviction:
    """The DMS settings of a model folder."""

    source: str  # "adapter" | "neuron"
    shift: int
    window: int
    scale: float
    offset: float
    per: str = "head"  # "head" | "layer"
    disabled: bool = False
    zero_after_rope: bool = True


def read_eviction(folder: Path) -> Eviction | None:
    """The settings of `folder`, or None for a plain model; the first form found counts."""
    config = json.loads((folder / "config.json").read_text())
    shift = config.get("dms_decision_shift")
    for path in (folder / "dms_metadata.json", folder.parent / "training_log.json"):
        if path.exists():
            fields = json.loads(path.read_text())
            fields = {**fields, **fields.get("config", {})}
            return Eviction(
                source="neuron",
                shift=0 if shift is None else shift,
                window=fields.get("window_size", 256),
                scale=fields.get("alpha_scale", 100.0),
                offset=fields.get("alpha_offset", fields.get("dms_alpha_offset", 5.0)),
                zero_after_rope=False,
            )
    if not any(key.startswith("dms_") for key in config):
        return None
    return Eviction(
        source="adapter" if config.get("dms_separate_alpha", False) else "neuron",
        shift=1 if shift is None else shift,
        window=config.get("dms_window_size", 512),
        scale=config.get("dms_alpha_scale", 100.0),
        offset=config.get("dms_initial_alpha_offset", 5.0),
        per=config.get("dms_alpha_per", "head"),
        disabled=config.get("dms_disable_eviction", False),
    )


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder's safetensors files, as float64."""
    weights: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path))
    return {name: tensor.to(DTYPE) for name, tensor in weights.items()}


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x: [..., n], weight: [n]."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


@dataclass(frozen=True)
class Streaming:
    """StreamingLLM: the first `start` tokens and the last `recent` before the query."""

    start: int = 4
    recent: int = 2000
    pos_shift: bool = False


@dataclass(frozen=True)
class Request:
    """What one pass computes: which mask, and whose decisions."""

    window: int | None = None  # None: the model's
    streaming: Streaming | None = None
    evicted: np.ndarray | None = None  # [layers, kv_heads, tokens], 1 = gone; None: the model's own
    plain: bool = False  # nothing is evicted (borrowed channels are still zeroed)
    first_prompt: int | None = None  # tokens that fix `dynamic` frequencies; None: all


@dataclass
class Result:
    logits: np.ndarray  # [tokens, vocab]
    fates: np.ndarray  # uint8 [layers, kv_heads, tokens], a token's own fate as computed here
    fate_logits: np.ndarray  # float64 [layers, kv_heads, tokens], 0 where undecided


def visibility(
    tokens: int, sliding: int | None, window: int, evicted: torch.Tensor
) -> torch.Tensor:
    """The rule in one line. evicted: bool [kv_heads, tokens] -> bool [kv_heads, query, key]."""
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    causal = distance >= 0
    if sliding is not None:
        causal &= distance < sliding
    return causal & ((distance <= window) | ~evicted[:, None, :])


def streaming_visibility(tokens: int, sliding: int | None, rule: Streaming) -> torch.Tensor:
    """bool [1, query, key]."""
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)[None, :]
    causal = distance >= 0
    if sliding is not None:
        causal &= distance < sliding
    return (causal & ((distance <= rule.recent) | (torch.arange(tokens) < rule.start)[None, :]))[
        None
    ]


class Reference:
    """One model folder in float64."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.config = AutoConfig.from_pretrained(self.folder)
        self.names = names_of(self.config)
        self.weights = load_weights(self.folder)
        self.eviction = read_eviction(self.folder)
        self.q_heads = self.config.num_attention_heads
        self.kv_heads = kv_heads_of(self.config)
        self.group = self.q_heads // self.kv_heads
        self.head_dim = (
            getattr(self.config, "head_dim", None) or self.config.hidden_size // self.q_heads
        )
        gemma = self.config.model_type.startswith("gemma")
        self.norm_offset = 1.0 if gemma else 0.0
        self.embedding_scale = self.config.hidden_size**0.5 if gemma else 1.0
        scalar = first_of(self.config, "query_pre_attn_scalar", default=self.head_dim)
        self.score_scale = 1.0 / math.sqrt(scalar)
        self.attention_config = getattr(self.config, "attn_config", None)  # MPT's
        if first_of(self.attention_config, "softmax_scale") is not None:
            self.score_scale = self.attention_config.softmax_scale
        activations = ("hidden_activation", "hidden_act", "activation_function", "activation")
        self.activation = ACT2FN[first_of(self.config, *activations, default="gelu")]
        epsilons = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
        self.eps = first_of(self.config, *epsilons, default=1e-5)
        self.norms_after = not getattr(self.config, "do_layer_norm_before", True)

    def run(self, ids: list[int], request: Request | None = None) -> Result:
        """Logits and fates of `ids`."""
        request = request or Request()
        tokens = len(ids)
        layers = self.config.num_hidden_layers
        fates = np.zeros((layers, self.kv_heads, tokens), np.uint8)
        fate_logits = np.zeros((layers, self.kv_heads, tokens))
        x = self._embed(ids)
        for layer in range(layers):
            rope = self._rope_frequencies(layer, request.first_prompt or tokens)
            q, k, v, decision = self._project(layer, x)
            own = self._own_fate_logits(decision)
            fate_logits[layer] = own.numpy()
            fates[layer] = (own > 0).numpy()
            evicted = fates[layer] if request.evicted is None else request.evicted[layer]
            mixed = self._attend(layer, q, k, v, evicted, rope, request)
            attention = self._linear(self._in_attention(layer, self.names.output), mixed)
            attention = self._post_norm(layer, self.names.attention_post_norm, attention)
            attended = self._finish(layer, self.names.attention_norm, x + attention)
            mlp = self._mlp(layer, x if is_parallel(self.config) else attended)
            mlp = self._post_norm(layer, self.names.mlp_post_norm, mlp)
            x = self._finish(layer, self.names.mlp_norm, attended + mlp)
        return Result(self._logits(x).numpy(), fates, fate_logits)

    def _embed(self, ids: list[int]) -> torch.Tensor:
        x = self.weights[self.names.embedding + ".weight"][torch.tensor(ids)]
        x = x * self.embedding_scale
        if f"{self.names.project_in}.weight" in self.weights:
            x = self._linear(self.names.project_in, x)
        if self.names.positions is not None:
            first = 2  # OPT's table has two rows that no position uses
            x = x + self.weights[self.names.positions + ".weight"][first : first + len(ids)]
        return x

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if self.names.final_norm + ".weight" in self.weights:
            x = self._norm(self.names.final_norm, x)
        if f"{self.names.project_out}.weight" in self.weights:
            x = self._linear(self.names.project_out, x)
        embedding = self.weights[self.names.embedding + ".weight"]
        logits = x @ self.weights.get(self.names.head + ".weight", embedding).T
        cap = first_of(self.config, "final_logit_softcapping")
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _in_layer(self, layer: int, name: str) -> str:
        return self.names.layer.format(layer) + name

    def _in_attention(self, layer: int, name: str) -> str:
        return self._in_layer(layer, self.names.attention + name)

    def _before(self, layer: int, name: str, x: torch.Tensor) -> torch.Tensor:
        """What a sub-layer reads: Falcon-7B's MLP shares the norm of attention."""
        if self.norms_after:
            return x
        if self._in_layer(layer, name) + ".weight" not in self.weights:
            name = self.names.attention_norm
        return self._norm(self._in_layer(layer, name), x)

    def _finish(self, layer: int, name: str, x: torch.Tensor) -> torch.Tensor:
        return self._norm(self._in_layer(layer, name), x) if self.norms_after else x

    def _post_norm(self, layer: int, name: str | None, x: torch.Tensor) -> torch.Tensor:
        return x if name is None else self._norm(self._in_layer(layer, name), x)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        y = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self.weights[name + ".weight"]
        if "dms_proj_alpha_norm" in name:
            return rms_norm(x, weight, self.eps)
        if hasattr(self.config, "rms_norm_eps"):
            return rms_norm(x, self.norm_offset + weight, self.eps)
        bias = self.weights.get(name + ".bias")
        return torch.nn.functional.layer_norm(x, weight.shape, weight, bias, self.eps)

    def _mlp(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        h = self._before(layer, self.names.mlp_norm, x)
        down = self._in_layer(layer, self.names.down)
        if self.names.gate_up is None and self.names.gate is None:
            up = self._linear(self._in_layer(layer, self.names.up), h)
            return self._linear(down, self.activation(up))
        if self.names.gate_up is not None:
            gate, up = self._linear(self._in_layer(layer, self.names.gate_up), h).chunk(2, dim=-1)
        else:
            gate = self._linear(self._in_layer(layer, self.names.gate), h)
            up = self._linear(self._in_layer(layer, self.names.up), h)
        return self._linear(down, self.activation(gate) * up)

    def _project(self, layer: int, x: torch.Tensor):
        """q [q_heads, tokens, d], k, v [kv_heads, tokens, d], raw decisions [kv_heads, tokens]."""
        prefix = self._in_attention(layer, "")
        h = self._before(layer, self.names.attention_norm, x)
        q, k, v = self._heads(prefix, h)
        if first_of(self.attention_config, "qk_ln", default=False):
            q, k = self._norm_whole(prefix + "q_ln", q), self._norm_whole(prefix + "k_ln", k)
        if prefix + "q_norm.weight" in self.weights:
            q = self._norm(prefix + "q_norm", q)
            k = self._norm(prefix + "k_norm", k)
        decision = None
        if self.eviction and self.eviction.source == "adapter":
            normed = self._norm(prefix + "dms_proj_alpha_norm", x)
            decision = self._linear(prefix + "dms_proj_alpha", normed).T
        elif self.eviction:
            q = q.clone()
            decision = q[:: self.group, :, -1].clone()
            q[:: self.group, :, -1] = 0
        return q, k, v, decision

    def _heads(self, prefix: str, h: torch.Tensor) -> list[torch.Tensor]:
        """q, k and v, each [heads, tokens, d]."""
        if self.names.qkv is None:
            parts = [self._linear(prefix + name, h) for name in ("q_proj", "k_proj", "v_proj")]
        elif self.config.model_type in ("phi3", "mpt"):  # one after the other
            q, kv = self.q_heads * self.head_dim, self.kv_heads * self.head_dim
            parts = self._linear(prefix + self.names.qkv, h).split([q, kv, kv], dim=-1)
        else:  # by group
            fused = self._linear(prefix + self.names.qkv, h)
            fused = fused.view(len(h), self.kv_heads, self.group + 2, self.head_dim)
            parts = fused.split([self.group, 1, 1], dim=2)
        clip = first_of(self.attention_config, "clip_qkv")
        if clip is not None:
            parts = [part.clamp(-clip, clip) for part in parts]
        return [part.reshape(len(h), -1, self.head_dim).transpose(0, 1) for part in parts]

    def _norm_whole(self, name: str, heads: torch.Tensor) -> torch.Tensor:
        """MosaicML's norm over all heads of a token at once; transformers leaves it out."""
        whole = heads.transpose(0, 1).flatten(1)
        normed = torch.nn.functional.layer_norm(
            whole, whole.shape[1:], self.weights[name + ".weight"], None, self.eps
        )
        return normed.view(heads.shape[1], -1, self.head_dim).transpose(0, 1)

    def _own_fate_logits(self, raw: torch.Tensor | None) -> torch.Tensor:
        """raw: [kv_heads, tokens] as computed *from* each token -> the logit of each token's own
        fate, -inf-free: 0 (kept) where there is none."""
        if raw is None or self.eviction.disabled:
            tokens = 0 if raw is None else raw.shape[1]
            return torch.zeros(self.kv_heads, tokens or 1, dtype=DTYPE)
        logit = raw * self.eviction.scale - self.eviction.offset
        if self.eviction.per == "layer":
            logit = logit[:1].expand(self.kv_heads, -1)
        own = torch.zeros_like(logit)
        own[:, : logit.shape[1] - self.eviction.shift] = logit[:, self.eviction.shift :]
        return own

    def _rope_frequencies(self, layer: int, prompt: int) -> tuple[torch.Tensor, float]:
        """Inverse frequencies [turning channels / 2], of none in a layer that does not turn, and
        the factor on cos and sin."""
        if first_of(self.config, "no_rope_layers", default=[1] * (layer + 1))[layer] == 0:
            return torch.zeros(0, dtype=DTYPE), 1.0
        parameters, settings = getattr(self.config, "rope_parameters", None), {}
        if parameters is None or has_alibi(self.config):
            return torch.zeros(0, dtype=DTYPE), 1.0
        if "full_attention" in parameters:
            settings["layer_type"] = self.config.layer_types[layer]
            parameters = parameters[settings["layer_type"]]
        kind = parameters.get("rope_type", "default")
        if kind == "default":
            channels = int(self.head_dim * parameters.get("partial_rotary_factor", 1.0))
            exponent = torch.arange(0, channels, 2, dtype=DTYPE) / channels
            return parameters["rope_theta"] ** -exponent, 1.0
        function = ROPE_INIT_FUNCTIONS[kind]
        frequencies, factor = function(self.config, "cpu", seq_len=prompt, **settings)
        return frequencies.to(DTYPE), factor

    def _rotate(self, x: torch.Tensor, positions: torch.Tensor, rope) -> torch.Tensor:
        """x: [heads, tokens, d] rotated by halves to `positions` [tokens]."""
        frequencies, factor = rope
        angles = positions.to(DTYPE)[:, None] * frequencies[None, :]
        cos, sin = angles.cos() * factor, angles.sin() * factor
        half = len(frequencies)
        low, high, rest = x.split([half, half, x.shape[-1] - 2 * half], dim=-1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin, rest], dim=-1)

    def _rotate_queries(self, q: torch.Tensor, positions: torch.Tensor, rope) -> torch.Tensor:
        rotated = self._rotate(q, positions, rope)
        borrowed = self.eviction and self.eviction.source == "neuron"
        if borrowed and self.eviction.zero_after_rope:
            rotated[:: self.group, :, -1] = 0
        return rotated

    def _sliding(self, layer: int) -> int | None:
        kinds = getattr(self.config, "layer_types", None)
        if kinds is not None and kinds[layer] != "sliding_attention":
            return None
        return getattr(self.config, "sliding_window", None)

    def _attend(self, layer, q, k, v, evicted: np.ndarray, rope, request: Request) -> torch.Tensor:
        """[tokens, q_heads * head_dim]."""
        tokens = q.shape[1]
        positions = torch.arange(tokens)
        keys = self._rotate(k, positions, rope).repeat_interleave(self.group, dim=0)
        values = v.repeat_interleave(self.group, dim=0)
        scores = self._rotate_queries(q, positions, rope) @ keys.transpose(1, 2)
        if request.streaming and request.streaming.pos_shift:
            scores = self._shift_sink_scores(scores, q, keys, rope, request.streaming)
        visible = self._visible(layer, tokens, evicted, request)
        visible = visible.expand(self.kv_heads, -1, -1).repeat_interleave(self.group, dim=0)
        scores = scores * self.score_scale + self._distance_biases(positions, positions, request)
        scores = self._capped(scores).masked_fill(~visible, float("-inf"))
        mixed = torch.softmax(scores, dim=-1) @ values
        return mixed.transpose(0, 1).reshape(tokens, -1)

    def _distance_biases(self, queries, keys, request: Request) -> torch.Tensor:
        """[q_heads, queries, keys] of ALiBi, with the functions of transformers."""
        if not has_alibi(self.config):
            return torch.zeros((), dtype=DTYPE)
        placed = queries[:, None].expand(-1, len(keys))
        if request.streaming and request.streaming.pos_shift:
            rule = request.streaming
            far = queries[:, None] - keys[None, :] > rule.recent
            placed = torch.where(far, placed.clamp(max=rule.start + rule.recent), placed)
        last = int(max(queries.max(), keys.max()))
        if self.config.model_type == "falcon":
            rows = torch.ones(1, last + 1, dtype=torch.long)
            adds = build_alibi_tensor(rows, self.q_heads, DTYPE)[:, 0] / math.sqrt(self.head_dim)
        else:
            largest = self.attention_config.alibi_bias_max
            adds = build_mpt_alibi_tensor(self.q_heads, last + 1, largest)[:, 0].to(DTYPE)
        return adds[:, keys][:, None, :] - adds[:, placed]

    def _capped(self, scores: torch.Tensor) -> torch.Tensor:
        cap = first_of(self.config, "attn_logit_softcapping")
        return scores if cap is None else cap * torch.tanh(scores / cap)

    def _shift_sink_scores(self, scores, q, keys, rope, rule: Streaming) -> torch.Tensor:
        """Keys beyond the recent window see the query at its place in the cache."""
        positions = torch.arange(q.shape[1])
        placed = positions.clamp(max=rule.start + rule.recent)
        sink_scores = self._rotate_queries(q, placed, rope) @ keys.transpose(1, 2)
        recent = (positions[:, None] - positions[None, :]) <= rule.recent
        return torch.where(recent, scores, sink_scores)

    def _visible(self, layer: int, tokens: int, evicted: np.ndarray, request: Request):
        sliding = self._sliding(layer)
        if request.streaming:
            return streaming_visibility(tokens, sliding, request.streaming)
        none = torch.zeros(self.kv_heads, tokens, dtype=torch.bool)
        if request.plain or (self.eviction is None and request.evicted is None):
            return visibility(tokens, sliding, tokens, none)
        window = request.window
        if window is None:
            window = self.eviction.window if self.eviction else 256
        gone = torch.from_numpy(np.asarray(evicted, dtype=bool))
        padded = none
        padded[:, : min(tokens, gone.shape[1])] = gone[:, :tokens]
        return visibility(tokens, sliding, window, padded)
