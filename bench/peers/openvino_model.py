"""Converts random weights in a shape for OpenVINO, by optimum-intel, in a process of its own.

`python openvino_model.py SHAPE.json FOLDER (int8|int4|bf16)`: int8 and int4 as optimum-intel makes
them when nothing else is asked for; bf16 is stored as such, the runtime computes in it where the
CPU can.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from optimum.exporters.openvino import export_from_model
from optimum.intel import OVConfig, OVModelForCausalLM, OVWeightQuantizationConfig
from transformers import AutoConfig, AutoModelForCausalLM

RULES = {
    "int8": OVWeightQuantizationConfig(bits=8, sym=False),
    "int4": OVWeightQuantizationConfig(bits=4, sym=False, group_size=128, ratio=1.0),
}


def convert(shape: Path, folder: Path, weights: str) -> None:
    """Writes openvino_model.xml and .bin; leaves nothing behind when it breaks off."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(shape)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        plain, packed = Path(parent) / "bf16", Path(parent) / "packed"
        export_from_model(
            model,
            output=plain,
            task="text-generation-with-past",
            ov_config=OVConfig(dtype="bf16"),
            patch_16bit_model=True,  # traced as it is, so that memory stays at two bytes a weight
        )
        if weights in RULES:
            OVModelForCausalLM.from_pretrained(
                plain, quantization_config=RULES[weights], compile=False
            ).save_pretrained(packed)
        (packed if weights in RULES else plain).rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", choices=[*RULES, "bf16"])
    args = parser.parse_args()
    args.folder.parent.mkdir(parents=True, exist_ok=True)
    convert(args.shape, args.folder, args.weights)


if __name__ == "__main__":
    main()
