"""Small random Hugging Face model folders of every family, shape and metadata form."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from family_names import attention_has_bias, kv_heads_of, names_of
from harness import ROOT

FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "seed_oss",
    "smollm3",
    "phi3",
    "gemma2",
    "gemma3_text",
    "gpt_neox",
    "opt",
    "opt_350m",
    "falcon",
    "falcon_rw",
    "mpt",
)
# That the trainer computes: its fused attention has no place for soft caps and ALiBi's biases.
TRAINED_FAMILIES = tuple(f for f in FAMILIES if f not in ("gemma2", "falcon_rw", "mpt"))
# Attention has biases if asked.
CHOOSE_BIAS = ("llama", "qwen3", "seed_oss", "smollm3", "gemma2", "gemma3_text") + FAMILIES[9:14]
WHOLE_HEADS = ("phi3",) + FAMILIES[9:]  # hidden is the query heads' width
MODEL_TYPES = {"opt_350m": "opt", "falcon_rw": "falcon"}  # of families that stand here twice
SLIDING = ("mistral", "phi3")  # with a window on every layer if asked
CONTEXT = 2048

ROPE_SCALINGS: dict[str, dict] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 64},
    "yarn-tuned": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 20.0,
        "beta_slow": 2.0,
        "attention_factor": 1.3,
    },
}


BY_LENGTH = ("dynamic", "longrope")  # frequencies depend on the length


def ropes_of(family: str) -> tuple[str, ...]:
    """The scalings that transformers lets a family have."""
    if family in ("opt", "opt_350m", "falcon_rw", "mpt"):
        return ("default",)  # they have no RoPE at all
    return ("default", "longrope") if family == "phi3" else tuple(ROPE_SCALINGS)


@dataclass(frozen=True)
class Shape:
    """A model's shape and how its folder is written."""

    family: str = "llama"
    layers: int = 2
    q_heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    hidden: int = 48
    ffn: int = 80
    vocab: int = 131
    tied: bool = False
    bias: bool = False  # attention biases where the family has the choice (CHOOSE_BIAS)
    sliding_window: int | None = None
    rope: str = "default"
    theta: float = 10000.0
    context: int = CONTEXT
    dtype: str = "float32"
    shard_bytes: int | None = None  # None: one file
    old_config: bool = False  # config.json in the form of transformers 4
    extra: dict = field(default_factory=dict, hash=False)  # more config keys

    @property
    def width(self) -> int:
        """The hidden size."""
        whole = self.family in WHOLE_HEADS
        return self.q_heads * self.head_dim if whole else self.hidden


def random_shape(rng: random.Random, **fixed) -> Shape:
    """Any family, awkward head sizes, groups of 1 to 8, 1 to 4 layers."""
    kv_heads = rng.choice([1, 1, 2, 3])
    family = fixed.get("family") or rng.choice(FAMILIES)
    most = 4 if family in WHOLE_HEADS else 8
    q_heads = kv_heads * rng.randint(1, most if kv_heads == 1 else most // 2)
    values = {
        "family": family,
        "layers": rng.randint(1, 4),
        "kv_heads": kv_heads,
        "q_heads": q_heads,
        "head_dim": rng.choice([16, 24, 40, 64, 80, 96, 128]),
        "hidden": q_heads
        * rng.randint(-(-24 // q_heads), 100 // q_heads),  # a multiple: Llama's rule
        "ffn": rng.choice([40, 64, 100]),
        "vocab": rng.randint(70, 300),
        "tied": rng.random() < 0.5,
        "bias": rng.random() < 0.5,
        "sliding_window": rng.choice([None, 5, 40]) if family in SLIDING else None,
        "rope": rng.choice(ropes_of(family)),
        "theta": rng.choice([500.0, 10000.0, 500000.0]),
        "dtype": rng.choice(["float32", "float16", "bfloat16"]),
        "shard_bytes": rng.choice([None, 20_000]),
        "old_config": rng.random() < 0.5,
    }
    values.update(fixed)
    if values["rope"] not in ropes_of(family):
        values["rope"] = "default"
    return Shape(**values)


def rope_parameters(shape: Shape) -> dict:
    """In the form of transformers 5."""
    rope = {**ROPE_SCALINGS[shape.rope], "rope_theta": shape.theta}
    channels = shape.head_dim
    if shape.family in ("phi3", "gpt_neox"):
        channels = channels * 3 // 4
        rope["partial_rotary_factor"] = 0.75
    if shape.rope == "longrope":
        rope["short_factor"] = [1.0 + 0.02 * i for i in range(channels // 2)]
        rope["long_factor"] = [1.5 + 0.3 * i for i in range(channels // 2)]
    if shape.family != "gemma3_text":
        return rope
    local = {"rope_type": "default", "rope_theta": shape.theta / 7}
    return {"full_attention": rope, "sliding_attention": local}


def gemma_fields(shape: Shape) -> dict:
    """Caps low enough to bite, and a scale of scores that is not the head's."""
    fields = {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 19,
        "sliding_window": shape.sliding_window or 33,
    }
    if shape.family == "gemma2":
        return fields | {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 15.0}
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"]
    return fields | {"layer_types": (kinds * shape.layers)[: shape.layers]}


def opt_fields(shape: Shape) -> dict:
    """Norms before the sub-layers, or as in the 350M model after them."""
    fields = {"ffn_dim": shape.ffn, "enable_bias": shape.bias}
    if shape.family == "opt":
        return fields
    return fields | {
        "do_layer_norm_before": False,
        "word_embed_proj_dim": shape.ffn // 2,
        "activation_function": "gelu",
    }


def falcon_fields(shape: Shape) -> dict:
    """One KV head and one norm, or groups, with one norm or two."""
    fields = {"ffn_hidden_size": shape.ffn, "bias": shape.bias, "layer_norm_epsilon": 2e-5}
    if shape.family == "falcon_rw":
        return fields | {"alibi": True, "multi_query": False, "parallel_attn": False}
    if shape.kv_heads == 1:
        return fields | {"parallel_attn": not shape.tied}
    norms = 1 if shape.tied else 2
    return fields | {
        "new_decoder_architecture": True,
        "num_kv_heads": shape.kv_heads,
        "num_ln_in_parallel_attn": norms,
    }


def mpt_config(shape: Shape):
    """Its sizes have other names."""
    attention = {"clip_qkv": 1.5, "softmax_scale": 0.2 if shape.tied else None}
    return AutoConfig.for_model(
        "mpt",
        n_layers=shape.layers,
        n_heads=shape.q_heads,
        d_model=shape.width,
        vocab_size=shape.vocab,
        max_seq_len=shape.context,
        layer_norm_epsilon=2e-5,
        tie_word_embeddings=shape.tied,
        attn_config=attention,
        bos_token_id=1,
        eos_token_id=2,
        **shape.extra,
    )


def make_config(shape: Shape):
    """The transformers configuration of a shape."""
    model_type = MODEL_TYPES.get(shape.family, shape.family)
    if model_type == "mpt":
        return mpt_config(shape)
    fields = {
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.q_heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": shape.context,
        "rope_parameters": rope_parameters(shape),
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
    }
    if shape.family in CHOOSE_BIAS:
        fields["attention_bias"] = shape.bias
    if model_type in ("gpt_neox", "opt", "falcon"):
        for key in ("num_key_value_heads", "head_dim", "rms_norm_eps"):
            del fields[key]
    if shape.family == "gpt_neox":
        fields.update(use_parallel_residual=not shape.tied, layer_norm_eps=2e-5)
    if model_type == "opt":
        del fields["rope_parameters"], fields["intermediate_size"], fields["attention_bias"]
        fields.update(opt_fields(shape))
    if model_type == "falcon":
        del fields["intermediate_size"], fields["attention_bias"]
        fields.update(falcon_fields(shape))
    if shape.family == "seed_oss":  # no two switches go together: a mix-up shows
        fields.update(attention_out_bias=not shape.bias, mlp_bias=True)
    if shape.family == "phi3":
        fields["original_max_position_embeddings"] = 64
    if shape.family == "smollm3":
        fields["no_rope_layers"] = [1, 0, 0, 1] * shape.layers
    if shape.family.startswith("gemma"):
        fields.update(gemma_fields(shape))
    elif shape.family in SLIDING:
        fields["sliding_window"] = shape.sliding_window
    elif shape.sliding_window is not None:
        fields.update(use_sliding_window=True, sliding_window=shape.sliding_window)
        fields["max_window_layers"] = shape.layers // 2
    return AutoConfig.for_model(model_type, **fields, **shape.extra)


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Every parameter random: no bias is zero, no norm is one, products keep their scale."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {
        name + ".weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding)
    }
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() == 1 and name.endswith("weight"):
                one = 0.0 if model.config.model_type.startswith("gemma") else 1.0
                weight.copy_(one + 0.3 * noise)
            elif name.endswith("bias"):
                weight.copy_(0.4 * noise)
            elif name in embeddings:
                weight.copy_(0.7 * noise)
            else:
                weight.copy_(noise * (1.4 / weight.shape[-1] ** 0.5))


def to_old_config(fields: dict) -> dict:
    """config.json as transformers 4 wrote it."""
    fields = dict(fields)
    fields["torch_dtype"] = fields.pop("dtype", "float32")
    fields["transformers_version"] = "4.51.0"
    if "rope_parameters" not in fields:
        return fields
    rope = dict(fields.pop("rope_parameters"))
    if "full_attention" in rope:
        fields["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = dict(rope["full_attention"])
    share, base = "partial_rotary_factor", "rope_theta"
    if fields["model_type"] == "gpt_neox":
        share, base = "rotary_pct", "rotary_emb_base"
    if "partial_rotary_factor" in rope:
        fields[share] = rope.pop("partial_rotary_factor")
    fields[base] = rope.pop("rope_theta")
    fields["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    if not fields["model_type"].startswith("gemma3"):
        fields.pop("layer_types", None)
    return fields


def edit_config(folder: Path, change) -> None:
    """Rewrites config.json by `change(fields) -> fields`."""
    path = folder / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=1))


def build(folder: Path, shape: Shape, seed: int = 0) -> Path:
    """Writes a plain model folder and returns it."""
    config = make_config(shape)
    config.dtype = getattr(torch, shape.dtype)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(model, seed)
    model = model.to(getattr(torch, shape.dtype))
    folder.mkdir(parents=True, exist_ok=True)
    limit = shape.shard_bytes or "5GB"
    model.save_pretrained(folder, max_shard_size=limit)
    if shape.old_config:
        edit_config(folder, to_old_config)
    return folder


@dataclass(frozen=True)
class Metadata:
    """The form in which a folder states its eviction."""

    form: str  # "adapter" | "neuron" | "dms_metadata" | "training_log"
    window: int = 16
    scale: float = 100.0
    offset: float = 5.0
    per: str = "head"
    disabled: bool = False
    shift: int | None = None  # dms_decision_shift; None: not written
    nested: bool = False  # FastDMS's keys under "config"


METADATA_FORMS = ("adapter", "neuron", "dms_metadata", "training_log")


def add_metadata(folder: Path, metadata: Metadata, seed: int = 0) -> Path:
    """Turns a plain folder into one with trained eviction (random, about half evicted)."""
    if metadata.form in ("adapter", "neuron"):
        keys = {
            "dms_window_size": metadata.window,
            "dms_alpha_scale": metadata.scale,
            "dms_initial_alpha_offset": metadata.offset,
            "dms_alpha_per": metadata.per,
            "dms_disable_eviction": metadata.disabled,
            "dms_separate_alpha": metadata.form == "adapter",
            "dms_cr": 8,
        }
        edit_config(folder, lambda fields: {**fields, **keys})
        if metadata.form == "adapter":
            add_adapters(folder, seed)
    else:
        offset_key = "dms_alpha_offset" if metadata.nested else "alpha_offset"
        fields = {"window_size": metadata.window, "alpha_scale": metadata.scale, "target_cr": 8}
        fields[offset_key] = metadata.offset
        in_folder = metadata.form == "dms_metadata"
        path = folder / "dms_metadata.json" if in_folder else folder.parent / "training_log.json"
        path.write_text(json.dumps({"config": fields} if metadata.nested else fields))
    if metadata.shift is not None:
        edit_config(folder, lambda fields: {**fields, "dms_decision_shift": metadata.shift})
    return folder


def plain_demo(folder: Path) -> Path:
    """The demo model without its trained eviction, and with its tokenizer."""
    shutil.copytree(ROOT / "models" / "demo", folder)

    def is_plain(name: str) -> bool:
        return "dms_" not in name

    edit_config(folder, lambda fields: {k: v for k, v in fields.items() if is_plain(k)})
    path = folder / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if is_plain(name)}
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def add_adapters(folder: Path, seed: int) -> None:
    """Random dms_proj_alpha(_norm) weights, in the only file or in a shard of their own."""
    config = AutoConfig.from_pretrained(folder)
    hidden, kv_heads = config.hidden_size, kv_heads_of(config)
    biased = attention_has_bias(config)
    dtype = config.dtype
    generator = torch.Generator().manual_seed(seed + 1)
    adapters = {}
    names = names_of(config)
    for layer in range(config.num_hidden_layers):
        prefix = names.layer.format(layer) + names.attention + "dms_proj_alpha"
        noise = torch.randn(kv_heads, hidden, generator=generator)
        adapters[prefix + ".weight"] = (noise / hidden**0.5).to(dtype)
        adapters[prefix + "_norm.weight"] = (
            1.0 + 0.2 * torch.randn(hidden, generator=generator)
        ).to(dtype)
        if biased:
            adapters[prefix + ".bias"] = (0.2 * torch.randn(kv_heads, generator=generator)).to(
                dtype
            )
    index_path = folder / "model.safetensors.index.json"
    if not index_path.exists():
        path = folder / "model.safetensors"
        save_file({**load_file(path), **adapters}, path, metadata={"format": "pt"})
        return
    save_file(adapters, folder / "model-dms.safetensors", metadata={"format": "pt"})
    index = json.loads(index_path.read_text())
    index["weight_map"].update(dict.fromkeys(adapters, "model-dms.safetensors"))
    index_path.write_text(json.dumps(index))


def random_ids(shape: Shape, tokens: int, seed: int = 0) -> list[int]:
    """Ids of the whole vocabulary."""
    rng = random.Random(seed)
    return [rng.randrange(shape.vocab) for _ in range(tokens)]
