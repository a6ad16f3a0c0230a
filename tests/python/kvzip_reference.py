"""KVzip in transformers' float64, written from its definition (kvpress: KVzipPress): what a
prompt's repetition attends of each of its entries at most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, DynamicCache

WHOLE = "\n\nRepeat the previous context exactly."
PART = "\n\nRepeat the part of the previous context exactly, starting with"
CHUNK = 2048  # tokens of the prompt that are repeated at a time
REMINDER = 8
SINKS = 4  # entries that each repetition sees besides


class KvzipReference:
    """A folder whose tokenizer has no chat template."""

    def __init__(self, folder: Path):
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.inputs: dict[int, torch.Tensor] = {}
        for index, layer in enumerate(self.model.model.layers):
            layer.input_layernorm.register_forward_hook(self._keep_inputs(index))

    def _keep_inputs(self, layer: int):
        def hook(module, inputs, output):
            self.inputs[layer] = output[0]

        return hook

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def asks(self, prompt: list[int], begin: int) -> list[int]:
        """What stands before the repetition of a chunk."""
        words = self.encode(PART) + prompt[begin - REMINDER : begin] if begin else None
        return (words or self.encode(WHOLE)) + self.encode("\n")

    def scores(self, prompt: list[int], plus: bool) -> np.ndarray:
        """[layers, kv_heads, tokens]; `plus`: KVzip+."""
        with torch.no_grad():
            return np.concatenate(
                [self._chunk(prompt, begin, plus) for begin in range(0, len(prompt), CHUNK)], axis=2
            )

    def _chunk(self, prompt: list[int], begin: int, plus: bool) -> np.ndarray:
        end = min(begin + CHUNK, len(prompt))
        cache = DynamicCache(config=self.model.config)
        self.model.model(torch.tensor([prompt]), past_key_values=cache)
        ids = self.asks(prompt, begin) + prompt[begin:end]
        output = self.model.model(
            torch.tensor([ids]), past_key_values=cache, output_attentions=True
        )
        layers = [
            self._best(layer, weights[0], cache.layers[layer].values[0], begin, end, plus)
            for layer, weights in enumerate(output.attentions)
        ]
        return np.stack(layers)

    def _best(self, layer: int, weights, values, begin: int, end: int, plus: bool) -> np.ndarray:
        """[kv_heads, tokens of the chunk] from weights [q_heads, queries, entries] over all."""
        queries, kv_heads = weights.shape[1], len(values)
        seen = torch.cat(
            [
                torch.arange(min(SINKS, begin)),
                torch.arange(begin, end),
                torch.arange(weights.shape[2] - queries, weights.shape[2]),
            ]
        )
        shares = weights / weights[:, :, seen].sum(dim=2, keepdim=True)
        shares = shares[:, :, begin:end]
        if plus:
            out = self.model.model.layers[layer].self_attn.o_proj.weight
            slices = out.view(len(out), kv_heads, -1, values.shape[-1])
            sizes = torch.einsum("ohgd,htd->hgto", slices, values[:, begin:end]).norm(dim=-1)
            sizes = sizes.reshape(len(weights), 1, -1)
            shares = shares * sizes / self.inputs[layer].norm(dim=-1)[None, :, None]
        return shares.amax(dim=1).view(kv_heads, -1, end - begin).amax(dim=1).numpy()
