"""`dms.init`: training that starts from KVzap's scores decides as they do before its first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from kvzap_reference import KvzapReference, Settings, write_adapter
from test_kvzap import check
from train_runs import SHAPE, Workshop, load_tensors, output_of, read_metrics

SCORES = Settings(threshold=0.2, window=6, n_sink=3)
TOKENS = 90


@pytest.fixture(scope="module")
def shop(tmp_path_factory, seed) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("shop"), seed)


@pytest.fixture(scope="module")
def scores(shop, seed) -> Path:
    return write_adapter(shop.base, shop.folder / "scores", SCORES, seed)


def trained(shop: Workshop, scores: Path, learning_rate: float) -> Path:
    """The adapter after two steps."""
    config = shop.config(
        dms={"init": str(scores), "init_scale": 2.5, "window_size": 6, "decision_shift": 0},
        trainer={"learning_rate": learning_rate, "max_steps": 2, "save_steps": 2},
    )
    shop.train(config)
    output = output_of(config)
    assert 0.2 < read_metrics(output)[0]["fraction_closed"] < 0.8
    adapter = output / "adapter"
    checkpoint = output / "checkpoint-2"
    shop.run(
        *("extract", "--config", output / "config.yaml", "--checkpoint", checkpoint),
        *("--out", adapter, "--adapter-only"),
    )
    return adapter


def test_the_student_begins_with_the_scores_decisions(score, shop, scores, seed):
    adapter = trained(shop, scores, 0.0)
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["dms_alpha_bias"] is True
    assert config["dms_n_sink"] == 3
    shape = models.Shape(**{**SHAPE.__dict__, "vocab": shop.tokenizer.get_vocab_size()})
    ids = models.random_ids(shape, TOKENS, seed)
    reference = KvzapReference(shop.base, scores)
    made = (shop.base, scores, ids, reference)
    for chunk in (256, 7):
        scored = score(shop.base, ids, "--adapter", adapter, "--chunk", chunk)
        assert 0.2 < scored.decisions.mean() < 0.8
        assert not scored.decisions[:, :, :3].any()
        check(scored, made, SCORES.window, f"chunk {chunk}")
    reference.n_sink = 0
    unsunk = score(shop.base, ids, "--adapter", adapter, "--policy-args", "n_sink=0")
    assert unsunk.decisions[:, :, :3].any()
    check(unsunk, made, SCORES.window, "no sinks")


def test_every_part_of_it_is_trained(shop, scores):
    before, after = (
        load_tensors(trained(shop, scores, rate) / "adapter.safetensors") for rate in (0.0, 1e-3)
    )
    assert len(before) == 3 * SHAPE.layers
    for name, tensor in before.items():
        assert not torch.equal(tensor, after[name]), name
        assert np.abs(tensor - after[name]).max() < 0.01, f"{name}: is not where it began"


def test_what_cannot_begin_so_is_refused_before_data_is_read(shop, scores):
    other = models.build(shop.folder / "other", models.Shape("llama", layers=3, vocab=300), seed=1)
    foreign = write_adapter(other, shop.folder / "foreign", SCORES)
    said = shop.train(shop.config(dms={"init": str(foreign), "decision_shift": 0}), status=2)
    assert "made for another model" in said
    assert "adapter_config.json" in said
    student = shutil.copytree(shop.base, shop.folder / "student")
    models.add_metadata(student, models.Metadata("adapter", window=6), seed=1)
    begin = {"init": str(scores), "decision_shift": 0}
    config = shop.config(model={"name": str(student)}, dms=begin)
    assert "already has trained eviction" in shop.train(config, status=2)


def test_a_bias_once_trained_is_not_dropped(shop):
    student = shutil.copytree(shop.base, shop.folder / "biased")
    models.add_metadata(student, models.Metadata("adapter", window=6), seed=1)
    path = student / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dms_alpha_bias": True}))
    config = shop.config(model={"name": str(student)}, dms={"alpha_bias": False})
    assert "which dms.alpha_bias would drop" in shop.train(config, status=2)


def test_what_goes_on_from_a_checkpoint_does_without_the_scores(shop, scores):
    mine = shutil.copytree(scores, shop.folder / "mine")
    begin = {"init": str(mine), "window_size": 6, "decision_shift": 0}
    steps = {"max_steps": 4, "save_steps": 2}
    whole = shop.config(dms=begin, trainer=steps)
    shop.train(whole)
    base_alone = shop.config(dms=begin | {"train": ["*.q_proj.weight"]}, trainer=steps)
    shop.train(base_alone)
    shutil.rmtree(mine)
    resumed = shop.config(dms=begin, trainer=steps)
    shop.train(resumed, "--resume", output_of(whole) / "checkpoint-2")
    first, second = (
        load_tensors(output_of(config) / "checkpoint-4" / "weights-0.safetensors")
        for config in (whole, resumed)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    student = json.loads((output_of(resumed) / "student_model" / "config.json").read_text())
    assert (student["dms_n_sink"], student["dms_alpha_bias"]) == (SCORES.n_sink, True)

    def extract(config: Path, status: int) -> str:
        checkpoint = output_of(config) / "checkpoint-4"
        arguments = ("--config", config, "--checkpoint", checkpoint, "--adapter-only")
        return shop.run("extract", *arguments, "--out", shop.folder / "made", status=status)

    assert str(mine) in extract(base_alone, 2)
    extract(resumed, 0)
    made = json.loads((shop.folder / "made" / "adapter_config.json").read_text())
    assert made["dms_n_sink"] == SCORES.n_sink
