"""Several Python threads at one model, interrupts, and the interpreter's end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import ROOT, run_dms, run_python

PROMPTS = ["It was a dark night and", "The ship sailed", "He said that", "In the year"]


@pytest.fixture(scope="module")
def params(dms_cpp):
    return [
        dms_cpp.SamplingParams(temperature=0.8, seed=seed, max_tokens=60, ignore_eos=True)
        for seed in range(len(PROMPTS))
    ]


@pytest.fixture(scope="module")
def alone(demo, params) -> list[str]:
    return [
        demo.generate(prompt, chosen)[0].outputs[0].text
        for prompt, chosen in zip(PROMPTS, params, strict=True)
    ]


def in_threads(work, *arguments) -> list[str]:
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        return list(pool.map(work, PROMPTS, *arguments))


def test_each_thread_gets_its_answer(demo, params, alone):
    def generate(prompt, chosen):
        return demo.generate(prompt, chosen)[0].outputs[0].text

    for _ in range(3):
        assert in_threads(generate, params) == alone


def test_streams_sessions_and_scores_side_by_side(demo, params, alone):
    text = "The ship sailed at dawn. " * 20
    expected = demo.score(text).nll

    def work(prompt, chosen):
        if chosen.seed % 2:
            return "".join(piece.text for piece in demo.stream(prompt, chosen))
        session = demo.session()
        assert demo.score(text).nll == expected
        fork = session.fork()
        answer = session.generate(prompt, chosen).outputs[0].text
        assert fork.generate(prompt, chosen).outputs[0].text == answer
        session.truncate(3)
        return answer

    for _ in range(3):
        assert in_threads(work, params) == alone


INTERRUPTED = """
import os, signal, threading, time
import dms_cpp

signal.signal(signal.SIGINT, signal.default_int_handler)
llm = dms_cpp.LLM("models/demo")
session = llm.session()
endless = dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True)
KIND = {
    "generate": lambda: [llm.generate(["It was"] * 4, endless) for _ in range(10_000)],
    "stream": lambda: [list(llm.stream("It was", endless)) for _ in range(10_000)],
    "session": lambda: [llm.session().generate("It was", endless) for _ in range(10_000)],
    "append": lambda: [llm.session().append([1] * 4000) for _ in range(10_000)],
    "score": lambda: [llm.score([1] * 4000) for _ in range(10_000)],
}
import sys
def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    KIND[sys.argv[1]]()
except KeyboardInterrupt:
    print("interrupted")
print(len(llm.generate("It was", dms_cpp.SamplingParams(max_tokens=5))[0].outputs[0].token_ids))
print(len(session.generate("It was", dms_cpp.SamplingParams(max_tokens=5)).outputs[0].token_ids))
"""


@pytest.mark.parametrize("kind", ["generate", "stream", "session", "append", "score"])
def test_an_interrupt_ends_the_call_and_nothing_else(kind):
    done = run_python(INTERRUPTED, kind)
    assert (done.returncode, done.stdout.split()) == (0, ["interrupted", "5", "5"]), done.stderr


UNFINISHED = """
import sys, threading, time
import dms_cpp

llm = dms_cpp.LLM("models/demo")
endless = dms_cpp.SamplingParams(max_tokens=None, ignore_eos=True)
def work():
    while True:
        llm.generate("It was", endless)
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for thread in threads: thread.start()
stream = llm.stream("It was", endless)
next(stream)
session = llm.session()
session.append([1, 2, 3])
"""


def test_the_interpreter_ends_while_threads_compute():
    for _ in range(3):
        done = run_python(UNFINISHED)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512"])
def test_every_instruction_set(isa):
    code = """
import dms_cpp
params = dms_cpp.SamplingParams(temperature=0, max_tokens=20)
print(dms_cpp.LLM("models/demo").generate("It was a dark night", params)[0].outputs[0].text)
"""
    done = run_python(code, env={"DMS_ISA": isa})
    if "DMS_ISA" in done.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stderr
    options = ("-p", "It was a dark night", "-n", 20)
    said = run_dms("generate", ROOT / "models" / "demo", *options, env={"DMS_ISA": isa})
    assert said.stdout.decode().strip() in "It was a dark night" + done.stdout
