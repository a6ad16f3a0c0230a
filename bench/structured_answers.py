"""What it costs to hold an answer to a form: the same model, with a form and without, in turn.

python bench/structured_answers.py FOLDER [--make SHAPE --tokenizer TOKENIZER_JSON] [--rounds 8]

With --make FOLDER is made first: SHAPE's config.json, random weights in bf16, and a tokenizer whose
vocabulary fits. Each round decodes --tokens tokens freely and as many for each form, sampled at
temperature 1; a row is the median of the rounds' ratios per token, form to free, of time and of the
processors' time (which a busy machine changes less), with the first token, which waits for the
prompt, left out. Needs the Python package (pip install .).
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from dms_cpp import LLM, SamplingParams, StructuredOutputsParams

RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["person", "place", "thing"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"type": "string"}},
        "parent": {"anyOf": [{"type": "null"}, {"type": "string", "format": "uuid"}]},
    },
    "required": ["name", "kind", "age", "tags", "parent"],
    "additionalProperties": False,
}
FORMS = {
    "schema": {"json": {"type": "array", "minItems": 400, "items": RECORD}},
    "any JSON": {"json": {"type": "array", "minItems": 400}},
    "expression": {"regex": r"(\d{4}-\d\d-\d\d [a-z]{3,12}\n){500}"},
}
PROMPT = "The records of the year:"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", type=Path, metavar="SHAPE", help="a config.json")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json, or .json.xz")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=24, help="of each answer")
    parser.add_argument("--weights", default="auto", help="as LLM's")
    return parser.parse_args()


def make(folder: Path, shape: Path, tokenizer: Path) -> None:
    """A Llama of a shape, its weights drawn small."""
    config = json.loads(shape.read_text())
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim", hidden // heads)
    torch.manual_seed(0)
    tile = (torch.randn(1 << 22) * 0.02).bfloat16()  # all matrices are cut from it, for speed
    tensors = {}

    def add(name: str, *size: int) -> None:
        if len(size) == 1:
            tensors[name] = torch.ones(size, dtype=torch.bfloat16)
            return
        count = math.prod(size)
        tensors[name] = tile.repeat(-(-count // len(tile)))[:count].reshape(size)

    add("model.embed_tokens.weight", config["vocab_size"], hidden)
    add("model.norm.weight", hidden)
    if not config.get("tie_word_embeddings"):
        add("lm_head.weight", config["vocab_size"], hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        add(layer + "input_layernorm.weight", hidden)
        add(layer + "post_attention_layernorm.weight", hidden)
        add(layer + "self_attn.q_proj.weight", heads * head, hidden)
        add(layer + "self_attn.k_proj.weight", kv_heads * head, hidden)
        add(layer + "self_attn.v_proj.weight", kv_heads * head, hidden)
        add(layer + "self_attn.o_proj.weight", hidden, heads * head)
        for name in ("gate", "up"):
            add(f"{layer}mlp.{name}_proj.weight", ffn, hidden)
        add(layer + "mlp.down_proj.weight", hidden, ffn)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    packed = tokenizer.read_bytes()
    text = lzma.decompress(packed) if tokenizer.suffix == ".xz" else packed
    (folder / "tokenizer.json").write_bytes(text)
    save_file(tensors, folder / "model.safetensors")


def per_token(llm: LLM, params: SamplingParams) -> np.ndarray:
    """Seconds, and the processors' seconds, of a token."""
    times = []
    with llm.stream(PROMPT, params) as stream:
        for piece in stream:
            times.append((time.perf_counter(), time.process_time(), len(piece.token_ids)))
    passed = np.subtract(times[-1], times[0])[:2]
    return passed / sum(count for _, _, count in times[1:])


def main() -> None:
    args = arguments()
    if args.make:
        make(args.folder, args.make, args.tokenizer)
    llm = LLM(args.folder, weights=args.weights)
    plain = SamplingParams(max_tokens=args.tokens, ignore_eos=True, seed=0)
    llm.generate(PROMPT, plain)
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in FORMS}
    free = []
    for i in range(args.rounds):
        for name, form in FORMS.items():
            held = StructuredOutputsParams(**form)
            params = SamplingParams(
                max_tokens=args.tokens, ignore_eos=True, seed=i, structured_outputs=held
            )
            free.append(per_token(llm, plain))
            ratios[name].append(per_token(llm, params) / free[-1])
    wall, cpu = 1e3 * np.median(free, axis=0)
    print(f"free: {wall:.1f} ms a token, {cpu:.1f} ms of processors")
    for name, values in ratios.items():
        wall, cpu = np.median(values, axis=0)
        print(f"{name:>12}: {wall:.3f} of the free answer's time, {cpu:.3f} of its processors'")


if __name__ == "__main__":
    main()
