"""What goes wrong in training ends with one clear line, and nothing that was learnt is lost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import models
from harness import HANG_GUARD_S, wait_until
from train_runs import Workshop, build_base, output_of, read_metrics


@pytest.fixture(scope="module")
def shop(tmp_path_factory, seed) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shop"), seed)


def assert_told(text: str, *words: object) -> str:
    """The last line is the only error and holds every word."""
    lines = text.splitlines()
    errors = [line for line in lines if line.startswith("dms: error: ")]
    assert errors == lines[-1:], text
    assert len(errors[0]) < 1000, errors[0]
    for word in words:
        assert str(word) in errors[0], f"does not say {word!r}: {text}"
    return errors[0]


def refused(shop: Workshop, config: Path, *words: object, args=(), status: int = 2) -> None:
    assert_told(shop.train(config, *args, status=status), *words)


@pytest.fixture(scope="module")
def saved(shop) -> Path:
    """The folder of an ended adapter-only run."""
    config = shop.config()
    shop.train(config)
    return output_of(config)


def test_missing_model_folder(shop):
    refused(shop, shop.config(model={"name": "/nowhere/model"}), "/nowhere/model")


@pytest.mark.parametrize("family", sorted({*models.FAMILIES} - {*models.TRAINED_FAMILIES}))
def test_families_that_are_not_trained(shop, tmp_path, family):
    folder = models.build(tmp_path / "m", models.Shape(family))
    config = shop.config(model={"name": str(folder)})
    model_type = models.MODEL_TYPES.get(family, family)
    refused(shop, config, f"model_type {model_type}", "the trainer does not compute")


def test_model_without_weights(shop, tmp_path):
    folder = shutil.copytree(shop.base, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    refused(shop, shop.config(model={"name": str(folder)}), "model.safetensors")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"datasets": {"corpus": {"path": "/nowhere/c.jsonl"}}}, ["/nowhere/c.jsonl"]),
        ({"datasets": {"corpus": {"path": "EMPTY"}}}, ["data.datasets.corpus"]),
        ({"datasets": {"corpus": {"path": "CORPUS", "text": "body"}}}, ["body", "corpus.jsonl:1"]),
        ({"blend": "books:1.0"}, ["data.blend", "books"]),
        ({"max_lenght": 5}, ["max_lenght", "max_length"]),
        ({"max_length": 1_000_000}, ["corpus"]),
    ],
    ids=["missing", "empty", "wrong-field", "undeclared", "misspelt", "too-long-for-the-data"],
)
def test_data(shop, data, words):
    (shop.folder / "empty.jsonl").write_text("")
    text = json.dumps(data).replace("EMPTY", str(shop.folder / "empty.jsonl"))
    data = json.loads(text.replace("CORPUS", str(shop.corpus)))
    refused(shop, shop.config(data=data), *words)


def test_unknown_keys(shop):
    refused(shop, shop.config(trainer={"learning_rat": 1}), "learning_rat", "learning_rate")
    refused(shop, shop.config(dms={"tao": 1}), "tao", "tau")
    refused(shop, shop.config(objective="dsm"), "objective", "dsm")


def test_patterns_without_a_weight(shop):
    refused(shop, shop.config(dms={"train": "*.no_such.*"}), "dms.train", "*.no_such.*")


def test_a_config_that_is_not_there(shop):
    refused(shop, Path("/nowhere/config.yaml"), "/nowhere/config.yaml")


@pytest.mark.parametrize("resume", ["/nowhere/checkpoint-1", "FOLDER"])
def test_resuming_from_nothing(shop, tmp_path, resume):
    resume = resume.replace("FOLDER", str(tmp_path))
    refused(shop, shop.config(), resume, args=("--resume", resume))


def test_an_earlier_run_is_not_overwritten(shop, saved):
    before = sorted(saved.glob("**/*"))
    refused(shop, shop.config(saved), str(saved), "--resume auto")
    assert sorted(saved.glob("**/*")) == before


def test_checkpoint_of_another_shape(shop, saved, tmp_path):
    other = build_base(tmp_path / "other", shop.tokenizer, hidden=48)
    config = shop.config(model={"name": str(other)})
    args = ("--resume", saved / "checkpoint-6")
    refused(shop, config, "dms_proj_alpha", "shape", args=args)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "lm"},
        {"dms": {"train": "all"}},
        {"dms": {"separate_alpha": False}},
        {"trainer": {"seed": 7}},
    ],
    ids=["objective", "more-weights", "neuron", "seed"],
)
def test_checkpoint_of_another_run(shop, saved, changes):
    args = ("--resume", saved / "checkpoint-6")
    refused(shop, shop.config(**changes), "checkpoint", args=args)


def test_checkpoint_that_trained_more(shop):
    """Its other weights must not be forgotten without a word."""
    config = shop.config(dms={"train": "all"}, trainer={"max_steps": 1})
    shop.train(config)
    args = ("--resume", output_of(config) / "checkpoint-1")
    refused(shop, shop.config(), "checkpoint-1", "does not train", args=args)


def test_a_damaged_checkpoint_is_passed_over(shop, saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "run")
    weights = copy / "checkpoint-12" / "weights-0.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    config = shop.config(copy)
    refused(shop, config, "weights-0.safetensors", args=("--resume", copy / "checkpoint-12"))
    said = shop.train(config, "--resume", "auto")
    assert "checkpoint-12" in said
    assert read_metrics(copy) == read_metrics(saved)


# signals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends(shop, number):
    endless = {"max_steps": 1_000_000, "save_steps": 1_000_000}
    config = shop.config(trainer=endless)
    output = output_of(config)
    process = shop.start("train", config)
    wait_until(lambda: len(read_metrics(output)) >= 2, process, "step 2")
    process.send_signal(number)
    _, text = process.communicate(timeout=HANG_GUARD_S)
    assert process.returncode == 1, text
    steps = read_metrics(output)
    last = steps[-1]["step"]
    assert f"after step {last}" in text.splitlines()[-1], text
    assert [path.name for path in output.glob("checkpoint-*")] == [f"checkpoint-{last}"]
    process = shop.start("train", config, "--resume", "auto")
    wait_until(lambda: len(read_metrics(output)) > last, process, "a further step")
    process.send_signal(number)
    process.communicate(timeout=HANG_GUARD_S)
    assert read_metrics(output)[:last] == steps


# other processes ---------------------------------------------------------------------------------


def test_a_second_run_in_the_folder_is_refused(shop):
    config = shop.config(trainer={"max_steps": 1_000_000, "save_steps": 1_000_000})
    output = output_of(config)
    process = shop.start("train", config)
    wait_until(lambda: len(read_metrics(output)) >= 1, process, "step 1")
    refused(shop, config, output, "another run is writing there", f"process {process.pid}")
    process.kill()
    process.communicate(timeout=HANG_GUARD_S)
    shop.train(shop.config(output, trainer={"max_steps": 1}))


def test_a_gpu_that_is_not_there(shop):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    refused(shop, shop.config(trainer={"device": "cuda"}), "hf_trainer.device", "no GPU")


def test_torchrun_is_for_gpus(shop, monkeypatch):
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    config = shop.config(trainer={"device": "cpu"})
    refused(shop, config, "MASTER_PORT", "missing")
    monkeypatch.setenv("MASTER_PORT", "29500")
    refused(shop, config, "torchrun", "mpirun -n")


# numbers that are none ---------------------------------------------------------------------------


def test_divergence_names_the_step_and_keeps_the_state(shop):
    """A decay of more than the weights themselves makes them grow a hundredfold a step."""
    mad = {"learning_rate": 10, "weight_decay": 10, "max_steps": 60, "save_steps": 2}
    config = shop.config(objective="lm", trainer=mad)
    text = shop.train(config, status=1)
    steps = read_metrics(output_of(config))
    error = assert_told(text, f"step {len(steps) + 1}", "not finite")
    assert "step" in error
    saved = {path.name for path in output_of(config).glob("checkpoint-*")}
    assert saved >= {"checkpoint-2", f"checkpoint-{len(steps)}"}
    files = list(output_of(config).glob("checkpoint-2/weights-*"))
    assert files
    for path in files:
        assert all(weight.isfinite().all() for weight in load_file(path).values())
    again = shop.train(config, "--resume", "auto", status=1)
    assert_told(again, f"step {len(steps) + 1}", "not finite")


def test_a_save_on_divergence_costs_no_older_checkpoint(shop):
    """Its weights may be ruined already."""
    mad = {"learning_rate": 10, "weight_decay": 10, "max_steps": 60, "save_steps": 2}
    config = shop.config(objective="lm", trainer=mad | {"save_total_limit": 1})
    shop.train(config, status=1)
    saved = sorted(path.name for path in output_of(config).glob("checkpoint-*"))
    steps = len(read_metrics(output_of(config)))
    if steps % 2 == 0:
        assert saved == [f"checkpoint-{steps}"]
    else:
        assert saved == sorted([f"checkpoint-{steps - 1}", f"checkpoint-{steps}"])


def test_nothing_to_learn_without_eviction(shop):
    off = {"disable_eviction": True}
    refused(shop, shop.config(dms=off), "dms.disable_eviction", "train: all")
    shop.train(shop.config(dms=off | {"train": "all"}, trainer={"max_steps": 1}))


# a full disk -------------------------------------------------------------------------------------


@pytest.fixture(params=["limit", "tmpfs"])
def small_disk(request, tmp_path):
    """(folder, options): a folder that holds one checkpoint and not two, or files too short."""
    if request.param == "limit":

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

        yield tmp_path, {"preexec_fn": limit}
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=650k", "tmpfs", tmp_path]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a tmpfs can be mounted only by root, where the system lets it")
    yield tmp_path, {}
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_costs_no_older_checkpoint(shop, small_disk):
    folder, options = small_disk
    output = folder / "run"
    shop.train(shop.config(output, objective="lm", trainer={"max_steps": 6}))
    shutil.rmtree(output / "student_model")
    longer = shop.config(output, objective="lm")
    text = shop.train(longer, "--resume", "auto", status=1, **options)
    assert_told(text, "checkpoint-12")
    assert [path.name for path in output.glob("checkpoint-*")] == ["checkpoint-6"]
    for name in ("weights-0", "moments-0"):
        load_file(output / "checkpoint-6" / f"{name}.safetensors")
