"""Writes quantised model folders as compressed-tensors, GPTQ and AWQ do, and what they stand for.

compressed-tensors' own package packs its formats. GPTQ's and AWQ's packers need a GPU, so their
layouts are written out here: words of 32 bits, the first code in the lowest bits;
GPTQ: qweight [inputs / p, outputs], qzeros [groups, outputs / p], in its first version less one;
AWQ: qweight [inputs, outputs / 8], qzeros likewise, with outputs 0 2 4 6 1 3 5 7 in a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import load_file, save_file

import models

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True)
class Scheme:
    """How a folder's linear layers are quantised."""

    method: str  # "pack-quantized" | "int-quantized" | "gptq" | "awq"
    bits: int = 4
    group: int | None = 32  # None: one scale for each output
    symmetric: bool = True
    version: str = "gptq"  # GPTQ's checkpoint_format
    scales: torch.dtype = torch.float32

    def config(self) -> dict:
        if self.method == "gptq":
            return {
                "quant_method": "gptq",
                "bits": self.bits,
                "group_size": self.group or -1,
                "sym": self.symmetric,
                "desc_act": False,
                "checkpoint_format": self.version,
            }
        if self.method == "awq":
            return {
                "quant_method": "awq",
                "bits": self.bits,
                "group_size": self.group or -1,
                "zero_point": True,
                "version": "gemm",
            }
        weights = {
            "num_bits": self.bits,
            "type": "int",
            "strategy": "group" if self.group else "channel",
            "group_size": self.group,
            "symmetric": self.symmetric,
            "dynamic": False,
        }
        return {
            "quant_method": "compressed-tensors",
            "format": self.method,
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
            "ignore": ["lm_head"],
        }


@dataclass
class Codes:
    """codes and zeros are unsigned: weight = (code - zero) * scale."""

    codes: torch.Tensor  # [outputs, inputs]
    scales: torch.Tensor  # [outputs, groups]
    zeros: torch.Tensor  # [outputs, groups]

    def weight(self) -> torch.Tensor:
        group = self.codes.shape[1] // self.scales.shape[1]
        zeros = self.zeros.repeat_interleave(group, 1)
        return (self.codes - zeros).float() * self.scales.float().repeat_interleave(group, 1)


def quantise(weight: torch.Tensor, scheme: Scheme) -> Codes:
    """To the nearest code."""
    top = 2**scheme.bits - 1
    groups = weight.float().unflatten(1, (-1, scheme.group or weight.shape[1]))
    if scheme.symmetric:
        scales = groups.abs().amax(-1) / (top // 2)
        zeros = torch.full_like(scales, (top + 1) // 2)
    else:
        low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
        scales = (high - low) / top
        zeros = (-low / scales).round().clamp(0, top)
    scales = scales.to(scheme.scales)
    codes = (groups / scales.float().unsqueeze(-1) + zeros.unsqueeze(-1)).round().clamp(0, top)
    return Codes(codes.flatten(1).int(), scales, zeros.int())


def words(fields: torch.Tensor, bits: int) -> torch.Tensor:
    """Packs the last dimension, the first field lowest."""
    per = 32 // bits
    wide = fields.numpy().astype(np.uint32).reshape(*fields.shape[:-1], -1, per)
    shifts = np.arange(per, dtype=np.uint32) * bits
    packed = (wide << shifts).sum(-1, dtype=np.uint32)
    return torch.from_numpy(packed.view(np.int32).copy())


def gptq_tensors(codes: Codes, scheme: Scheme) -> dict[str, torch.Tensor]:
    top = 2**scheme.bits - 1
    zeros = codes.zeros.T - (1 if scheme.version == "gptq" else 0)
    group = codes.codes.shape[1] // codes.scales.shape[1]
    return {
        "qweight": words(codes.codes, scheme.bits).T.contiguous(),
        "qzeros": words(zeros & top, scheme.bits),
        "scales": codes.scales.T.contiguous(),
        "g_idx": torch.arange(codes.codes.shape[1], dtype=torch.int32) // group,
    }


def awq_tensors(codes: Codes) -> dict[str, torch.Tensor]:
    def across(fields: torch.Tensor) -> torch.Tensor:  # [outputs, n] -> [n, outputs / 8]
        eights = fields.T.reshape(fields.shape[1], -1, 8)
        return words(eights[:, :, list(AWQ_ORDER)].flatten(1).contiguous(), 4)

    return {
        "qweight": across(codes.codes),
        "qzeros": across(codes.zeros),
        "scales": codes.scales.T.contiguous(),
    }


def packed_tensors(codes: Codes, scheme: Scheme) -> dict[str, torch.Tensor]:
    half = 2 ** (scheme.bits - 1)
    if scheme.method == "int-quantized":
        return {
            "weight": (codes.codes - half).to(torch.int8),
            "weight_scale": codes.scales,
        }
    args = QuantizationArgs(**scheme.config()["config_groups"]["group_0"]["weights"])
    state = {
        "weight": codes.weight(),
        "weight_scale": codes.scales,
        "weight_zero_point": (codes.zeros - half).to(torch.int8),
    }
    return PackedQuantizationCompressor.compress(
        state, QuantizationScheme(targets=["Linear"], weights=args)
    )


def tensors_of(codes: Codes, scheme: Scheme) -> dict[str, torch.Tensor]:
    if scheme.method == "gptq":
        return gptq_tensors(codes, scheme)
    if scheme.method == "awq":
        return awq_tensors(codes)
    return packed_tensors(codes, scheme)


def quantise_folder(folder: Path, scheme: Scheme) -> dict[str, torch.Tensor]:
    """Rewrites a one-file float folder; returns the tensors that it now stands for."""
    file = folder / "model.safetensors"
    stored, meant = {}, {}
    for name, tensor in load_file(file).items():
        meant[name] = tensor
        if tensor.dim() != 2 or "embed" in name or "lm_head" in name:
            stored[name] = tensor
            continue
        codes = quantise(tensor, scheme)
        meant[name] = codes.weight()
        prefix = name.removesuffix("weight")
        stored.update({prefix + key: value for key, value in tensors_of(codes, scheme).items()})
    save_file(stored, file, metadata={"format": "pt"})
    models.edit_config(folder, lambda fields: {**fields, "quantization_config": scheme.config()})
    return meant
