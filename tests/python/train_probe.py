"""Drives `dms_train_probe`, which shows what the trainer computes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from harness import HANG_GUARD_S, binary, missing


def probe_program() -> Path:
    """Built with the trainer, beside `dms` unless DMS_TRAIN_PROBE says where."""
    beside = binary().parents[2] / "tests" / "train" / "probe" / "dms_train_probe"
    return Path(os.environ.get("DMS_TRAIN_PROBE", beside))


class Probe:
    """One process that answers many jobs: starting LibTorch costs more than most of them."""

    def __init__(self, folder: Path):
        program = probe_program()
        if not program.exists():
            missing(f"no program at {program}: the trainer is not built")
        self.out = folder / "out.safetensors"
        self.forced = folder / "forced.npy"
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *, forced: np.ndarray | None = None, **job) -> dict[str, np.ndarray]:
        """The job's tensors. forced: uint8 [layers, kv_heads, tokens]."""
        job["out"] = str(self.out)
        if forced is not None:
            np.save(self.forced, forced.astype(np.uint8))
            job["forced"] = str(self.forced)
        self.process.stdin.write(json.dumps(job, default=str) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the probe died of {job}"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return load_file(self.out)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=HANG_GUARD_S)
