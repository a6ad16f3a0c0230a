"""A model folder that knows its answers by heart: each token is followed by one other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import save_file

HEAD_DIM = 16
SURENESS = 4.0  # logits of what follows; all others are zero
END = "<|end|>"


def write_tokenizer(folder: Path, words: Iterable[str], special: Iterable[str]) -> dict[str, int]:
    """Single bytes, and each word as one token. Returns the words' ids."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    ids = {word: len(alphabet) + i for i, word in enumerate(words)}
    hidden = {END, *special}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [
        {"id": id_, "content": word, "special": word in hidden, **flags}
        for word, id_ in ids.items()
    ]
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {c: i for i, c in enumerate(alphabet)},
            "merges": [],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return ids


def weights(vocab: int, hidden: int, follows: Mapping[int, int]) -> dict[str, torch.Tensor]:
    """A state is its token, one-hot; no layer adds to it."""
    head = torch.zeros(vocab, hidden)
    for token, successor in follows.items():
        head[successor, token] = SURENESS
    layer = "model.layers.0."
    shapes = {"q": (hidden, hidden), "k": (HEAD_DIM, hidden), "v": (HEAD_DIM, hidden)}
    shapes["o"] = (hidden, hidden)
    out = {layer + f"self_attn.{name}_proj.weight": torch.zeros(s) for name, s in shapes.items()}
    for name, shape in {"gate": (8, hidden), "up": (8, hidden), "down": (hidden, 8)}.items():
        out[layer + f"mlp.{name}_proj.weight"] = torch.zeros(shape)
    for name in ("input_layernorm", "post_attention_layernorm"):
        out[layer + name + ".weight"] = torch.ones(hidden)
    return out | {
        "model.embed_tokens.weight": torch.eye(vocab, hidden),
        "model.norm.weight": torch.ones(hidden),
        "lm_head.weight": head,
    }


def write_script_model(
    folder: Path,
    scripts: Mapping[str, Sequence[str]],
    chat_template: str,
    special: Iterable[str] = (),
) -> Path:
    """After a prompt that ends with one of the words of `scripts` the model answers with the pieces
    that stand there, a token each, and ends. No two pieces of all answers are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [END, *scripts, *(piece for pieces in scripts.values() for piece in pieces)]
    assert len(set(words)) == len(words), "a piece that is there twice has two that follow it"
    ids = write_tokenizer(folder, words, special)
    vocab = max(ids.values()) + 1
    hidden = -(-vocab // HEAD_DIM) * HEAD_DIM
    follows = {}
    for begin, pieces in scripts.items():
        line = [begin, *pieces, END]
        follows |= {ids[a]: ids[b] for a, b in zip(line, line[1:], strict=False)}
    save_file(weights(vocab, hidden, follows), folder / "model.safetensors")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": hidden // HEAD_DIM,
        "num_key_value_heads": 1,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "eos_token_id": ids[END],
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(chat_template)
    return folder
