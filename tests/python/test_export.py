"""What the trainer's writers write, read by safetensors and transformers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import models
from harness import HANG_GUARD_S, assert_close, binary, missing
from test_adapter import SETTINGS, SHAPES, split_adapter

TOKENS = 60


@pytest.fixture(scope="session")
def write():
    """write(job) -> notes; the program is built with the trainer."""
    tool = binary().parents[2] / "tests" / "train" / "export" / "dms_export_tool"
    if not tool.exists():
        missing(f"no program at {tool}: the trainer is not built")

    def call(**job) -> list[str]:
        text = json.dumps(job, default=str).encode()
        done = subprocess.run(
            [tool], input=text, capture_output=True, check=True, timeout=HANG_GUARD_S
        )
        answer = json.loads(done.stdout)
        assert "error" not in answer, answer["error"]
        return answer["notes"]

    return call


def student_job(base: Path, out: Path, **changes) -> dict:
    job = {"write": "student", "base": base, "out": out, "dtype": "bf16"}
    return {**job, "max_shard_bytes": 5_000_000_000, **changes}


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_safetensors_reads_tensors_and_metadata(write, tmp_path, rng, dtype):
    path = tmp_path / "w.safetensors"
    values = {f"t{n}": [rng.gauss(0, 10**e) for e in range(-9, 5)] * n for n in (0, 1, 5)}
    write(write="tensors", out=path, dtype=dtype, values=values)
    tensors = load_file(path)
    types = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    assert set(tensors) == set(values)
    for name, expected in values.items():
        rounded = torch.tensor(expected, dtype=torch.float32).to(types[dtype])
        assert torch.equal(tensors[name], rounded), name
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("name", SHAPES)
def test_transformers_loads_a_student_as_its_base(write, score, tmp_path, name):
    base = models.build(tmp_path / "base", SHAPES[name], seed=5)
    out = tmp_path / "student"
    changes = {"dtype": "f32", "max_shard_bytes": 50_000}
    write(**student_job(base, out, dms={"dms_window_size": 300}, **changes))
    assert len(list(out.glob("model-*.safetensors"))) > 1
    config = json.loads((out / "config.json").read_text())
    if name == "qwen3":
        # transformers itself has no such classes; NVIDIA's files are to be put beside the weights.
        assert "architectures" not in config
        assert config.pop("auto_map")["AutoModelForCausalLM"].startswith("modeling_qwen3_dms.")
        (out / "config.json").write_text(json.dumps(config))
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = models.random_ids(SHAPES[name], TOKENS)
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
    original = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        assert np.array_equal(original(torch.tensor([ids])).logits[0].numpy(), theirs)
    plain = score(base, ids, "--policy", "none")
    assert_close(plain.logits, theirs, "the engine's base")


@pytest.mark.parametrize("name", SHAPES)
def test_adapters_go_out_and_in_again(write, score, tmp_path, name):
    base = models.build(tmp_path / "base", SHAPES[name], seed=6)
    student = models.build(tmp_path / "student", SHAPES[name], seed=6)
    models.add_metadata(student, SETTINGS, seed=6)
    adapter = tmp_path / "adapter"
    write(write="adapter", student=student, out=adapter)
    expected = split_adapter(student, tmp_path / "expected")
    ours = load_file(adapter / "adapter.safetensors")
    theirs = load_file(expected / "adapter.safetensors")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    fields = json.loads((adapter / "adapter_config.json").read_text())
    assert fields.items() >= json.loads((expected / "adapter_config.json").read_text()).items()
    merged = tmp_path / "merged"
    write(**student_job(base, merged, dtype=SHAPES[name].dtype, adapter=adapter))
    ids = models.random_ids(SHAPES[name], TOKENS)
    outcomes = [score(merged, ids), score(base, ids, "--adapter", adapter), score(student, ids)]
    for other in outcomes[1:]:
        assert np.array_equal(outcomes[0].logits, other.logits)
        assert np.array_equal(outcomes[0].decisions, other.decisions)


def test_the_tokenizer_comes_along(write, tmp_path):
    demo = models.plain_demo(tmp_path / "plain")
    out = tmp_path / "student"
    write(**student_job(demo, out, dms={"dms_window_size": 64}))
    text = "It was a dark night."
    ours, theirs = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(demo)
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    before = load_file(demo / "model.safetensors")
    after = load_file(out / "model.safetensors")
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_a_small_window_is_noted_for_nvidias_code(write, tmp_path):
    base = models.build(tmp_path / "base", SHAPES["qwen3"])
    notes = write(**student_job(base, tmp_path / "a", dms={"dms_window_size": 128}))
    assert len(notes) == 1
    assert "128" in notes[0]
    assert write(**student_job(base, tmp_path / "b", dms={"dms_window_size": 512})) == []
