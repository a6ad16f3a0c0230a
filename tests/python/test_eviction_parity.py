"""With eviction on, every chunking, window and metadata form equals attention under the mask."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

import models
from harness import Scored, assert_close
from models import Metadata
from reference import Reference, Request

TOKENS = 150
CHUNKS = (1, 7, 31, 32, 33, 64, 256)
WINDOWS = (0, 1, 16, 31, 32, 33, 64, 149, 500)
LOGIT_TOLERANCE = 1e-3  # of alpha_scale: below it float32 may decide either way

SHAPES = {
    "llama": models.Shape("llama", layers=3, q_heads=6, kv_heads=3, head_dim=24, bias=True),
    "mistral": models.Shape("mistral", q_heads=8, kv_heads=1, head_dim=40, sliding_window=50),
    "qwen2": models.Shape("qwen2", q_heads=4, kv_heads=4, head_dim=16, tied=True),
    "qwen3": models.Shape("qwen3", q_heads=6, kv_heads=2, head_dim=64, shard_bytes=40_000),
    "seed_oss": models.Shape("seed_oss", q_heads=10, kv_heads=2, head_dim=24),
    "smollm3": models.Shape("smollm3", layers=3, q_heads=6, kv_heads=2, head_dim=24),
    "phi3": models.Shape("phi3", q_heads=4, kv_heads=2, head_dim=16, sliding_window=60),
    "gemma2": models.Shape("gemma2", q_heads=4, kv_heads=2, head_dim=24, sliding_window=50),
    "gemma3_text": models.Shape("gemma3_text", layers=3, head_dim=16, sliding_window=50),
    "gpt_neox": models.Shape("gpt_neox", q_heads=3, kv_heads=3, head_dim=24, bias=True),
    "opt": models.Shape("opt", q_heads=3, kv_heads=3, head_dim=24, bias=True),
    "opt_350m": models.Shape("opt_350m", q_heads=2, head_dim=24, tied=True),
    "falcon": models.Shape("falcon", q_heads=6, kv_heads=2, head_dim=16, bias=True),
    "falcon_rw": models.Shape("falcon_rw", q_heads=3, kv_heads=3, head_dim=24, bias=True),
    "mpt": models.Shape("mpt", q_heads=6, kv_heads=6, head_dim=16, tied=True),
}


@dataclass
class Model:
    """A folder, its ids and its reference, whose passes are remembered."""

    folder: object
    ids: list[int]
    reference: Reference

    def __post_init__(self):
        self.expected = cache(self._expected)

    def _expected(self, window: int | None, fates: bytes, shape: tuple[int, ...]):
        evicted = np.frombuffer(fates, np.uint8).reshape(shape)
        return self.reference.run(self.ids, Request(window=window, evicted=evicted))

    def check(self, scored: Scored, window: int | None, what: str) -> None:
        """Decisions first; then the logits of the reference under our decisions."""
        ours = scored.decisions
        expected = self.expected(window, ours.tobytes(), ours.shape)
        differ = ours != expected.fates
        limit = LOGIT_TOLERANCE * self.reference.eviction.scale
        clear = differ & (np.abs(expected.fate_logits) >= limit)
        assert not clear.any(), f"{what}: decisions differ at {np.argwhere(clear)[:5].tolist()}"
        assert_close(scored.logits, expected.logits, what)


@pytest.fixture(scope="module")
def make_model(tmp_path_factory, seed):
    """make_model(shape, metadata) -> Model, built once per module."""

    @cache
    def make(shape: models.Shape, metadata: Metadata) -> Model:
        folder = tmp_path_factory.mktemp("run") / "model"
        models.build(folder, shape, seed)
        models.add_metadata(folder, metadata, seed)
        return Model(folder, models.random_ids(shape, TOKENS, seed), Reference(folder))

    return make


@pytest.fixture(params=models.METADATA_FORMS)
def form(request):
    return request.param


@pytest.fixture(params=SHAPES)
def model(request, form, make_model) -> Model:
    return make_model(SHAPES[request.param], Metadata(form))


def test_about_half_is_evicted(score, model):
    scored = score(model.folder, model.ids)
    assert 0.2 < scored.decisions.mean() < 0.8


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks(score, model, chunk):
    scored = score(model.folder, model.ids, "--chunk", chunk)
    model.check(scored, None, f"chunk {chunk}")


@pytest.mark.parametrize("start", [0, 1, 40, TOKENS - 1])
def test_prefill_then_decode(score, model, start):
    scored = score(model.folder, model.ids, "--decode-from", start, "--chunk", 32)
    model.check(scored, None, f"decode from {start}")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("family", SHAPES)
def test_windows(score, make_model, family, window):
    model = make_model(SHAPES[family], Metadata("adapter"))
    for chunk in (256, 33, 1):
        scored = score(model.folder, model.ids, "--window", window, "--chunk", chunk)
        model.check(scored, window, f"window {window} chunk {chunk}")


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata("adapter", per="layer"),
        Metadata("neuron", per="layer"),
        Metadata("adapter", disabled=True),
        Metadata("neuron", disabled=True),
        Metadata("adapter", shift=0),
        Metadata("neuron", shift=0),
        Metadata("dms_metadata", shift=1),
        Metadata("dms_metadata", nested=True, window=20),
        Metadata("training_log", nested=True, window=20),
        Metadata("adapter", scale=30.0, offset=-7.0),
        Metadata("dms_metadata", scale=30.0, offset=-7.0),
    ],
    ids=lambda metadata: (
        f"{metadata.form}-{metadata.per}-{metadata.shift}-{metadata.offset:g}"
        f"{'-disabled' * metadata.disabled}{'-nested' * metadata.nested}"
    ),
)
@pytest.mark.parametrize("family", SHAPES)
def test_metadata(score, make_model, family, metadata):
    model = make_model(SHAPES[family], metadata)
    for args in (("--chunk", 256), ("--chunk", 7), ("--decode-from", 30)):
        scored = score(model.folder, model.ids, *args)
        assert scored.decisions.any() != metadata.disabled
        model.check(scored, None, f"{metadata} {args}")


@pytest.mark.parametrize("form_name", ["neuron", "dms_metadata"])
def test_borrowed_channel_is_zeroed_without_eviction(score, make_model, form_name):
    model = make_model(SHAPES["qwen3"], Metadata(form_name))
    scored = score(model.folder, model.ids, "--policy", "none")
    expected = model.reference.run(model.ids, Request(plain=True))
    assert_close(scored.logits, expected.logits, "policy none")
    untouched = Reference(model.folder)
    untouched.eviction = None
    teacher = untouched.run(model.ids).logits
    assert np.abs(teacher - expected.logits).max() > 1e-3


def test_metadata_file_wins_over_the_parent_and_the_config(score, make_model, tmp_path):
    source = make_model(SHAPES["llama"], Metadata("neuron", window=11))
    folder = tmp_path / "run" / "model"
    shutil.copytree(source.folder, folder)
    models.add_metadata(folder, Metadata("training_log", window=13))
    parent = Model(folder, source.ids, Reference(folder))
    assert parent.reference.eviction.window == 13
    parent.check(score(folder, source.ids), None, "parent's training_log.json")
    models.add_metadata(folder, Metadata("dms_metadata", window=17))
    own = Model(folder, source.ids, Reference(folder))
    assert own.reference.eviction.window == 17
    own.check(score(folder, source.ids), None, "dms_metadata.json")


@pytest.mark.parametrize("window", [0, 16, 40])
def test_held_entries_are_those_the_mask_shows(score, make_model, window):
    model = make_model(SHAPES["llama"], Metadata("adapter"))
    scored = score(model.folder, model.ids, "--window", window)
    kv, age = scored.report["kv"], np.arange(TOKENS)[::-1]
    kept = scored.decisions == 0
    now, next_step = ((kept | (age + step <= window)).sum() for step in (0, 1))
    assert next_step <= kv["held_tokens"] <= now
    assert kv["dense_tokens"] == kept.size
    assert kv["cr"] == pytest.approx(kv["dense_tokens"] / kv["held_tokens"], rel=1e-3)
    assert kv["cr_bytes"] == pytest.approx(kv["dense_bytes"] / kv["allocated_bytes"], rel=1e-3)
    assert kv["peak_bytes"] >= kv["allocated_bytes"] > 0


@pytest.mark.parametrize("case", range(12))
def test_random_model_window_and_chunk(score, make_model, seed, rng, case):
    shape = models.random_shape(rng, rope=rng.choice(["default", "linear", "llama3", "yarn"]))
    metadata = Metadata(rng.choice(models.METADATA_FORMS), window=rng.randint(0, 70))
    model = make_model(shape, metadata)
    chunk, start = rng.randint(1, 200), rng.randint(0, TOKENS)
    scored = score(model.folder, model.ids, "--chunk", chunk, "--decode-from", start)
    model.check(scored, None, f"{shape} {metadata} chunk {chunk} decode from {start}")
