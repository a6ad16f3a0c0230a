#!/usr/bin/env python3
"""Writes a GGUF file's weights anew as BF16, so that two engines can serve the same numbers.

bench/serve/bf16_gguf.py SmolLM2-135M-Instruct.Q4_1.gguf smollm2-bf16.gguf

Vectors become F32; everything else of the file is copied. Needs `pip install gguf`.
"""

from __future__ import annotations

import argparse

import gguf
import numpy as np
from gguf.quants import dequantize, quantize


def copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for name, entry in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = entry.types[0]
        items = entry.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = entry.contents()
        if name == "general.file_type":
            value = int(gguf.LlamaFileType.MOSTLY_BF16)
        writer.add_key_value(name, value, kind, sub_type=items)


def add_tensor(tensor: gguf.ReaderTensor, writer: gguf.GGUFWriter) -> None:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
    if values.ndim == 1:
        writer.add_tensor(tensor.name, values)
        return
    bf16 = gguf.GGMLQuantizationType.BF16
    writer.add_tensor(tensor.name, quantize(values, bf16), raw_dtype=bf16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("out")
    args = parser.parse_args()
    reader = gguf.GGUFReader(args.source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(args.out, architecture)
    copy_fields(reader, writer)
    for tensor in reader.tensors:
        add_tensor(tensor, writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
