"""lm-eval asks `dms serve` over HTTP alone, and finds what `dms score` and `dms generate` find."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from harness import DEMO
from serving import serving

DOCUMENTS = [
    {"text": "The captain looked at the", "choices": [" sea", " of", " ship and the men"]},
    {"text": "It was a dark night and the wind", "choices": [" was cold.", " seventeen"]},
    {"text": "She opened the", "choices": [" door", " door and went into the room"]},
]
ANSWER_TOKENS = 12
POLICY = ("--policy", "streaming", "--policy-args", "start_size=2,recent_size=4")

TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: {kind}
doc_to_text: "{{{{text}}}}"
"""
CHOICE = """
doc_to_choice: "{{choices}}"
doc_to_target: 0
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
CONTINUATION = f"""
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs:
  until: ["\\n\\n"]
  max_gen_toks: {ANSWER_TOKENS}
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "documents.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    for name, kind, rest in [
        ("local_choice", "multiple_choice", CHOICE),
        ("local_continuation", "generate_until", CONTINUATION),
    ]:
        text = TASK.format(name=name, kind=kind, data=data) + rest
        (folder / f"{name}.yaml").write_text(text)
    return folder


def evaluate(url: str, tasks: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tasks / "cache"))
    import lm_eval
    from lm_eval.tasks import TaskManager

    return lm_eval.simple_evaluate(
        model="local-completions",
        model_args={
            "model": "demo",
            "base_url": f"{url}/v1/completions",
            "tokenizer_backend": "remote",
            "num_concurrent": 2,
        },
        tasks=[name],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )


def by_document(result: dict, name: str) -> list[dict]:
    return sorted(result["samples"][name], key=lambda sample: sample["doc_id"])


def plain_ids(dms_json, text: str) -> list[int]:
    """As lm-eval asks for them: without special tokens."""
    return dms_json("tokenize", DEMO, "--no-special", stdin=text)["ids"]


def expected_log_likelihood(score, dms_json, text: str, choice: str, *args: object) -> float:
    ids = plain_ids(dms_json, text + choice)
    context = len(plain_ids(dms_json, text))
    logits = score(DEMO, ids, *args).logits.astype(np.float64)
    log_sums = np.logaddexp.reduce(logits, axis=1)
    places = range(context, len(ids))
    return math.fsum(logits[k - 1, ids[k]] - log_sums[k - 1] for k in places)


@pytest.mark.parametrize("policy", [(), POLICY], ids=["model", "streaming"])
def test_log_likelihoods_are_those_of_score(policy, tasks, score, dms_json, monkeypatch):
    with serving("--dtype", "f32", *policy) as server:
        result = evaluate(server.url, tasks, "local_choice", monkeypatch)
    hits = 0
    for sample, document in zip(by_document(result, "local_choice"), DOCUMENTS, strict=True):
        expected = [
            expected_log_likelihood(score, dms_json, document["text"], choice, *policy)
            for choice in document["choices"]
        ]
        found = [response[0][0] for response in sample["resps"]]
        assert [float(value) for value in found] == pytest.approx(expected, rel=1e-5)
        hits += expected.index(max(expected)) == 0
    assert result["results"]["local_choice"]["acc,none"] == pytest.approx(hits / len(DOCUMENTS))


def test_continuations_are_those_of_generate(tasks, dms_json, monkeypatch):
    with serving("--dtype", "f32") as server:
        result = evaluate(server.url, tasks, "local_continuation", monkeypatch)
    for sample, document in zip(by_document(result, "local_continuation"), DOCUMENTS, strict=True):
        command = ("generate", DEMO, "--no-special", "-p", document["text"], "-n", ANSWER_TOKENS)
        alone = dms_json(*command, "--dtype", "f32", "--temperature", 0)
        assert sample["resps"][0][0] == alone["text"].split("\n\n")[0]
