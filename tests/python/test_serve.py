"""`dms serve`: answers are those of the commands, and every endpoint has its form."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import DEMO, HANG_GUARD_S, ROOT, run_dms
from serving import events, serving, until

PROMPT = "It was a dark night and the wind"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    file = tmp_path_factory.mktemp("template") / "chatml.jinja"
    file.write_text(CHATML)
    return file


@pytest.fixture(scope="module")
def server(template):
    with serving("--template", template, "--dtype", "f32") as server:
        yield server


def tokens_of(dms_json, text: str) -> list[int]:
    return dms_json("tokenize", DEMO, stdin=text)["ids"]


def test_completions_are_those_of_generate(server, dms_json):
    alone = dms_json("generate", DEMO, "-p", PROMPT, "-n", 24, "--dtype", "f32")
    answer = server.complete(PROMPT, max_tokens=24)
    assert answer["object"] == "text_completion"
    assert answer["model"] == "demo"
    choice = answer["choices"][0]
    assert choice["text"] == alone["text"]
    assert choice["finish_reason"] == alone["finish_reason"]
    usage = answer["usage"]
    assert usage["prompt_tokens"] == alone["prompt_tokens"]
    assert usage["completion_tokens"] == len(alone["ids"])
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["dms"]["dense_tokens"] == alone["kv"]["dense_tokens"]
    assert usage["dms"]["held_tokens"] == alone["kv"]["held_tokens"]


def test_sampled_completions_are_those_of_generate(server, dms_json):
    options = ("--temperature", 0.8, "--top-p", 0.9, "--seed", 7)
    alone = dms_json("generate", DEMO, "-p", PROMPT, "-n", 24, "--dtype", "f32", *options)
    fields = {"temperature": 0.8, "top_p": 0.9, "seed": 7, "max_tokens": 24}
    assert server.complete(PROMPT, **fields)["choices"][0]["text"] == alone["text"]


def test_chat_is_that_of_generate(server, template, dms_json):
    command = ("generate", DEMO, "--chat", "--template", template, "-n", 24, "--dtype", "f32")
    alone = dms_json(*command, "-p", "Who <|im_end|> are you?", "--system", "Be brief.")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Who <|im_end|> are you?"}]},
    ]
    body = {"messages": messages, "temperature": 0, "max_completion_tokens": 24}
    answer = server.post("/v1/chat/completions", body)
    message = answer["choices"][0]["message"]
    assert message == {"role": "assistant", "content": alone["text"]}
    assert answer["usage"]["prompt_tokens"] == alone["prompt_tokens"]


def told_memory(reports: list[dict]) -> tuple[list[int], str]:
    """In how many heads each token is held, and the text, by reports in their order."""
    counts: list[int] = []
    texts: list[str] = []
    for report in reports:
        heads = sum(map(len, report["held_per_head"]))
        counts += [heads] * (report["tokens"] - len(counts))
        held = report["held_heads"]
        counts[held["first"] : held["first"] + len(held["counts"])] = held["counts"]
        assert report["texts"]["first"] == len(texts)
        texts += report["texts"]["texts"]
        assert len(counts) == report["tokens"]
        assert sum(counts) == report["held_tokens"] == sum(map(sum, report["held_per_head"]))
    return counts, "".join(texts)


@pytest.mark.parametrize(
    "cache",
    [
        {"policy": "none"},
        {"policy": "dms", "window": 16},
        {"policy": "streaming", "policy_args": {"start_size": 2, "recent_size": 12}},
        {"policy": "tova", "policy_args": {"budget": 20, "interval": 8}},
    ],
    ids=lambda cache: cache["policy"],
)
def test_a_stream_reports_what_the_cache_holds(server, cache):
    body = {"prompt": PROMPT + " howled" * 40, "temperature": 0, "max_tokens": 40, "n": 2}
    body["dms"] = {**cache, "report": True}
    whole = server.post("/v1/completions", body)
    _, _, text = server.request("POST", "/v1/completions", {**body, "stream": True})
    chunks = [c for event in events(text) for c in event["choices"]]
    for choice in whole["choices"]:
        told = [c["dms"] for c in chunks if c["index"] == choice["index"] and "dms" in c]
        assert len(told) >= 40 // 8
        counts, text = told_memory(told)
        assert (counts, text) == told_memory([choice["dms"]])
        text = text.removeprefix("<|begin_of_text|>")
        assert (PROMPT + " howled" * 40 + choice["text"]).startswith(text)
        assert choice["dms"]["dense_tokens"] == 12 * choice["dms"]["tokens"]
        assert choice["dms"]["held_tokens"] == told[-1]["held_tokens"]
        assert choice["dms"]["bytes"] > 0
        if cache["policy"] == "streaming":  # each head: two, twelve, and the last itself
            assert [i for i, count in enumerate(counts) if count] == [
                *range(2),
                *range(len(counts) - 13, len(counts)),
            ]
    assert "dms" not in server.complete(PROMPT, max_tokens=2)["choices"][0]


def test_a_stream_of_many_answers_reports_all_of_each(server, dms_json):
    ids = tokens_of(dms_json, PROMPT + " howled" * 700)
    body = {"prompt": [ids] * 3, "n": 16, "max_tokens": 2, "dms": {"report": True}, "stream": True}
    _, _, text = server.request("POST", "/v1/completions", body)
    chunks = [c for event in events(text) for c in event["choices"]]
    for index in range(48):
        told = [c["dms"] for c in chunks if c["index"] == index and "dms" in c]
        texts = [piece for report in told for piece in report["texts"]["texts"]]
        assert len(texts) == told[-1]["tokens"] == len(ids) + 1
        counts = [12] * len(texts)
        for held in (report["held_heads"] for report in told):
            counts[held["first"] : held["first"] + len(held["counts"])] = held["counts"]
        assert sum(counts) == told[-1]["held_tokens"]


def test_it_tells_what_may_be_asked_of_the_cache(server):
    info = json.loads(server.request("GET", "/dms/info")[2])
    assert (info["layers"], info["kv_heads"], info["context"]) == (6, 2, 4096)
    assert (info["policy"], info["window"]) == ("dms", 64)
    assert {"none", "dms", "streaming"} < set(info["policies"])
    assert not {"forced", "kvzap"} & set(info["policies"])  # want a file; an adapter
    for policy in info["policies"]:
        server.complete("a", max_tokens=1, dms={"policy": policy})


def test_a_stream_is_the_answer_in_pieces(server):
    whole = server.complete(PROMPT, max_tokens=24)
    body = {"prompt": PROMPT, "temperature": 0, "max_tokens": 24, "stream": True}
    options = {"stream_options": {"include_usage": True}}
    _, headers, text = server.request("POST", "/v1/completions", {**body, **options})
    assert headers["Content-Type"].startswith("text/event-stream")
    chunks = events(text)
    assert len(chunks) > 3
    pieces = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(piece["text"] for piece in pieces) == whole["choices"][0]["text"]
    assert [p["finish_reason"] for p in pieces if p["finish_reason"]] == ["length"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 24
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    _, _, text = server.request("POST", "/v1/completions", body)
    assert all("usage" not in chunk for chunk in events(text))


def test_prompts_are_texts_or_ids_one_or_several(server, dms_json):
    ids = tokens_of(dms_json, PROMPT)
    text = server.complete(PROMPT, max_tokens=8)["choices"][0]["text"]
    other = server.complete("Once upon", max_tokens=8)["choices"][0]["text"]
    assert server.complete(ids, max_tokens=8)["choices"][0]["text"] == text
    several = server.complete([PROMPT, "Once upon"], max_tokens=8)["choices"]
    assert [choice["text"] for choice in several] == [text, other]
    assert [choice["index"] for choice in several] == [0, 1]
    lists = [ids, tokens_of(dms_json, "Once upon")]
    assert [c["text"] for c in server.complete(lists, max_tokens=8)["choices"]] == [text, other]


def test_n_answers_have_seeds_that_follow(server):
    fields = {"temperature": 1.0, "max_tokens": 12}
    several = server.complete(PROMPT, n=3, seed=5, **fields)
    alone = [server.complete(PROMPT, seed=5 + i, **fields)["choices"][0]["text"] for i in range(3)]
    assert [choice["text"] for choice in several["choices"]] == alone
    assert several["usage"]["completion_tokens"] == 36
    both = server.complete([PROMPT, "Once upon"], n=2, seed=5, **fields)["choices"]
    assert [choice["index"] for choice in both] == [0, 1, 2, 3]
    assert [choice["text"] for choice in both[:2]] == alone[:2]


def test_stops_and_biases_are_obeyed(server, dms_json):
    text = server.complete(PROMPT, max_tokens=24)["choices"][0]["text"]
    stop = text[10:14]
    cut = server.complete(PROMPT, max_tokens=24, stop=["@@", stop])["choices"][0]
    assert cut == {**cut, "text": text[: text.index(stop)], "finish_reason": "stop"}
    first = server.complete(PROMPT, max_tokens=1, logprobs=1)["choices"][0]["logprobs"]["tokens"][0]
    [id_] = tokens_of(dms_json, first)[-1:]
    biased = server.complete(PROMPT, max_tokens=1, logit_bias={str(id_): -100})
    assert biased["choices"][0]["text"] != first


def test_echoed_scores_are_those_of_score(server, score, dms_json):
    text = (ROOT / "examples" / "long_prompt.txt").read_text()[:2000]
    ids = tokens_of(dms_json, text)
    scored = score(DEMO, ids)
    fields = {"echo": True, "logprobs": 2, "max_tokens": 0}
    choice = server.complete(ids, **fields)["choices"][0]
    logprobs = choice["logprobs"]
    assert logprobs["token_logprobs"][0] is None
    assert len(logprobs["token_logprobs"]) == len(ids)
    nll = -sum(logprobs["token_logprobs"][1:]) / (len(ids) - 1)
    assert math.isclose(nll, scored.report["nll"], rel_tol=1e-5)
    top = scored.logits[:-1].argmax(axis=1)
    for k in range(1, len(ids)):
        values = logprobs["top_logprobs"][k]
        is_greedy = logprobs["token_logprobs"][k] == max(values.values())
        assert is_greedy == (top[k - 1] == ids[k])
    with_text = server.complete(text, **fields)["choices"][0]
    assert with_text["text"] == text
    assert with_text["logprobs"]["token_logprobs"] == logprobs["token_logprobs"]


def test_scores_go_through_the_policy_that_is_asked_for(server, dms_json):
    text = (ROOT / "examples" / "long_prompt.txt").read_text()[:6000]
    ids = tokens_of(dms_json, text)
    policy = {"policy": "streaming", "policy_args": {"start_size": 4, "recent_size": 128}}
    args = ("--policy", "streaming", "--policy-args", "start_size=4,recent_size=128")
    file = "/dev/stdin"
    alone = json.loads(
        run_dms(
            *("score", DEMO, "--ids", file, "--dtype", "f32", "--json", *args),
            stdin=json.dumps(ids),
        ).stdout
    )
    answer = server.complete(ids, echo=True, logprobs=0, max_tokens=0, dms=policy)
    values = answer["choices"][0]["logprobs"]["token_logprobs"][1:]
    assert math.isclose(-sum(values) / len(values), alone["nll"], rel_tol=1e-5)
    assert answer["usage"]["dms"]["held_tokens"] == alone["kv"]["held_tokens"]


def test_prompt_logprobs_have_vllms_form(server, dms_json):
    ids = tokens_of(dms_json, PROMPT)
    answer = server.complete(ids, max_tokens=1, prompt_logprobs=1)
    entries = answer["choices"][0]["prompt_logprobs"]
    assert entries[0] is None
    assert len(entries) == len(ids)
    for id_, entry in zip(ids[1:], entries[1:], strict=True):
        assert {"logprob", "rank", "decoded_token"} == set(entry[str(id_)])
        assert 1 in [value["rank"] for value in entry.values()]


def test_what_earlier_requests_computed_is_used(server):
    prompt = (ROOT / "examples" / "long_prompt.txt").read_text()[:4000]
    first = server.complete(prompt, max_tokens=4)
    again = server.complete(prompt, max_tokens=4)
    assert again["choices"][0]["text"] == first["choices"][0]["text"]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert server.metric("dms:prefix_cache_hits_total") > 0


def test_guesses_change_no_answer_and_are_counted(server):
    prompt = "The rain came down upon the hill, and all the lamps were cold and still. " * 8
    plain = server.complete(prompt, max_tokens=60, n=2, ignore_eos=True)
    drafted = server.metric("dms:spec_decode_num_draft_tokens_total")
    accepted = server.metric("dms:spec_decode_num_accepted_tokens_total")
    guessed = server.complete(prompt, max_tokens=60, n=2, ignore_eos=True, dms={"speculate": 8})
    assert guessed["choices"] == plain["choices"]
    none, some = (each["usage"]["completion_tokens_details"] for each in (plain, guessed))
    assert set(none.values()) == {0}
    right, wrong = some["accepted_prediction_tokens"], some["rejected_prediction_tokens"]
    assert 0 < right < guessed["usage"]["completion_tokens"] == 120
    name = "dms:spec_decode_num_accepted_tokens_total"
    until(lambda: server.metric(name) == accepted + right)
    assert server.metric("dms:spec_decode_num_draft_tokens_total") == drafted + right + wrong


def test_requests_side_by_side_are_answered_as_alone(server):
    prompts = [f"{PROMPT} number {i}," for i in range(12)]
    alone = [server.complete(prompt, max_tokens=16)["choices"][0]["text"] for prompt in prompts]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda prompt: server.complete(prompt, max_tokens=16), prompts))
    assert [answer["choices"][0]["text"] for answer in together] == alone


def test_continues_the_final_message(server):
    question = {"role": "user", "content": "Say it."}
    begun = {"role": "assistant", "content": "It was a dark"}
    fields = {"temperature": 0, "max_tokens": 8}
    going_on = {"add_generation_prompt": False, "continue_final_message": True}
    answer = server.post(
        "/v1/chat/completions", {"messages": [question, begun], **fields, **going_on}
    )
    prompt = "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\nIt was a dark"
    same = server.complete(prompt, max_tokens=8, add_special_tokens=False)
    assert answer["choices"][0]["message"]["content"] == same["choices"][0]["text"]
    assert answer["usage"]["prompt_tokens"] == same["usage"]["prompt_tokens"]


def test_thoughts_are_parted_from_the_answer(tmp_path):
    template = tmp_path / "thinks.jinja"
    template.write_text("{{ messages[-1].content }}<think>\n")
    with serving("--template", template) as server:
        body = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 8}
        message = server.post("/v1/chat/completions", body)["choices"][0]["message"]
        assert message["content"] == ""
        assert message["reasoning_content"]
        _, _, text = server.request("POST", "/v1/chat/completions", {**body, "stream": True})
        deltas = [chunk["choices"][0]["delta"] for chunk in events(text)]
        assert any("reasoning_content" in delta for delta in deltas[1:])
        assert all("content" not in delta for delta in deltas[1:])


def test_tokenize_and_detokenize(server, dms_json):
    ids = tokens_of(dms_json, PROMPT)
    answer = server.post("/tokenize", {"prompt": PROMPT, "return_token_strs": True})
    assert answer["tokens"] == ids
    assert answer["count"] == len(ids)
    assert answer["max_model_len"] == 4096
    assert len(answer["token_strs"]) == len(ids)
    bare = server.post("/tokenize", {"prompt": PROMPT, "add_special_tokens": False})["tokens"]
    assert server.post("/detokenize", {"tokens": bare}) == {"prompt": PROMPT}
    messages = [{"role": "user", "content": "Hello"}]
    chat = server.post("/tokenize", {"messages": messages})["tokens"]
    assert server.post("/detokenize", {"tokens": chat})["prompt"] == (
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tokenizer_info(server, template):
    _, _, text = server.request("GET", "/tokenizer_info")
    info = json.loads(text)
    assert info["eos_token"] == "<|end_of_text|>"
    assert info["chat_template"] == CHATML


def test_models_version_and_metrics(server):
    _, _, text = server.request("GET", "/v1/models")
    [model] = json.loads(text)["data"]
    assert model["id"] == "demo"
    assert model["object"] == "model"
    assert model["max_model_len"] == 4096
    assert json.loads(server.request("GET", "/v1/models/demo")[2]) == model
    assert server.request("GET", "/v1/models/gpt")[0] == 404
    assert json.loads(server.request("GET", "/version")[2])["version"] == "0.1.0"
    before = server.metric("dms:generation_tokens_total")
    server.complete(PROMPT, max_tokens=5, ignore_eos=True)
    until(lambda: server.metric("dms:generation_tokens_total") == before + 5)
    assert server.metric("dms:time_to_first_token_seconds_count") > 0
    assert server.metric("dms:kv_entries_dense_total") > 0


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": "x " * 20000}, 400, "context"),
        ({"prompt": [999999]}, 400, "prompt[0]"),
        ({"prompt": "x", "temperature": -1}, 400, "temperature"),
        ({"prompt": "x", "model": "gpt-4"}, 404, "gpt-4"),
        ({"prompt": "x", "suffix": "y"}, 400, "suffix"),
        ({"prompt": "x", "n": 1000}, 400, "n"),
        ({"prompt": "x", "dms": {"policy": "random", "policy_args": {"cr": 0}}}, 400, "dms.policy"),
        ({"prompt": "x", "dms": {"policy": "none", "window": 5}}, 400, "dms.window"),
        ({"prompt": "x", "dms": {"speculate": 33}}, 400, "dms.speculate"),
        ({"prompt": "x", "stream": True, "echo": True, "logprobs": 1}, 400, "echo"),
        ({}, 400, "prompt"),
    ],
)
def test_refusals_name_the_field(server, fields, status, words):
    got, _, text = server.request("POST", "/v1/completions", fields)
    assert got == status, text
    error = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert words in error["message"]


def test_statuses_of_wrong_requests(server):
    assert server.request("GET", "/nothing")[0] == 404
    status, headers, _ = server.request("GET", "/v1/completions")
    assert status == 405
    assert headers["Allow"] == "POST"
    assert server.request("POST", "/v1/completions", "{")[0] == 400
    assert server.request("POST", "/v1/completions", "x" * (17 << 20))[0] == 413
    assert server.request("GET", "/health", headers={"X": "y" * 20000})[0] == 431


def test_head_is_get_without_its_body(server):
    for path in ("/", "/health", "/v1/models"):
        status, headers, body = server.request("GET", path)
        assert status == 200
        connection = http.client.HTTPConnection(server.host, server.port, timeout=HANG_GUARD_S)
        with contextlib.closing(connection):
            for _ in range(2):  # a body would be read as the second answer
                connection.request("HEAD", path)
                answer = connection.getresponse()
                assert answer.read() == b""
                assert (answer.status, dict(answer.getheaders())) == (status, headers)
            assert headers["Content-Length"] == str(len(body.encode()))
    status, headers, _ = server.request("HEAD", "/v1/completions")
    assert (status, headers["Allow"]) == (405, "POST")
