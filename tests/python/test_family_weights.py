"""The tensors of families before Llama, as transformers saves them.

The golden is what tests/model/spec/family_weights_test.cpp compares specs with; here it is
compared with the installed transformers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from safetensors import safe_open
from transformers import FalconConfig, GPTNeoXConfig, MptConfig, OPTConfig, PreTrainedConfig

from harness import ROOT

GOLDEN = ROOT / "tests" / "python" / "goldens" / "family_weights.json"
HIDDEN, HEADS, LAYERS, VOCAB, CONTEXT = 48, 6, 2, 40, 16


def gpt_neox() -> PreTrainedConfig:
    return GPTNeoXConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
    )


def falcon(**switches: object) -> PreTrainedConfig:
    return FalconConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        **switches,
    )


def mpt() -> PreTrainedConfig:
    return MptConfig(
        vocab_size=VOCAB, d_model=HIDDEN, n_heads=HEADS, n_layers=LAYERS, max_seq_len=CONTEXT
    )


def opt(**switches: object) -> PreTrainedConfig:
    return OPTConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        ffn_dim=4 * HIDDEN,
        max_position_embeddings=CONTEXT,
        **switches,
    )


FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "gpt_neox": gpt_neox,
    "falcon_rw": lambda: falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "falcon_7b": falcon,
    "falcon_40b": lambda: falcon(
        new_decoder_architecture=True, num_kv_heads=2, tie_word_embeddings=False
    ),
    "mpt": mpt,
    "opt": opt,
    "opt_350m": lambda: opt(word_embed_proj_dim=HIDDEN // 2, do_layer_norm_before=False),
}


def saved_shapes(config: PreTrainedConfig, folder: Path) -> dict[str, list[int]]:
    """Every tensor's name and shape in the file that transformers writes."""
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    with safe_open(folder / "model.safetensors", "numpy") as file:
        return {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_is_what_transformers_saves(family, tmp_path, request):
    shapes = saved_shapes(FAMILIES[family](), tmp_path / family)
    if request.config.getoption("--regenerate-goldens"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"families": {}}
        golden["transformers"] = transformers.__version__
        golden["families"][family] = shapes
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert shapes == json.loads(GOLDEN.read_text())["families"][family]
