"""Arguments that make no sense are refused with one line that names them."""

from __future__ import annotations

import pytest

from bad_input import assert_error
from harness import DEMO

USAGE = [
    (["frobnicate"], "frobnicate"),
    (["--frobnicate"], "--frobnicate"),
    ([], "command: missing"),
    (["score"], "MODEL: missing"),
    (["score", DEMO], "--text-file, --ids"),
    (["generate", DEMO, "-p", "a", "--max-new-tokenz", "3"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--max-new-tokens", "-3"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--max-new-tokens", "many"], "--max-new-tokens"),
    (["generate", DEMO, "-p", "a", "--temperature", "-1"], "temperature"),
    (["generate", DEMO, "-p", "a", "--temperature", "nan"], "temperature"),
    (["generate", DEMO, "-p", "a", "--top-p", "2"], "top-p"),
    (["generate", DEMO, "-p", "a", "--top-k", "-1"], "top-k"),
    (["generate", DEMO, "-p", "a", "--min-p", "1.5"], "min-p"),
    (["generate", DEMO, "-p", "a", "--repetition-penalty", "0"], "repetition-penalty"),
    (["generate", DEMO, "-p", "a", "--speculate", "33"], "--speculate"),
    (["generate", DEMO, "-p", "a", "--draft", DEMO], "--speculate"),
    (["generate", DEMO, "-p", "a", "--speculate", "3", "--draft", "nowhere"], "nowhere"),
    (["generate", DEMO, "-p", "a", "--ids", "x.json"], "prompt: given more than once"),
    (["generate", DEMO], "prompt: missing"),
    (["generate", DEMO, "-p", "a", "--chunk", "0"], "--chunk"),
    (["generate", DEMO, "-p", "a", "--threads", "-1"], "--threads"),
    (["generate", DEMO, "-p", "a", "--window", "-1"], "--window"),
    (["generate", DEMO, "-p", "a", "--window", "1.5"], "--window"),
    (["generate", DEMO, "-p", "a", "--dtype", "f8"], "--dtype"),
    (["generate", DEMO, "-p", "a", "--weights", "int9"], "--weights"),
    (["generate", DEMO, "-p", "a", "--kv-dtype", "int9"], "--kv-dtype"),
    (["generate", DEMO, "-p", "a", "--kv-dtype", "k=int8,v=int9"], "--kv-dtype"),
    (["generate", DEMO, "-p", "a", "--kv-dtype", "v=f32", "--dtype", "bf16"], "--kv-dtype"),
    (["generate", DEMO, "-p", "a", "--kv-exact-layers", "1"], "--kv-exact-layers"),
    (["generate", DEMO, "-p", "a", "--kv-exact-layers", "-1"], "--kv-exact-layers"),
    (["generate", DEMO, "-p", "a", "--device", "cuda"], "cuda"),
    (["generate", DEMO, "-p", "a", "--device", "abacus"], "abacus"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "5XB"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "-5"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--kv-memory", "99999999999GiB"], "--kv-memory"),
    (["generate", DEMO, "-p", "a", "--preallocate", "-1"], "--preallocate"),
    (["generate", DEMO, "-p", "a", "--policy", "oracle"], "oracle"),
    (["generate", DEMO, "-p", "a", "--policy", "forced"], "--decisions"),
    (["generate", DEMO, "-p", "a", "--decisions", "x.npy"], "--decisions"),
    (["generate", DEMO, "-p", "a", "--policy", "streaming", "--window", "9"], "--window"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr"], "--policy-args"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr=0"], "cr"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "x=1"], "x"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr=inf"], "cr"),
    (["generate", DEMO, "-p", "a", "--seed", str(2**64)], "0 to 2^64 - 1"),
    (["generate", DEMO, "-p", "a", "--repetition-penalty", "0"], "more than 0"),
    (["generate", DEMO, "-p", "a", "--policy", "random", "--policy-args", "cr=0"], "1 to 1"),
    (["generate", DEMO, "--prompt-file", "-", "--decisions", "-"], "standard input"),
    (["generate", DEMO, "-p", "a", "--keep-newline"], "--keep-newline"),
    (["generate", DEMO, "-p", "a", "--stop-id", "-1"], "--stop-id"),
    (["score", DEMO, "--ids", "no.json", "--decode-from", "-1"], "--decode-from"),
    (["bench", DEMO, "--prompt-lens", "0"], "--prompt-lens"),
    (["bench", DEMO, "--prompt-lens", "1,x"], "--prompt-lens"),
    (["bench", DEMO, "--concurrency", "0"], "--concurrency"),
    (["inspect", DEMO, "extra"], "extra"),
]


@pytest.mark.parametrize(("args", "word"), USAGE, ids=lambda item: " ".join(map(str, item))[-40:])
def test_wrong_usage(dms, args, word):
    assert_error(dms(*args, check=False), word)


@pytest.mark.parametrize("isa", ["sse", "AVX2"])
def test_unknown_instruction_set(dms, isa):
    done = dms("generate", DEMO, "-p", "a", env={"DMS_ISA": isa}, check=False)
    assert_error(done, "DMS_ISA", isa)


@pytest.fixture(params=["long", "circle"])
def lost(request, tmp_path):
    """A path that the system cannot look up."""
    if request.param == "long":
        return tmp_path / ("n" * 300)
    path = tmp_path / "circle"
    path.symlink_to(path)
    return path


@pytest.mark.parametrize("command", ["inspect", "score", "tokenize", "generate", "chat", "bench"])
def test_model_path_that_cannot_be_looked_up(dms, lost, tmp_path, command):
    (tmp_path / "ids.json").write_text("[1, 2, 3]")
    more = {"score": ["--ids", tmp_path / "ids.json"], "generate": ["-p", "a"]}.get(command, [])
    done = dms(command, lost, *more, check=False)
    assert_error(done, lost.name, "cannot be read")
