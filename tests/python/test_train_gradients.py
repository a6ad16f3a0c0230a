"""The objective and every gradient of it against autograd on explicit masks, in float64."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
import torch

import models
from models import Metadata
from train_reference import Rows, Settings, TrainReference, cross_entropy, distillation

TOLERANCE = 1e-9  # of a gradient's largest value
ROUNDING = 1e-13  # of sums whose terms are about 1 and cancel
EOS = 2
STEP, FINAL_STEP = 30, 40
LLAMA_LIKE = models.FAMILIES[:5]  # what train_reference.py computes


def config_text(folder, settings: Settings | None, final_cr: float = 1.0, **changes) -> str:
    """The YAML of an objective at STEP; settings None: language modelling."""
    config = {
        "objective": "lm" if settings is None else "dms",
        "model": {"name": str(folder), "dtype": "float32"},
        "data": {
            "blend": "none:1.0",
            "datasets": {"none": {"path": "none.jsonl"}},
            "process_vocab_using_chunk": changes.pop("chunk", 37),
        },
        "hf_trainer": {
            "output_dir": "none",
            "bf16": False,
            "gradient_checkpointing": changes.pop("checkpointing", False),
        },
    }
    if settings is not None:
        config["dms"] = dms_section(settings, final_cr) | changes
    return json.dumps(config)


def dms_section(settings: Settings, final_cr: float) -> dict:
    section = {
        "separate_alpha": settings.source == "adapter",
        "decision_shift": settings.shift,
        "window_size": settings.window,
        "alpha_scale": settings.scale,
        "initial_alpha_offset": settings.offset,
        "alpha_per": "layer" if settings.per_layer else "head",
        "tau": settings.tau,
        "kl": "forward" if settings.forward_kl else "reverse",
        "kl_reduction": "sum" if settings.kl_sum else "mean",
        "fraction": "soft" if settings.soft_fraction else "straight_through",
        "initial_cr": 1.0,
        "final_cr": final_cr,
        "final_step": FINAL_STEP,
    }
    if settings.source == "neuron":
        section["zero_after_rope"] = settings.zero_after_rope
    return section


def target_at(final_cr: float) -> float:
    return 1 - 1 / (1 + (final_cr - 1) * STEP / FINAL_STEP)


def random_rows(rng: random.Random, vocab: int) -> Rows:
    """Rows of different lengths with ends of text inside, and marks."""
    lengths = [rng.randint(2, 30) for _ in range(rng.randint(1, 3))]
    ids = [[rng.choice([EOS, *range(3, vocab)]) for _ in range(n)] for n in lengths]
    for row in ids:
        if len(row) > 8:
            row[rng.randrange(1, len(row) - 1)] = EOS
    loss = [[int(rng.random() < 0.8) for _ in row] for row in ids]
    loss[0][-1] = 1
    ids[0][0] = ids[0][-1] = 5  # so that something counts
    loss[0][1] = 1
    return Rows(ids, loss, (EOS,))


def check_gradients(ours: dict, reference: TrainReference, trained, loss: torch.Tensor) -> None:
    assert trained, "nothing is trained"
    wanted = torch.autograd.grad(loss, [reference.weights[n] for n in trained], allow_unused=True)
    assert {n for n in ours if n.startswith("gradient.")} == {f"gradient.{n}" for n in trained}
    for name, gradient in zip(trained, wanted, strict=True):
        expected = np.zeros(reference.weights[name].shape) if gradient is None else gradient.numpy()
        error = np.abs(ours[f"gradient.{name}"] - expected).max()
        assert error <= TOLERANCE * np.abs(expected).max() + ROUNDING, f"{name}: {error:.2e}"


def check_value(ours: dict, name: str, expected: torch.Tensor) -> None:
    assert float(ours[name]) == pytest.approx(expected.item(), rel=TOLERANCE, abs=1e-12), name


def small_shape(rng: random.Random, family: str) -> models.Shape:
    return models.random_shape(
        rng,
        family=family,
        rope="default",
        layers=rng.randint(1, 3),
        head_dim=rng.choice([8, 16, 24]),
        dtype="float32",
        sliding_window=rng.choice([None, 6]) if family == "mistral" else None,
    )


def random_settings(rng: random.Random, source: str) -> Settings:
    return Settings(
        source=source,
        shift=rng.choice([0, 1]),
        window=rng.choice([0, 1, 3, 8, 29, 40]),
        scale=rng.choice([1.0, 5.0]),
        offset=rng.choice([-0.5, 0.3]),
        per_layer=rng.random() < 0.3,
        tau=rng.choice([0.5, 1.0]),
        forward_kl=rng.random() < 0.5,
        kl_sum=rng.random() < 0.3,
        soft_fraction=rng.random() < 0.5,
        zero_after_rope=rng.random() < 0.7,
    )


def run(probe, folder, rows: Rows, text: str, micro: int = 1) -> dict:
    return probe(config=text, rows=rows.ids, loss=rows.loss, dtype="f64", step=STEP, micro=micro)


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("train", ["adapter", "all", "neuron"])
@pytest.mark.parametrize("family", LLAMA_LIKE)
def test_soft_eviction(probe, seed, tmp_path, family, train, case):
    rng = random.Random(f"{seed} {family} {train} {case}")
    shape = small_shape(rng, family)
    folder = models.build(tmp_path / "m", shape, case)
    source = "neuron" if train == "neuron" else "adapter"
    if source == "adapter" and case > 0:  # else the adapter starts fresh
        models.add_metadata(folder, Metadata("adapter"), case)
    # Targets that no count of decisions gives: at equality the loss has a corner.
    final_cr = rng.choice([1.0, 3.1, 1000.0])
    settings = random_settings(rng, source)
    settings = dataclasses.replace(settings, target=target_at(final_cr))
    noise_kind = rng.choice(["pair", "single"])
    trained = "all" if train == "neuron" else train
    rows = random_rows(rng, shape.vocab)
    options = {"train": trained, "noise": noise_kind}
    ours = run(probe, folder, rows, config_text(folder, settings, final_cr, **options))

    student = TrainReference(folder, settings)
    teacher = TrainReference(folder, None)
    noise = torch.from_numpy(ours["noise"]).double()
    expected = distillation(student, teacher, rows, noise)
    for name in ("loss", "kl", "lm_loss", "fraction_closed"):
        check_value(ours, name, expected[name])
    names = [n for n in student.weights if trained == "all" or "dms_proj_alpha" in n]
    check_gradients(ours, student, names, expected["loss"])

    again = {**options, "checkpointing": True, "chunk": 1}
    recomputed = run(probe, folder, rows, config_text(folder, settings, final_cr, **again))
    check_gradients(recomputed, student, names, distillation(student, teacher, rows, noise)["loss"])


@pytest.mark.parametrize("family", LLAMA_LIKE)
def test_language_modelling(probe, rng, tmp_path, family):
    shape = small_shape(rng, family)
    folder = models.build(tmp_path / "m", shape, 3)
    rows = random_rows(rng, shape.vocab)
    for options in ({"chunk": 4096}, {"chunk": 3, "checkpointing": True}):
        ours = run(probe, folder, rows, config_text(folder, None, **options))
        reference = TrainReference(folder, None)
        loss = cross_entropy(reference, rows)
        check_value(ours, "loss", loss)
        check_value(ours, "lm_loss", loss)
        check_gradients(ours, reference, list(reference.weights), loss)


def test_a_borrowed_channel_fades(probe, tmp_path, rng):
    """At STEP of FADE steps a part of it is left, and nothing is evicted yet."""
    shape = models.Shape("llama", head_dim=8)
    folder = models.build(tmp_path / "m", shape, 3)
    rows = random_rows(rng, shape.vocab)
    for zero_after_rope in (False, True):
        settings = Settings(
            source="neuron",
            shift=0,
            window=2,
            scale=2.0,
            offset=0.1,
            tau=1.0,
            soft_fraction=True,
            zero_after_rope=zero_after_rope,
            borrowed=1 - STEP / 50,
        )
        changes = {"fade_steps": 50, "final_step": 60, "tau_start": 1.0, "tau": 0.5}
        text = config_text(folder, settings, 8.0, **changes)
        ours = run(probe, folder, rows, text)
        student, teacher = TrainReference(folder, settings), TrainReference(folder, None)
        expected = distillation(student, teacher, rows, None)
        check_value(ours, "loss", expected["loss"])
        check_value(ours, "fraction_closed", expected["fraction_closed"])
        check_gradients(ours, student, list(student.weights), expected["loss"])


def test_only_what_a_pattern_names_is_trained(probe, tmp_path, rng):
    """A teacher of its own is needed as soon as one weight of the base is trained."""
    shape = models.Shape("qwen2", head_dim=8)
    folder = models.add_metadata(models.build(tmp_path / "m", shape), Metadata("adapter"))
    rows = random_rows(rng, shape.vocab)
    settings = Settings(window=3, scale=3.0, offset=0.1, tau=0.5)
    train = ["*.1.self_attn.q_proj.*", "adapter"]
    ours = run(probe, folder, rows, config_text(folder, settings, train=train))
    student, teacher = TrainReference(folder, settings), TrainReference(folder, None)
    noise = torch.from_numpy(ours["noise"]).double()
    expected = distillation(student, teacher, rows, noise)
    names = [n for n in student.weights if "dms_proj" in n or "1.self_attn.q_proj" in n]
    check_gradients(ours, student, names, expected["loss"])


def test_micro_batches_draw_their_own_noise(probe, tmp_path, rng):
    shape = models.Shape("llama", head_dim=8)
    folder = models.build(tmp_path / "m", shape)
    rows = random_rows(rng, shape.vocab)
    text = config_text(folder, Settings(window=3, scale=1.0, offset=0.0))
    first, same, other = (run(probe, folder, rows, text, micro) for micro in (1, 1, 2))
    assert np.array_equal(first["noise"], same["noise"])
    assert not np.isclose(first["noise"], other["noise"]).any()
