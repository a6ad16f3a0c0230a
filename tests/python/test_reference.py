"""The reference itself: against transformers with eviction off, by hand where it is on."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import models
from harness import assert_close
from reference import Reference, Request, Streaming, streaming_visibility, visibility
from test_dense_parity import transformers_logits


@pytest.mark.parametrize("case", range(6))
def test_equals_transformers_without_eviction(case, seed, tmp_path):
    shape = models.random_shape(random.Random(f"{seed} {case}"))
    folder = models.build(tmp_path / "m", shape, case)
    ids = models.random_ids(shape, 70, case)
    expected = transformers_logits(folder, ids)
    assert_close(Reference(folder).run(ids).logits, expected, str(shape), tolerance=1e-5)


def test_visibility_by_hand():
    evicted = torch.tensor([[True, False, True, True, False]])
    visible = visibility(5, None, 1, evicted)[0].int().tolist()
    assert visible == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 1],
    ]


def test_sliding_window_hides_kept_tokens():
    kept = torch.zeros(1, 4, dtype=torch.bool)
    assert visibility(4, 2, 9, kept)[0].int().tolist()[3] == [0, 0, 1, 1]


def test_streaming_visibility_by_hand():
    visible = streaming_visibility(6, None, Streaming(start=2, recent=1))[0].int().tolist()
    assert visible[5] == [1, 1, 0, 0, 1, 1]
    assert visible[1] == [1, 1, 0, 0, 0, 0]


def test_shift_moves_a_decision_to_the_token_before(tmp_path):
    shape = models.Shape(layers=1)
    ids = models.random_ids(shape, 20)
    fates = {}
    for shift in (0, 1):
        folder = models.build(tmp_path / str(shift), shape)
        models.add_metadata(folder, models.Metadata("adapter", shift=shift))
        fates[shift] = Reference(folder).run(ids).fates
    assert np.array_equal(fates[1][:, :, :-1], fates[0][:, :, 1:])
    assert not fates[1][:, :, -1].any()


def test_eviction_changes_only_queries_beyond_the_window(tmp_path):
    shape = models.Shape(layers=1)
    folder = models.add_metadata(models.build(tmp_path / "m", shape), models.Metadata("adapter"))
    ids = models.random_ids(shape, 40)
    reference = Reference(folder)
    dense = reference.run(ids, Request(plain=True)).logits
    sparse = reference.run(ids, Request(window=16)).logits
    assert np.array_equal(dense[:17], sparse[:17])
    assert np.abs(dense[17:] - sparse[17:]).max() > 1e-3


def test_position_shift_changes_nothing_until_the_cache_is_full(tmp_path):
    shape = models.Shape()
    folder = models.build(tmp_path / "m", shape)
    ids = models.random_ids(shape, 40)
    reference = Reference(folder)
    plain = reference.run(ids, Request(streaming=Streaming(4, 10))).logits
    shifted = reference.run(ids, Request(streaming=Streaming(4, 10, pos_shift=True))).logits
    assert_close(shifted[:15], plain[:15], "first tokens", tolerance=1e-12)
    assert np.abs(shifted[15:] - plain[15:]).max() > 1e-3
