"""KVzip's replay pass in float64 for every family, on the decoder of reference.py: a text, the
words that ask for it and the text once more are one sequence, of which the second half is asked
what it attends. Scores are the model's own: with ALiBi's biases, per-layer RoPE or none, and soft
caps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from kvzip_reference import WHOLE
from reference import Reference, Request

LEAST = -30.0  # a calibration's target for what next to nothing attends


class ReplayReference(Reference):
    """A folder whose tokenizer has no chat template; texts that are repeated at once."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.asks = [
            id
            for words in (WHOLE, "\n")
            for id in tokenizer.encode(words, add_special_tokens=False).ids
        ]
        self.inputs: list[torch.Tensor] = []  # of each layer's attention
        self.heads: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []  # q, k, v

    def _project(self, layer, x):
        self.inputs.append(self._before(layer, self.names.attention_norm, x))
        return super()._project(layer, x)

    def _attend(self, layer, q, k, v, evicted, rope, request):
        at = torch.arange(q.shape[1])
        self.heads.append((self._rotate(q, at, rope), self._rotate(k, at, rope), v))
        return super()._attend(layer, q, k, v, evicted, rope, request)

    def scores(self, text: list[int], plus: bool, whole: bool = False) -> np.ndarray:
        """[layers, kv_heads, tokens]; `plus`: KVzip+. `whole`: in layers with a window, too,
        all of the text takes part, not only what the token after it sees."""
        self.inputs, self.heads = [], []
        ids = text + self.asks + text
        self.run(ids, Request(plain=True, first_prompt=len(ids) if whole else len(text)))
        layers = range(self.config.num_hidden_layers)
        return np.stack([self._best(layer, len(text), plus, whole).numpy() for layer in layers])

    def _best(self, layer: int, count: int, plus: bool, whole: bool) -> torch.Tensor:
        """[kv_heads, tokens]: the largest that a query of the repetition gives."""
        q, k, v = self.heads[layer]
        at = torch.arange(q.shape[1])
        scores = q[:, count:] @ k.repeat_interleave(self.group, dim=0).transpose(1, 2)
        scores = scores * self.score_scale + self._distance_biases(at[count:], at, Request())
        sliding = None if whole else self._sliding(layer)
        first = max(count - sliding + 1, 0) if sliding else 0
        visible = (at[None, :] <= at[count:, None]) & (at[None, :] >= first)
        scores = self._capped(scores).masked_fill(~visible, float("-inf"))
        shares = torch.softmax(scores, dim=-1)[:, :, :count]
        if plus:
            out = self.weights[self._in_attention(layer, self.names.output) + ".weight"]
            slices = out.view(len(out), self.kv_heads, self.group, self.head_dim)
            sizes = torch.einsum("ohgd,htd->hgto", slices, v[:, :count]).norm(dim=-1)
            lengths = self.inputs[layer][count:].norm(dim=-1)
            shares = shares * sizes.reshape(self.q_heads, 1, count) / lengths[None, :, None]
        return shares.amax(dim=1).view(self.kv_heads, self.group, count).amax(dim=1)

    def collect(self, text: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """What a calibration fits: [layers] of inputs [tokens, hidden] and targets [tokens,
        kv_heads]."""
        with np.errstate(divide="ignore"):
            targets = np.maximum(np.log(self.scores(text, plus=True, whole=True)), LEAST)
        return [
            (inputs[: len(text)].numpy(), of_layer.T)
            for inputs, of_layer in zip(self.inputs, targets, strict=True)
        ]
