"""What the peers' scripts share: one command line, one shape, one form of measurement and report.

Every peer is `python NAME_peer.py --shape config.json …`. It measures, on random weights:

- prefill: tokens per second over a prompt of the asked length into an empty cache;
- decode: tokens per second of `--gen` tokens after a context of the asked length, one sequence or
  `--concurrency` sequences stepped together (then the figure is the sum over the sequences).

A measurement that fails is reported with its error; the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The fields of a Llama-family config.json that the peers' model files need."""

    hidden: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    norm_eps: float
    rope_theta: float
    rope_scaling: dict[str, Any] | None
    tied: bool
    name: str

    @classmethod
    def read(cls, path: Path) -> Shape:
        """Reads config.json in the forms of transformers 4 and 5."""
        raw = json.loads(path.read_text())
        rope = raw.get("rope_parameters") or raw.get("rope_scaling")
        heads = raw["num_attention_heads"]
        theta = raw.get("rope_theta") or (rope or {}).get("rope_theta", 10000.0)
        scaled = rope is not None and rope.get("rope_type", "default") != "default"
        return cls(
            hidden=raw["hidden_size"],
            ffn=raw["intermediate_size"],
            layers=raw["num_hidden_layers"],
            heads=heads,
            kv_heads=raw.get("num_key_value_heads", heads),
            head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
            vocab=raw["vocab_size"],
            context=raw["max_position_embeddings"],
            norm_eps=raw["rms_norm_eps"],
            rope_theta=float(theta),
            rope_scaling=rope if scaled else None,
            tied=raw.get("tie_word_embeddings", False),
            name=path.stem,
        )


@dataclass
class Report:
    """The measurements of one peer, in the order in which they were taken."""

    peer: str
    version: str
    settings: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    def measure(self, what: str, repeat: int, sample: Callable[[], float], **labels: Any) -> None:
        """Takes one warm-up and `repeat` samples of tokens per second, or notes the failure."""
        self.measure_all(what, lambda: [sample() for _ in range(repeat + 1)][1:], **labels)

    def measure_all(self, what: str, samples: Callable[[], list[float]], **labels: Any) -> None:
        """As measure(), for a peer that gives all its samples from one call."""
        progress(f"{self.peer}: {what} {labels}")
        try:
            self.runs.append({**labels, what: spread(samples())})
        except Exception as error:  # noqa: BLE001 - any failure of a peer is a result of the table
            traceback.print_exc()
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            text = f"{type(error).__name__}: {error}"
            self.failures.append({"what": f"{what} {labels}", "command": command, "error": text})

    def print(self) -> None:
        """Writes the report as one JSON object on stdout."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        json.dump({**vars(self), "peak_rss_bytes": peak}, sys.stdout, indent=1)
        print()


def spread(samples: list[float]) -> dict[str, float]:
    """Median, extremes and number of the samples."""
    return {
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "n": len(samples),
    }


def progress(text: str) -> None:
    """Says on stderr what is being done; stdout is for the report."""
    print(text, file=sys.stderr, flush=True)


def counts(text: str) -> list[int]:
    """Parses a comma-separated list of counts; the empty text is the empty list."""
    return [int(part) for part in text.split(",") if part]


def parser(description: str) -> argparse.ArgumentParser:
    """The command line that all the peers have."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--shape", type=Path, required=True, help="config.json of the shape")
    result.add_argument("--prompt-lens", type=counts, default=[512], metavar="N,N")
    result.add_argument("--decode-context", type=counts, default=[0], metavar="N,N")
    result.add_argument("--concurrency", type=counts, default=[], metavar="N,N")
    result.add_argument("--gen", type=int, default=32, help="tokens of one decode sample")
    result.add_argument("--threads", type=int, default=2)
    result.add_argument("--repeat", type=int, default=3, help="samples, after one warm-up")
    result.add_argument("--json", action="store_true", help="accepted for symmetry with dms bench")
    default_models = Path(os.environ.get("DMS_PEERS_DIR", ".venv-peers")) / "models"
    result.add_argument("--models", type=Path, default=default_models, help="for model files")
    return result
