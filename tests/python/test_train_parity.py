"""The student that is trained computes what transformers does and what the engine will serve."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import models
from harness import Scored, assert_close
from models import Metadata
from reference import Reference, Request, read_eviction
from test_dense_parity import transformers_logits
from test_eviction_parity import LOGIT_TOLERANCE
from test_eviction_parity import SHAPES as ALL_SHAPES

TOKENS = 90
SHAPES = {family: ALL_SHAPES[family] for family in models.TRAINED_FAMILIES}


@pytest.mark.parametrize("rope", models.ROPE_SCALINGS)
@pytest.mark.parametrize("family", models.TRAINED_FAMILIES)
def test_eviction_off_equals_transformers(probe, rng, tmp_path, family, rope):
    shape = models.random_shape(rng, family=family, rope=rope)
    folder = models.build(tmp_path / "m", shape, rng.randrange(1000))
    ids = models.random_ids(shape, rng.randint(2, 120), rng.randrange(1000))
    ours = probe(model=folder, rows=[ids], dtype="f32", eviction="off")
    assert_close(ours["logits"][0], transformers_logits(folder, ids), str(shape))


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("window", [1, 5, 40])
def test_sliding_windows_equal_transformers(probe, tmp_path, family, window):
    shape = models.Shape(family, layers=4, sliding_window=window)
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, TOKENS)
    ours = probe(model=folder, rows=[ids], dtype="f32", eviction="off")
    assert_close(ours["logits"][0], transformers_logits(folder, ids), str(shape))


def test_dynamic_frequencies_beyond_the_trained_length(probe, tmp_path):
    shape = models.Shape("llama", rope="dynamic", context=64)
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, 100)
    ours = probe(model=folder, rows=[ids], dtype="f32", eviction="off")
    assert_close(ours["logits"][0], transformers_logits(folder, ids), str(shape))


class Pair:
    """One folder, run by the trainer's student and by the engine."""

    def __init__(self, folder, ids: list[int], probe, score):
        self.folder, self.ids, self.probe, self.score = folder, ids, probe, score
        self.eviction = read_eviction(folder)

    def student(self, **job) -> dict[str, np.ndarray]:
        job = {"eviction": "hard", **job}
        return self.probe(model=self.folder, rows=[self.ids], dtype="f32", **job)

    def own_fates(self, decisions: np.ndarray) -> np.ndarray:
        """By the token that decides -> by the token whose fate it is; 0 where undecided."""
        fates = np.zeros(decisions.shape, np.uint8)
        shift = self.eviction.shift
        fates[..., : fates.shape[-1] - shift] = decisions[..., shift:]
        return fates

    def differing(self, fates: np.ndarray, scored: Scored) -> np.ndarray:
        """Where decisions differ, which they may only at logits that rounding turns."""
        differ = fates != scored.decisions
        if differ.any():
            request = Request(evicted=scored.decisions)
            logits = Reference(self.folder).run(self.ids, request).fate_logits
            clear = differ & (np.abs(logits) >= LOGIT_TOLERANCE * self.eviction.scale)
            assert not clear.any(), f"decisions differ at {np.argwhere(clear)[:5].tolist()}"
        return differ

    def check(self, what: str, window: int | None = None) -> None:
        """Decisions first, then logits under the engine's decisions and under its own."""
        arguments = () if window is None else ("--window", window)
        job = {} if window is None else {"window": window}
        scored = self.score(self.folder, self.ids, *arguments)
        ours = self.student(decisions=True, **job)
        differ = self.differing(self.own_fates(ours["decisions"]), scored)
        assert 0.05 < scored.decisions.mean() < 0.95
        forced = self.student(forced=scored.decisions, **job)
        assert_close(forced["logits"][0], scored.logits, f"{what}, forced")
        if not differ.any():
            assert_close(ours["logits"][0], scored.logits, what)


@pytest.fixture(scope="module")
def make_pair(tmp_path_factory, seed, probe):
    """make_pair(score, shape, metadata) -> Pair; folders are built once."""

    @cache
    def folder_of(shape: models.Shape, metadata: Metadata):
        folder = tmp_path_factory.mktemp("run") / "model"
        models.build(folder, shape, seed)
        return models.add_metadata(folder, metadata, seed)

    def make(score, shape: models.Shape, metadata: Metadata) -> Pair:
        ids = models.random_ids(shape, TOKENS, seed)
        return Pair(folder_of(shape, metadata), ids, probe, score)

    return make


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("form", models.METADATA_FORMS)
@pytest.mark.parametrize("family", SHAPES)
def test_hard_decisions_equal_the_engine(score, make_pair, family, form, shift):
    pair = make_pair(score, SHAPES[family], Metadata(form, shift=shift))
    assert pair.eviction.shift == shift
    pair.check(f"{family} {form} shift {shift}")


@pytest.mark.parametrize("form", ["adapter", "neuron"])
@pytest.mark.parametrize("family", SHAPES)
def test_one_decision_for_the_layer(score, make_pair, family, form):
    make_pair(score, SHAPES[family], Metadata(form, per="layer")).check(f"{family} {form}")


@pytest.mark.parametrize("window", [0, 1, 15, 16, 31, 32, 33, TOKENS - 1, 500])
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_windows(score, make_pair, family, window):
    pair = make_pair(score, SHAPES[family], Metadata("adapter"))
    pair.check(f"{family} window {window}", window)


@pytest.mark.parametrize("family", SHAPES)
def test_forced_decisions_equal_the_engine(score, make_pair, rng, family):
    """Decisions that no model made, for all tokens or for a part of them."""
    pair = make_pair(score, SHAPES[family], Metadata("neuron", window=7))
    shape = SHAPES[family]
    for known in (TOKENS, 40, 1):
        seed = np.random.default_rng(rng.randrange(2**32))
        fates = np.zeros((shape.layers, shape.kv_heads, TOKENS), np.uint8)
        fates[..., :known] = seed.random(fates[..., :known].shape) < 0.6
        file = score.decisions_file(fates[..., :known])
        scored = score(pair.folder, pair.ids, "--policy", "forced", "--decisions", file)
        assert_close(pair.student(forced=fates)["logits"][0], scored.logits, f"{known} known")


@pytest.mark.parametrize("form", ["adapter", "neuron", "dms_metadata"])
def test_eviction_off_equals_the_engine(score, make_pair, form):
    """A borrowed channel is zeroed all the same."""
    pair = make_pair(score, SHAPES["qwen3"], Metadata(form))
    scored = score(pair.folder, pair.ids, "--policy", "none")
    assert_close(pair.student(eviction="off")["logits"][0], scored.logits, form)


@pytest.mark.parametrize("form", ["adapter", "neuron"])
def test_disabled_eviction_equals_the_engine(score, make_pair, form):
    pair = make_pair(score, SHAPES["qwen3"], Metadata(form, disabled=True))
    scored = score(pair.folder, pair.ids)
    ours = pair.student()
    assert "fraction" not in ours
    assert_close(ours["logits"][0], scored.logits, form)


@pytest.mark.parametrize("form", ["adapter", "neuron"])
def test_rows_of_a_batch_do_not_see_each_other(score, make_pair, form):
    pair = make_pair(score, SHAPES["qwen3"], Metadata(form))
    rows = [pair.ids, pair.ids[30:50], pair.ids[:64]]
    together = pair.probe(model=pair.folder, rows=rows, dtype="f32", eviction="hard")["logits"]
    for row, ids in enumerate(rows):
        alone = pair.probe(model=pair.folder, rows=[ids], dtype="f32", eviction="hard")["logits"]
        assert_close(together[row][: len(ids)], alone[0], f"row {row}")
