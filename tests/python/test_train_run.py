"""Whole training runs: killed and resumed, on several ranks, to a student the engine serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import HANG_GUARD_S, wait_until
from train_runs import Workshop, load_tensors, output_of, read_metrics

MPIRUN = ("mpirun", "-n", "2", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none")
needs_mpirun = pytest.mark.skipif(
    shutil.which("mpirun") is None and not os.environ.get("DMS_ALL_TESTS"), reason="no mpirun"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, seed) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shop"), seed)


def final_files(output: Path) -> list[bytes]:
    files = [*sorted(output.glob("checkpoint-12/*.safetensors")), output / "student_model"]
    files[-1] /= "model.safetensors"
    assert len(files) >= 3, "weights and moments and the student"
    return [file.read_bytes() for file in files]


def kill_after_save(shop: Workshop, config: Path) -> None:
    """Ends the run with SIGKILL when it is beyond step 6, whose checkpoint is there."""
    output = output_of(config)
    give_up = time.monotonic() + HANG_GUARD_S
    while time.monotonic() < give_up:
        process = shop.start("train", config)
        wait_until(lambda: len(read_metrics(output)) >= 7, process, "step 7")
        process.kill()
        process.communicate()
        if not (output / "checkpoint-12").exists():
            return
        shutil.rmtree(output)  # it was faster than we were
    pytest.fail("the run could not be caught between step 7 and its end")


MIXED = {"bf16": True, "gradient_checkpointing": True}
KINDS = {
    "lm-adamw": {"objective": "lm"},
    "lm-muon": {"objective": "lm", "trainer": {"optim": "muon"}},
    "dms-adamw": {},
    "dms-muon": {"dms": {"train": "all"}, "trainer": {"optim": "muon"}},
    "neuron": {"dms": {"separate_alpha": False, "fade_steps": 4, "noise": "single"}},
    "lm-bf16": {"objective": "lm", "trainer": MIXED},
    "adapter-bf16": {"trainer": MIXED},
    "all-bf16": {"dms": {"train": "all"}, "trainer": MIXED},
}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_equals_straight(shop, kind):
    straight, killed = (shop.config(**KINDS[kind]) for _ in range(2))
    shop.train(straight)
    kill_after_save(shop, killed)
    said = shop.train(killed, "--resume", "auto")
    assert "checkpoint-6" in said
    metrics = [read_metrics(output_of(config)) for config in (straight, killed)]
    assert [step["step"] for step in metrics[0]] == list(range(1, 13))
    assert metrics[0] == metrics[1]
    assert final_files(output_of(straight)) == final_files(output_of(killed))


def test_resume_takes_a_folder_and_an_ended_run_stays(shop):
    config = shop.config()
    shop.train(config)
    ended = final_files(output_of(config))
    shop.train(config, "--resume", output_of(config) / "checkpoint-6")
    assert final_files(output_of(config)) == ended
    shop.train(config, "--resume", "auto")
    assert final_files(output_of(config)) == ended
    assert len(read_metrics(output_of(config))) == 12


def test_a_longer_run_replaces_its_own_student(shop):
    """Also a plain one, which elsewhere is somebody's model."""
    config = shop.config(objective="lm", trainer={"max_steps": 6})
    shop.train(config)
    student = output_of(config) / "student_model" / "model.safetensors"
    before = student.read_bytes()
    shop.train(shop.config(output_of(config), objective="lm"), "--resume", "auto")
    assert student.read_bytes() != before


def test_a_resumed_run_says_what_changed(shop):
    config = shop.config(trainer={"max_steps": 6})
    shop.train(config)
    said = shop.train(shop.config(output_of(config), dms={"window_size": 7}), "--resume", "auto")
    assert "dms.window_size: was 6, is 7" in said


def test_the_cache_may_lie_in_the_output_folder(shop):
    output = shop.new_output()
    shop.train(shop.config(output, data={"cache_dir": str(output)}, trainer={"max_steps": 1}))


def test_checkpoints_are_pruned(shop):
    config = shop.config(trainer={"save_steps": 2, "save_total_limit": 2})
    shop.train(config)
    saved = sorted(path.name for path in output_of(config).glob("checkpoint-*"))
    assert saved == ["checkpoint-10", "checkpoint-12"]


# ranks -------------------------------------------------------------------------------------------


def checkpoint_weights(output: Path) -> dict:
    return load_tensors(*output.glob("checkpoint-12/weights-*.safetensors"))


@needs_mpirun
@pytest.mark.parametrize("kind", ["lm-adamw", "dms-adamw"])
def test_two_ranks_equal_one_with_twice_the_accumulation(shop, kind):
    alone = shop.config(**KINDS[kind])
    together = shop.config(**KINDS[kind] | {"trainer": {"gradient_accumulation_steps": 1}})
    shop.train(alone)
    shop.train(together, prefix=MPIRUN)
    for one, two in zip(*(read_metrics(output_of(c)) for c in (alone, together)), strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert two[key] == pytest.approx(value, rel=1e-6, abs=1e-9), (one["step"], key)
    expected = checkpoint_weights(output_of(alone))
    weights = checkpoint_weights(output_of(together))
    assert weights.keys() == expected.keys()
    assert len(list(output_of(together).glob("checkpoint-12/weights-*"))) == 2
    for name, weight in weights.items():
        assert torch.allclose(weight, expected[name], rtol=1e-6, atol=1e-6), name


@needs_mpirun
def test_one_rank_goes_on_where_two_stopped(shop):
    alone = shop.config()
    moved = shop.config(trainer={"gradient_accumulation_steps": 1, "max_steps": 6})
    shop.train(alone)
    shop.train(moved, prefix=MPIRUN)
    longer = shop.config(output_of(moved))
    shop.train(longer, "--resume", "auto")
    expected = checkpoint_weights(output_of(alone))
    for name, weight in checkpoint_weights(output_of(moved)).items():
        assert torch.allclose(weight, expected[name], rtol=1e-5, atol=1e-6), name


def samples_consumed(output: Path, step: int) -> int:
    return json.loads((output / f"checkpoint-{step}" / "state.json").read_text())["samples"]


@needs_mpirun
def test_fewer_ranks_go_on_with_the_next_sample(shop):
    """With the accumulation as it was, so that their steps are half as large."""
    config = shop.config(trainer={"max_steps": 6})
    shop.train(config, prefix=MPIRUN)
    output = output_of(config)
    assert samples_consumed(output, 6) == 6 * 2 * 2 * 2
    shop.train(shop.config(output), "--resume", "auto")
    assert samples_consumed(output, 12) == 6 * 2 * 2 * 2 + 6 * 2 * 2


@needs_mpirun
def test_two_ranks_go_on_as_if_they_had_not_stopped(shop):
    straight, stopped = (shop.config(dms={"final_step": 12}) for _ in range(2))
    shop.train(straight, prefix=MPIRUN)
    shop.train(stopped, "--set", "hf_trainer.max_steps=6", prefix=MPIRUN)
    shop.train(stopped, "--resume", "auto", prefix=MPIRUN)
    assert read_metrics(output_of(straight)) == read_metrics(output_of(stopped))
    assert final_files(output_of(straight)) == final_files(output_of(stopped))


@needs_mpirun
def test_a_signal_to_mpirun_saves(shop):
    config = shop.config(trainer={"max_steps": 1_000_000, "save_steps": 1_000_000})
    output = output_of(config)
    process = shop.start("train", config, prefix=MPIRUN)
    try:
        wait_until(lambda: len(read_metrics(output)) >= 2, process, "step 2")
        process.send_signal(signal.SIGUSR1)
        _, text = process.communicate(timeout=HANG_GUARD_S)
    finally:
        process.kill()
    last = read_metrics(output)[-1]["step"]
    assert f"after step {last}" in text
    assert [path.name for path in output.glob("checkpoint-*")] == [f"checkpoint-{last}"]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_mpirun
def test_a_rank_that_dies_ends_the_run(shop):
    config = shop.config(trainer={"max_steps": 1_000_000, "save_steps": 1_000_000})
    process = shop.start("train", config, prefix=MPIRUN)
    try:
        wait_until(lambda: len(read_metrics(output_of(config))) >= 2, process, "step 2")
        os.kill(children_of(process.pid)[1], signal.SIGKILL)
        _, text = process.communicate(timeout=HANG_GUARD_S)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "rank 1" in text, text
    assert "signal 9" in text, text


@needs_mpirun
def test_an_error_of_one_rank_is_told_and_ends_all(shop):
    config = shop.config(data={"datasets": {"corpus": {"path": "/nowhere/x.jsonl"}}})
    process = shop.start("train", config, prefix=MPIRUN)
    try:
        _, text = process.communicate(timeout=HANG_GUARD_S)
    finally:
        process.kill()
    assert process.returncode == 2, text
    assert "dms: error: " in text
    assert "/nowhere/x.jsonl" in text


# the student -------------------------------------------------------------------------------------


LONG_STEPS = 90


@pytest.fixture(scope="module")
def trained(shop) -> Path:
    """The output of a run that should reach CR 2 early and stay there."""
    steps = {"max_steps": LONG_STEPS, "save_steps": LONG_STEPS, "learning_rate": 0.01}
    config = shop.config(dms={"final_cr": 2.0, "final_step": 30}, trainer=steps)
    shop.train(config)
    return output_of(config)


def reached_fraction(output: Path) -> float:
    """Of the last steps."""
    return np.mean([step["fraction_closed"] for step in read_metrics(output)[-20:]])


def test_the_fraction_closed_follows_its_target(trained):
    metrics = read_metrics(trained)
    assert len(metrics) == LONG_STEPS
    for step in metrics:
        cr = 1 + min((step["step"] - 1) / 30, 1)
        assert step["target_cr"] == pytest.approx(cr)
        assert step["target_fraction"] == pytest.approx(1 - 1 / cr)
        assert step["cr"] == pytest.approx(1 / (1 - step["fraction_closed"]))
    assert metrics[0]["fraction_closed"] < 0.1
    assert reached_fraction(trained) == pytest.approx(0.5, abs=0.08)


def test_an_adapter_leaves_the_base_as_it_was(shop, trained):
    base = load_tensors(shop.base / "model.safetensors")
    student = load_tensors(trained / "student_model" / "model.safetensors")
    added = {name for name in student if "dms_proj_alpha" in name}
    assert student.keys() == base.keys() | added
    assert len(added) == 2 * 2
    for name, weight in base.items():
        assert weight.dtype == student[name].dtype
        assert torch.equal(weight.view(torch.int16), student[name].view(torch.int16)), name
    assert (trained / "student_model" / "tokenizer.json").exists()


def test_the_engine_serves_the_student(score, shop, trained):
    """What it forgets is what training said it would, within what noise and rounding do."""
    text = json.loads(shop.corpus.read_text().splitlines()[0])["text"]
    ids = (shop.tokenizer.encode(text).ids * 20)[:400]
    scored = score(trained / "student_model", ids)
    assert scored.report["kv"]["dense_tokens"] == scored.decisions.size
    assert scored.decisions.mean() == pytest.approx(reached_fraction(trained), abs=0.15)
    kept = (scored.decisions == 0) | (np.arange(len(ids))[::-1] <= 6)
    assert scored.report["kv"]["held_tokens"] == pytest.approx(kept.sum(), abs=kept.size / len(ids))
    dense = score(trained / "student_model", ids, "--policy", "none")
    base = score(shop.base, ids)
    assert np.array_equal(dense.logits, base.logits)


def test_an_adapter_that_learnt_nothing_changes_nothing(score, shop):
    config = shop.config(dms={"final_cr": 1.0}, trainer={"max_steps": 2, "learning_rate": 0.0})
    shop.train(config)
    ids = shop.tokenizer.encode("The cat sleeps near the river and the moon falls.").ids * 4
    scored = score(output_of(config) / "student_model", ids)
    assert not scored.decisions.any()
    assert np.array_equal(scored.logits, score(shop.base, ids).logits)


def test_the_adapter_alone_makes_the_same_student(score, shop, trained):
    out = shop.folder / "adapter"
    config = trained.with_suffix(".yaml")
    checkpoint = trained / f"checkpoint-{LONG_STEPS}"
    extract = ("extract", "--config", config, "--checkpoint", checkpoint, "--out")
    shop.run(*extract, out, "--adapter-only")
    ids = shop.tokenizer.encode("The dog runs under a tree. " * 20).ids
    apart = score(shop.base, ids, "--adapter", out)
    whole = score(trained / "student_model", ids)
    assert apart.decisions.any()
    # The folder's adapter is rounded to bf16, the adapter's own file is not.
    assert (apart.decisions != whole.decisions).mean() < 0.02
    again = shop.folder / "student-again"
    shop.run(*extract, again)
    weights = "model.safetensors"
    assert (again / weights).read_bytes() == (trained / "student_model" / weights).read_bytes()


def test_language_modelling_learns(shop):
    config = shop.config(
        objective="lm", trainer={"max_steps": 60, "save_steps": 60, "learning_rate": 0.01}
    )
    shop.train(config)
    metrics = read_metrics(output_of(config))
    assert "kl" not in metrics[0]
    assert metrics[0]["lm_loss"] == metrics[0]["loss"]
    assert metrics[-1]["loss"] < metrics[0]["loss"] - 2
    student = json.loads((output_of(config) / "student_model" / "config.json").read_text())
    assert not [key for key in student if key.startswith("dms_")]


def test_bfloat16_comes_near_float32(shop):
    """Products in bf16, masters in float32: the same run up to rounding."""
    exact, rounded = (
        shop.config(objective="lm", trainer={"bf16": bf16, "gradient_checkpointing": bf16})
        for bf16 in (False, True)
    )
    shop.train(exact)
    shop.train(rounded)
    for one, two in zip(*(read_metrics(output_of(c)) for c in (exact, rounded)), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=0.02), one["step"]
    assert read_metrics(output_of(exact)) != read_metrics(output_of(rounded))


def test_a_report_page_is_left(trained):
    page = (trained / "report.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_language_modelling_leaves_old_eviction_out(shop, trained):
    """Its decisions would be those of weights that are no more."""
    config = shop.config(
        objective="lm",
        model={"name": str(trained / "student_model")},
        trainer={"max_steps": 1},
    )
    said = shop.train(config)
    assert "trained eviction is left out" in said
    student = output_of(config) / "student_model"
    assert not [key for key in json.loads((student / "config.json").read_text()) if "dms" in key]
    assert not [name for name in load_tensors(student / "model.safetensors") if "dms" in name]
