"""NVIDIA/kvpress on one prompt: which entries each press keeps, what the tokens after it lose, time
and memory. Run by kvpress_compare.py in an environment of its own.

python kvpress_peer.py JOB.json

The job: {"model", "ids", "prompt", "threads", "kvzap", "out", "cases": [{"name", "press",
"ratio"}]}.
Writes a bool array [layers, kv_heads, prompt] of what is kept for each case into the folder "out",
and prints one JSON object a case, each when a line comes on standard input.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

import kvpress
import numpy as np
import torch
from kvpress.presses.kvzap_press import KVzapConfig, KVzapModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, DynamicCache

PRESSES = {
    "snapkv": kvpress.SnapKVPress,
    "knorm": kvpress.KnormPress,
    "keydiff": kvpress.KeyDiffPress,
    "expected_attention": kvpress.ExpectedAttentionPress,
    "tova": kvpress.TOVAPress,
    "kvzip": kvpress.KVzipPress,
}
DECODED = 16  # tokens after the prompt that are appended one by one, and timed
PIECE = 16  # of the others


class Kept:
    """Watches what a ScorerPress keeps: topk of its scores."""

    def __init__(self, press) -> None:
        self.layers: dict[int, torch.Tensor] = {}
        score, ratio = press.score, press.compression_ratio

        def watched(module, *args, **kwargs):
            scores = score(module, *args, **kwargs)
            count = kvpress.utils.compute_n_kept(scores.shape[-1], ratio)
            kept = torch.zeros_like(scores, dtype=torch.bool)
            self.layers[module.layer_idx] = kept.scatter(-1, scores.topk(count).indices, True)[0]
            return scores

        press.score = watched


def kvzap_press(model, adapter: Path):
    """KVzapPress with the weights of our adapter, which it would fetch by the model's name."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    sizes = model.config
    scores = KVzapModel(
        KVzapConfig(
            input_dim=sizes.hidden_size,
            output_dim=sizes.num_key_value_heads,
            hidden_dim=None,
            n_modules=sizes.num_hidden_layers,
        )
    )
    weights = load_file(adapter / "adapter.safetensors")
    for index, layer in enumerate(scores.layers):
        name = f"model.layers.{index}.self_attn.kvzap"
        layer.weight.data = weights[name + ".weight"].float()
        layer.bias.data = weights[name + ".bias"].float()
    press = kvpress.KVzapPress(model_type="linear")
    press.post_init_from_model = lambda model: None
    press.kvzap_model = scores
    return kvpress.DMSPress(
        press=press,
        threshold=config["kvzap_threshold"],
        sliding_window_size=config["kvzap_window_size"],
        decoding=True,
    )


def make(case: dict, model, job: dict):
    """(press, what watches it or None)"""
    if case["press"] == "none":
        return None, None
    if case["press"] == "kvzap":
        return kvzap_press(model, Path(job["kvzap"])), None
    name, _, wrapper = case["press"].partition("+")
    press = PRESSES[name](compression_ratio=case["ratio"])
    if wrapper:
        return kvpress.AdaKVPress(press), None
    return press, None if name == "kvzip" else Kept(press)


def kept_entries(model, watch: Kept | None, prompt: int) -> np.ndarray:
    """bool [layers, kv_heads, prompt]"""
    layers = []
    for index, layer in enumerate(model.model.layers):
        kept = torch.ones(model.config.num_key_value_heads, prompt, dtype=torch.bool)
        masked = getattr(layer.self_attn, "masked_key_indices", None)
        if masked is not None:
            kept[masked[1], masked[2]] = False
        elif watch is not None:
            kept = watch.layers[index]
        layers.append(kept.numpy())
    return np.stack(layers)


def peak() -> int:
    """Bytes that the process held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def run(model, case: dict, job: dict) -> dict:
    ids, prompt = torch.tensor([job["ids"]]), job["prompt"]
    press, watch = make(case, model, job)
    for layer in model.model.layers:
        layer.self_attn.masked_key_indices = None
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    cache = DynamicCache(config=model.config)
    start = time.perf_counter()
    with press(model) if press else contextlib.nullcontext():
        logits = model(ids[:, :prompt], past_key_values=cache, logits_to_keep=1).logits
    prefill_s = time.perf_counter() - start
    np.save(Path(job["out"]) / f"{case['name']}.npy", kept_entries(model, watch, prompt))
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    rows, at, decode_s = [logits[0, -1:]], prompt, 0.0
    while at < ids.shape[1]:
        end = min(at + (1 if at < prompt + DECODED else PIECE), ids.shape[1])
        start = time.perf_counter()
        positions = torch.arange(at, end)[None]
        rows.append(model(ids[:, at:end], past_key_values=cache, position_ids=positions).logits[0])
        decode_s += time.perf_counter() - start if at < prompt + DECODED else 0.0
        at = end
    foretold = torch.log_softmax(torch.cat(rows)[:-1].double(), -1)
    nll = -foretold.gather(1, ids[0, prompt:, None]).mean().item()
    return {
        "ppl": float(np.exp(nll)),
        "prefill_s": prefill_s,
        "decode_tok_s": DECODED / decode_s,
        "kv_bytes": held,
        "peak_bytes": peak(),
    }


@torch.inference_mode()
def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job["threads"])
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    for case in job["cases"]:
        sys.stdin.readline()  # the other side has its turn before
        print(json.dumps(run(model, case, job)), flush=True)


if __name__ == "__main__":
    main()
