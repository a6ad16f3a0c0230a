"""Sessions of the Python package: their logits, forks, files, memory and lifetimes."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from harness import run_python

TEXT = "The ship sailed at dawn, and nobody on the shore saw her go. " * 8


@pytest.fixture(scope="module")
def ids(demo) -> list[int]:
    return demo.encode(TEXT)


@pytest.fixture
def greedy(dms_cpp):
    return dms_cpp.SamplingParams(temperature=0, max_tokens=16)


def test_appending_gives_the_rows_of_score(demo, ids):
    rows = demo.score(ids, logits=True).logits
    session = demo.session()
    kept = [session.append(ids[:40])]
    kept += [session.append([token]) for token in ids[40:44]]
    np.testing.assert_allclose(kept, rows[39:44], atol=1e-3)
    assert len(session) == 44
    assert session.token_ids.tolist() == ids[:44]
    assert session.max_tokens >= demo.info.context


def test_a_later_text_gets_no_special_tokens(demo):
    session = demo.session()
    session.append("It was a dark")
    session.append(" night")
    assert session.token_ids.tolist() == demo.encode("It was a dark night")


def test_generate_goes_on_from_what_was_appended(demo, greedy):
    whole = demo.generate("It was a dark night and", greedy)[0].outputs[0]
    session = demo.session()
    session.append("It was a dark")
    output = session.generate(" night and", greedy)
    assert output.outputs[0].text == whole.text
    assert output.prompt == " night and"
    with session.fork().stream(" Then", greedy) as stream:
        streamed = "".join(piece.text for piece in stream)
    assert session.generate(" Then", greedy).outputs[0].text == streamed


def test_fork_and_truncate(demo, ids, greedy):
    session = demo.session()
    session.append(ids)
    fork = session.fork()
    expected = session.generate(" Then", greedy).outputs[0].text
    session.truncate(len(ids))
    assert session.generate(" Then", greedy).outputs[0].text == expected
    assert fork.generate(" Then", greedy).outputs[0].text == expected


def test_what_another_prompt_can_reuse(dms_cpp, demo, ids):
    for policy, within in (("none", len(ids) - 1), ("snapkv", 0)):
        session = demo.session(cache=dms_cpp.CacheOptions(policy=policy))
        session.append(ids)
        assert session.reusable_tokens(ids) == within
        assert session.reusable_tokens([*ids, ids[0]]) == len(ids)
        assert session.reusable_tokens([]) == 0


@pytest.mark.parametrize(
    "storage",
    [{}, {"window": 8, "kv_cache_dtype": "k=int8,v=lloyd4", "kv_exact_layers": 1}],
    ids=["exact", "in few bits"],
)
def test_saved_and_loaded(dms_cpp, demo, ids, greedy, tmp_path, storage):
    cache = dms_cpp.CacheOptions(policy="random", policy_args={"cr": 3}, **storage)
    session = demo.session(cache=cache)
    session.append(ids)
    session.save(tmp_path / "talk.dms")
    loaded = demo.load_session(tmp_path / "talk.dms")
    assert loaded.token_ids.tolist() == ids
    assert loaded.kv.held_tokens == session.kv.held_tokens < session.kv.dense_tokens
    said = [s.generate(" Then", greedy).outputs[0].text for s in (session, loaded)]
    assert said[0] == said[1]
    (tmp_path / "talk.dms").write_bytes(b"no session")
    with pytest.raises(dms_cpp.InputError, match=r"talk\.dms"):
        demo.load_session(tmp_path / "talk.dms")
    with pytest.raises(dms_cpp.InputError):
        session.save(tmp_path / "nowhere" / "talk.dms")


def test_forced_decisions(dms_cpp, demo, ids, tmp_path):
    session = demo.session()
    session.append(ids)
    fates = session.decisions()
    assert fates.shape == (demo.info.layers, demo.info.kv_heads, len(ids))
    assert 0 < fates.mean() < 1
    np.save(tmp_path / "fates.npy", fates)
    forced = dms_cpp.CacheOptions(policy="forced", decisions=tmp_path / "fates.npy")
    assert demo.score(ids, cache=forced).nll == pytest.approx(demo.score(ids).nll, abs=1e-9)


def test_what_is_refused(dms_cpp, demo, greedy):
    session = demo.session()
    session.append("It was a dark night")
    for call in (
        lambda: session.truncate(1000),
        lambda: session.append([8192]),
        lambda: session.append([1] * (session.max_tokens + 1)),
        lambda: session.score([1]),
        lambda: session.generate("x", dms_cpp.SamplingParams(n=2)),
    ):
        with pytest.raises(dms_cpp.InputError):
            call()
    with session.stream(" and", greedy) as stream:
        next(stream)
        for busy in (lambda: session.append([1]), lambda: session.truncate(1)):
            with pytest.raises(dms_cpp.InputError, match="at work"):
                busy()
    session.append([1])


def test_arrays_are_not_copied_and_outlive_their_session(dms_cpp, ids):
    llm = dms_cpp.LLM("models/demo", dtype="float32")
    score = llm.score(ids, logits=True)
    session = llm.session()
    arrays = [session.append(ids), session.decisions(), score.logits, score.logprobs]
    copies = [array.copy() for array in arrays]
    assert not any(array.flags.owndata for array in arrays)
    assert [array.dtype for array in arrays] == [np.float32, np.uint8, np.float32, np.float64]
    del llm
    session.append(ids)
    del session
    gc.collect()
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_session_keeps_its_llm(dms_cpp, greedy):
    llm = dms_cpp.LLM("models/demo")
    session, stream = llm.session(), llm.stream("It was", greedy)
    del llm
    gc.collect()
    assert session.generate("It was", greedy).outputs[0].text == "".join(p.text for p in stream)


MEMORY = """
import gc, re, sys
import dms_cpp

def resident():
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1])

def work():
    llm = dms_cpp.LLM("models/demo", dtype="float32")
    session = llm.session()
    session.append([1] * 1000)
    fork = session.fork()
    stream = llm.stream([1] * 500, dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True))
    next(stream)
    return llm.score([1] * 500, logits=True).logits, session, fork

work(); gc.collect()
before = resident()
for _ in range(4):
    work(); gc.collect()
print(resident() - before)
"""


def test_memory_is_given_back():
    done = run_python(MEMORY)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024, "KiB more after four models of 50 MB and their sessions"
