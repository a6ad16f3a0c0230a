"""OpenVINO GenAI's LLMPipeline on a model that optimum-intel converted.

A long context for decode is a prompt that is really prefilled: the pipeline offers nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import openvino
import openvino_genai as genai
from common import Report, Shape, parser, progress

KV_PRECISION = {"int8": "u8", "int4": "u8", "bf16": "bf16"}  # u8 is the CPU plug-in's default


class Pipeline:
    """The pipeline over random prompts, and the times it reports of its tokens."""

    def __init__(self, folder: Path, vocab: int, properties: dict[str, object]) -> None:
        self.raw = genai.LLMPipeline(str(folder), "CPU", **properties)
        self.vocab = vocab
        self.rng = np.random.default_rng(0)

    def generate(self, sequences: int, length: int, gen: int) -> genai.PerfMetrics:
        """Generates `gen` tokens after new random prompts, so that no prefix is ever known."""
        ids = self.rng.integers(0, self.vocab, (sequences, length))
        inputs = genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        config = genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = gen
        config.ignore_eos = True
        config.do_sample = False
        return self.raw.generate(inputs, config).perf_metrics

    def prefill(self, length: int) -> float:
        """Tokens per second until the first token."""
        milliseconds = self.generate(1, length, 1).get_ttft().mean
        return 1000 * length / milliseconds

    def decode(self, context: int, gen: int, repeat: int, sequences: int) -> list[float]:
        """`repeat` stretches of `gen` tokens of one generation, after one stretch of warm-up."""
        metrics = self.generate(sequences, max(context, 1), 1 + (repeat + 1) * gen)
        times = metrics.raw_metrics.m_new_token_times  # milliseconds, one a step
        if len(times) != 1 + (repeat + 1) * gen:
            raise RuntimeError(f"the pipeline timed {len(times)} steps, not one a token")
        marks = times[gen::gen]
        return [1000 * gen * sequences / (end - start) for start, end in pairwise(marks)]


def converted(shape: Path, models: Path, weights: str) -> Path:
    """The folder of the converted model, made in a process of its own if it is not there."""
    folder = models / f"{shape.stem}-openvino-{weights}"
    if not folder.exists():
        progress(f"converting {shape.stem} to {weights}")
        script = Path(__file__).with_name("openvino_model.py")
        command = [sys.executable, script, shape, folder, weights]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", choices=KV_PRECISION, default="int8")
    arguments.add_argument("--kv", choices=["bf16", "u8", "u4"], help="type of the cache")
    args = arguments.parse_args()
    properties = {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": "bf16",
        "KV_CACHE_PRECISION": args.kv or KV_PRECISION[args.weights],
    }
    folder = converted(args.shape, args.models, args.weights)
    pipeline = Pipeline(folder, Shape.read(args.shape).vocab, properties)
    settings = {"weights": args.weights, "threads": args.threads, "properties": properties}
    name = f"OpenVINO GenAI {args.weights}"
    report = Report(name, f"openvino-genai {genai.get_version()}", settings)
    for length in args.prompt_lens:
        report.measure(
            "prefill_tok_s",
            args.repeat,
            lambda length=length: pipeline.prefill(length),
            prompt_tokens=length,
        )
    batches = [(context, 1) for context in args.decode_context]
    for context, sequences in batches + [(0, count) for count in args.concurrency]:
        report.measure_all(
            "decode_tok_s",
            lambda case=(context, sequences): pipeline.decode(
                case[0], args.gen, args.repeat, case[1]
            ),
            context=context,
            gen_tokens=args.gen,
            concurrency=sequences,
            replicated_context=False,
        )
    report.print()


if __name__ == "__main__":
    main()
