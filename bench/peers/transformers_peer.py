"""Hugging Face transformers in BF16 with torch's scaled dot-product attention.

A long context for decode is a DynamicCache of random keys and values.
"""

from __future__ import annotations

import time

import torch
import transformers
from common import Report, Shape, parser
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache


class Engine:
    """The model with random weights, and one cache at a time."""

    def __init__(self, config: transformers.PretrainedConfig, shape: Shape) -> None:
        torch.manual_seed(0)
        self.model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()
        self.shape = shape

    def step(self, ids: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Runs ids [batch, tokens] over the cache; the likeliest next ids, [batch, 1]."""
        output = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1:].argmax(-1)

    def prefill(self, ids: torch.Tensor) -> float:
        """Tokens per second of ids [1, tokens] into an empty cache."""
        start = time.perf_counter()
        self.step(ids, DynamicCache(config=self.model.config))
        return ids.shape[1] / (time.perf_counter() - start)

    def random_cache(self, context: int) -> DynamicCache:
        """A cache that holds `context` tokens of random keys and values."""
        cache = DynamicCache(config=self.model.config)
        if context > 0:
            dims = (1, self.shape.kv_heads, context, self.shape.head_dim)
            for layer in range(self.shape.layers):
                keys, values = torch.randn(2, *dims, dtype=torch.bfloat16)
                cache.update(keys, values, layer)
        return cache

    def decode(self, context: int, gen: int, sequences: int = 1) -> float:
        """Tokens per second of `gen` greedy steps after `context` tokens."""
        cache = self.random_cache(context)
        ids = torch.arange(1, sequences + 1).reshape(sequences, 1)
        start = time.perf_counter()
        for _ in range(gen):
            ids = self.step(ids, cache)
        return gen * sequences / (time.perf_counter() - start)


@torch.inference_mode()
def main() -> None:
    args = parser(__doc__).parse_args()
    torch.set_num_threads(args.threads)
    shape = Shape.read(args.shape)
    engine = Engine(AutoConfig.from_pretrained(args.shape), shape)
    settings = {"weights": "bf16", "kv": "bf16", "threads": args.threads, "attention": "sdpa"}
    version = f"transformers {transformers.__version__}, torch {torch.__version__}"
    report = Report("transformers", version, settings)
    for length in args.prompt_lens:
        ids = torch.randint(0, shape.vocab, (1, length))
        report.measure(
            "prefill_tok_s", args.repeat, lambda ids=ids: engine.prefill(ids), prompt_tokens=length
        )
    batches = [(context, 1) for context in args.decode_context]
    for context, sequences in batches + [(0, count) for count in args.concurrency]:
        report.measure(
            "decode_tok_s",
            args.repeat,
            lambda case=(context, sequences): engine.decode(case[0], args.gen, case[1]),
            context=context,
            gen_tokens=args.gen,
            concurrency=sequences,
            replicated_context=context > 0,
        )
    report.print()


if __name__ == "__main__":
    main()
