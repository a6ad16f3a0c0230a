"""Named documents of `dms serve`: made once, asked by many, kept on disk, refused where they are
not good."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from serving import Server, request_text, serving, until

STORY = "It was a dark night, and the old man sat by the fire. " * 20
QUESTION = {"messages": [{"role": "user", "content": "Who sat by the fire?"}]}
GREEDY = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, "seed": 1}
PLAIN = ("--template", "plain")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def put(server: Server, name: str, body: object, **headers: str) -> dict:
    status, _, text = server.request("PUT", f"/documents/{name}", body, headers)
    assert status in (200, 201), text
    return json.loads(text)


def ask(server: Server, document: str | None, **fields) -> tuple[str, dict]:
    """The answer and its usage."""
    ours = {} if document is None else {"dms": {"document": document}}
    body = {**QUESTION, **GREEDY, **ours, **fields}
    answer = server.post("/v1/chat/completions", body)
    return answer["choices"][0]["message"]["content"], answer["usage"]


def cached(usage: dict) -> int:
    return usage["prompt_tokens_details"]["cached_tokens"]


def refusal(server: Server, method: str, path: str, body: object = None) -> tuple[int, str]:
    status, _, text = server.request(method, path, body)
    return status, json.loads(text)["error"]["message"]


@pytest.fixture(scope="module")
def server():
    limits = ("--max-documents", 20, "--max-body", "1MiB")
    with serving(*PLAIN, "--no-prefix-cache", *limits) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("policy", ["dms", "none"])
def test_answers_are_those_of_the_whole_conversation(server, policy):
    document = {"role": "system", "content": STORY}
    made = put(server, "story", {"messages": [document], "dms": {"policy": policy}})
    assert made["policy"] == policy
    assert made["form"] == "messages"
    assert made["in_memory"]
    assert 0 < made["held_tokens"] <= made["dense_tokens"]
    expected, usage = ask(
        server,
        None,
        messages=[document, *QUESTION["messages"]],
        dms={"policy": policy},
    )
    assert cached(usage) == 0
    for _ in range(2):
        answer, usage = ask(server, "story")
        assert answer == expected
        assert cached(usage) == made["tokens"] < usage["prompt_tokens"]


@pytest.mark.parametrize("policy", ["snapkv", "kvzip"])
def test_policies_that_rank_a_whole_prompt_do_so_once(server, policy):
    ratio = {"policy": policy, "policy_args": {"compression_ratio": 0.75}}
    made = put(server, "ranked", {"messages": [{"role": "system", "content": STORY}], "dms": ratio})
    # What is ranked away is gone: a window and the first tokens stay besides.
    assert made["held_tokens"] < made["dense_tokens"] / 2
    answers = [ask(server, "ranked") for _ in range(2)]
    assert answers[0][0] == answers[1][0]
    assert all(cached(usage) == made["tokens"] for _, usage in answers)
    assert all(usage["dms"]["held_tokens"] < made["dense_tokens"] for _, usage in answers)


def test_a_text_is_a_system_message(server):
    made = put(server, "text", STORY, **{"Content-Type": "text/plain; charset=utf-8"})
    same = put(server, "same", {"messages": [{"role": "system", "content": STORY}]})
    assert made["tokens"] == same["tokens"]
    assert ask(server, "text")[0] == ask(server, "same")[0]


def test_completions_go_on_from_a_text(server):
    made = put(server, "beginning", {"prompt": STORY})
    assert made["form"] == "prompt"
    first = server.post("/tokenize", {"prompt": STORY})["tokens"]
    rest = server.post("/tokenize", {"prompt": " The", "add_special_tokens": False})["tokens"]
    assert made["tokens"] == len(first)
    whole = server.complete([*first, *rest], **GREEDY)
    asked = server.complete(" The", dms={"document": "beginning"}, **GREEDY)
    assert asked["choices"][0]["text"] == whole["choices"][0]["text"]
    assert asked["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert cached(asked["usage"]) == len(first)
    both = server.complete([" The", " A"], dms={"document": "beginning"}, **GREEDY)
    assert both["choices"][0]["text"] == asked["choices"][0]["text"]
    ids = put(server, "ids", {"prompt": first[:50]})
    assert ids["tokens"] == 50


def test_the_models_own_policy_has_its_name(server):
    _, _, text = server.request("GET", "/dms/info")
    own = json.loads(text)["policy"]
    assert own
    assert put(server, "own", {"prompt": "It was"})["policy"] == own
    _, _, text = server.request("GET", "/documents/own")
    assert json.loads(text)["policy"] == own
    server.post("/v1/completions", {"prompt": "It was", "max_tokens": 2, "id_slot": 0})
    _, _, text = server.request("GET", "/slots")
    assert json.loads(text)[0]["policy"] == own
    server.request("DELETE", "/documents/own")


def test_documents_are_listed_replaced_and_deleted(server):
    assert put(server, "short", {"prompt": "It was"})["tokens"] > 0
    status, _, text = server.request("PUT", "/documents/short", {"prompt": STORY})
    assert status == 200, "replaced"
    listed = {
        entry["name"]: entry for entry in json.loads(server.request("GET", "/documents")[2])["data"]
    }
    assert listed["short"] == json.loads(server.request("GET", "/documents/short")[2])
    assert listed["short"]["tokens"] == json.loads(text)["tokens"]
    status, _, text = server.request("DELETE", "/documents/short")
    assert (status, json.loads(text)["deleted"]) == (200, True)
    for method in ("GET", "DELETE"):
        assert refusal(server, method, "/documents/short")[0] == 404
    body = {"prompt": "x", "dms": {"document": "short"}}
    assert refusal(server, "POST", "/v1/completions", body)[0] == 404


def test_one_may_be_deleted_and_replaced_while_it_is_asked(server):
    document = {"messages": [{"role": "system", "content": STORY}]}
    put(server, "busy", document)
    expected = ask(server, "busy", max_tokens=200)[0]
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(server, "busy", max_tokens=200)[0]))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    until(lambda: server.metric("dms:num_requests_running") >= 3 or len(answers) == 3)
    puts = [threading.Thread(target=put, args=(server, "busy", document)) for _ in range(2)]
    for thread in puts:
        thread.start()
    assert server.request("DELETE", "/documents/busy")[0] in (200, 404)
    for thread in threads + puts:
        thread.join()
    assert answers == [expected] * 3
    put(server, "busy", document)
    assert ask(server, "busy", max_tokens=200)[0] == expected


BAD_NAMES = [
    "..",
    ".",
    "%2e%2e%2fx",
    "a%2fb",
    "a/b",
    "a%00b",
    "%2e",
    "-a",
    "a" * 129,
    "a%20b",
    "%ff",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused(server, name):
    status, message = refusal(server, "PUT", f"/documents/{name}", {"prompt": "x"})
    assert status in (400, 404)
    assert message
    assert refusal(server, "DELETE", f"/documents/{name}")[0] in (400, 404)


BAD_BODIES = [
    (b"", 400),
    (b"no json", 400),
    (b"[]", 400),
    ({}, 400),
    ({"prompt": []}, 400),
    ({"prompt": [10**9]}, 400),
    ({"prompt": {"a": 1}}, 400),
    ({"prompt": "x", "messages": []}, 400),
    ({"messages": []}, 400),
    ({"messages": [{"role": "user"}]}, 400),
    ({"prompt": "x", "max_tokens": 5}, 400),
    ({"prompt": "x", "model": "another"}, 404),
    ({"prompt": "x", "dms": {"policy": "forced"}}, 400),
    ({"prompt": "x", "dms": {"policy": "snapkv", "policy_args": {"budget": -1}}}, 400),
    ({"prompt": "x", "dms": {"kv_dtype": "int9"}}, 400),
    ({"prompt": "x", "dms": {"document": "a"}}, 400),
    ({"prompt": "x " * 20_000}, 400),
    ({"prompt": "x" * 2_000_000}, 413),
]


@pytest.mark.parametrize(("body", "expected"), BAD_BODIES)
def test_bad_bodies_are_refused(server, body, expected):
    status, message = refusal(server, "PUT", "/documents/bad", body)
    assert status == expected, message
    assert refusal(server, "GET", "/documents/bad")[0] == 404
    until(server.is_idle)


def test_what_does_not_go_with_a_document_is_refused(server):
    put(server, "chat", {"messages": [{"role": "system", "content": STORY}]})
    put(server, "prompt", {"prompt": STORY})
    cases = [
        ("/v1/completions", {"prompt": "x", "dms": {"document": "chat"}}),
        ("/v1/chat/completions", {**QUESTION, "dms": {"document": "prompt"}}),
        ("/v1/chat/completions", {**QUESTION, "dms": {"document": "chat", "policy": "none"}}),
        ("/v1/completions", {"prompt": "x", "prompt_logprobs": 1, "dms": {"document": "prompt"}}),
        ("/v1/completions", {"prompt": "x", "dms": {"document": "../prompt"}}),
        ("/v1/completions", {"prompt": "x " * 4000, "dms": {"document": "prompt"}}),
    ]
    for path, body in cases:
        status, message = refusal(server, "POST", path, body)
        assert status in (400, 404), body
        assert message, body
    for name in ("chat", "prompt"):
        server.request("DELETE", f"/documents/{name}")


def test_there_are_no_more_than_are_allowed():
    with serving(*PLAIN, "--max-documents", 1, "--kv-memory", "64MiB") as server:
        put(server, "a", {"prompt": "It was"})
        assert refusal(server, "PUT", "/documents/b", {"prompt": "It was"})[0] == 507
        put(server, "a", {"prompt": "It was"})
    with serving(*PLAIN, "--document-memory", "1KiB") as server:
        status, message = refusal(server, "PUT", "/documents/a", {"prompt": STORY})
        assert status == 507
        assert "--document-memory" in message
        assert server.complete("It was", max_tokens=1)


def begin_stream(server: Server, connection, **fields) -> None:
    body = {"prompt": "It was", "max_tokens": 3000, "ignore_eos": True, "stream": True, **fields}
    connection.sendall(request_text("/v1/completions", json.dumps(body)))
    assert connection.recv(12) == b"HTTP/1.1 200"


def test_documents_being_made_count_among_the_requests():
    with serving(*PLAIN, "--max-sequences", 1, "--max-queue", 1) as server:
        made: list[dict] = []
        thread = threading.Thread(target=lambda: made.append(put(server, "a", {"prompt": STORY})))
        with server.connect() as connection:
            begin_stream(server, connection)
            thread.start()
            until(lambda: server.metric("dms:num_requests_active") == 2)
            assert refusal(server, "PUT", "/documents/b", {"prompt": STORY})[0] == 429
            assert refusal(server, "POST", "/v1/completions", {"prompt": "x"})[0] == 429
        thread.join()
        assert made[0]["tokens"] > 0
        until(server.is_idle)


def test_a_document_has_the_time_of_a_request():
    with serving(*PLAIN, "--max-sequences", 1, "--request-timeout", 1) as server:
        answers: list[tuple[int, str]] = []
        thread = threading.Thread(
            target=lambda: answers.append(refusal(server, "PUT", "/documents/a", {"prompt": STORY}))
        )
        with server.connect() as first, server.connect() as second:
            begin_stream(server, first)
            thread.start()
            until(lambda: server.metric("dms:num_requests_active") == 2)
            # It goes before the document, and its time ends later.
            begin_stream(server, second, priority=-1)
            thread.join()
        assert answers[0][0] == 503
        assert "time" in answers[0][1]
        until(server.is_idle)


def test_documents_outlive_the_server(tmp_path: Path):
    folder = tmp_path / "documents"
    folder.mkdir()
    options = (*PLAIN, "--no-prefix-cache", "--documents", folder)
    names = {"a": "dms", "b": "none", "c": "none"}
    with serving(*options) as server:
        made = {
            name: put(
                server,
                name,
                {"messages": [{"role": "system", "content": STORY}], "dms": {"policy": policy}},
            )
            for name, policy in names.items()
        }
        expected = {name: ask(server, name)[0] for name in names}
        assert server.stop() == 0, server.log()
    assert sorted(file.name for file in folder.iterdir()) == [f"{n}.dmsdoc" for n in "abc"]

    broken = bytearray((folder / "c.dmsdoc").read_bytes())
    broken[-1000] ^= 1
    (folder / "c.dmsdoc").write_bytes(broken)
    (folder / "d.dmsdoc").write_bytes(broken[:5000])
    os.symlink(folder / "a.dmsdoc", folder / "e.dmsdoc")
    # Room for one of the two that are good.
    room = max(made["a"]["bytes"], made["b"]["bytes"])
    with serving(*options, "--document-memory", room) as server:
        listed = json.loads(server.request("GET", "/documents")[2])["data"]
        assert [entry["name"] for entry in listed] == ["a", "b", "c"]
        assert not any(entry["in_memory"] for entry in listed)
        assert "d.dmsdoc" in server.log()
        assert "e.dmsdoc" in server.log()
        for name in ("a", "b", "a"):
            answer, usage = ask(server, name)
            assert answer == expected[name]
            assert cached(usage) == made[name]["tokens"]
            listed = json.loads(server.request("GET", "/documents")[2])["data"]
            assert [entry["name"] for entry in listed if entry["in_memory"]] == [name]
        status, message = refusal(
            server, "POST", "/v1/chat/completions", {**QUESTION, "dms": {"document": "c"}}
        )
        assert status == 400
        assert str(folder) not in message
        assert "c.dmsdoc: is damaged" in server.log()
        assert refusal(server, "GET", "/documents/c")[0] == 404
        assert refusal(server, "PUT", "/documents/e", {"prompt": "x"})[0] == 400
        assert refusal(server, "DELETE", "/documents/d")[0] == 404
        assert refusal(server, "PUT", "/documents/d", {"prompt": "x"})[0] == 409
        assert (folder / "d.dmsdoc").read_bytes() == broken[:5000]
        server.request("DELETE", "/documents/a")
        assert not (folder / "a.dmsdoc").exists()
        assert ask(server, "b")[0] == expected["b"]
        again = {"messages": [{"role": "system", "content": STORY}], "dms": {"policy": "none"}}
        put(server, "f", again)  # b leaves memory, and then its folder
        (folder / "b.dmsdoc").unlink()
        gone = {**QUESTION, "dms": {"document": "b"}}
        assert refusal(server, "POST", "/v1/chat/completions", gone)[0] == 404
        assert refusal(server, "GET", "/documents/b")[0] == 404
        assert server.stop() == 0, server.log()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    folder = tmp_path / "documents"
    folder.mkdir()
    with serving(*PLAIN, "--documents", folder) as server:
        shutil.rmtree(folder)
        status, message = refusal(server, "PUT", "/documents/a", {"prompt": "It was"})
        assert status == 500
        assert str(folder) not in message
        assert refusal(server, "GET", "/documents/a")[0] == 404


def test_templates_that_write_no_beginning_are_refused(tmp_path: Path):
    last_first = "{% for m in messages | reverse %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    template = tmp_path / "template.jinja"
    template.write_text(last_first)
    body = {"messages": [{"role": "system", "content": STORY}]}
    with serving("--template", template) as server:
        status, message = refusal(server, "PUT", "/documents/a", body)
        assert status == 400
        assert "template" in message
    # What it writes behind the messages is no part of the document, who speaks next is.
    template.write_text(CHATML + "{{ messages | length }}")
    with serving("--template", template) as server:
        put(server, "a", body)
        ask(server, "a")
        later = [
            *QUESTION["messages"],
            {"role": "assistant", "content": "He."},
            *QUESTION["messages"],
        ]
        assert cached(ask(server, "a", messages=later)[1]) > 0
        wrong = {"messages": [{"role": "assistant", "content": "He."}], "dms": {"document": "a"}}
        status, message = refusal(server, "POST", "/v1/chat/completions", wrong)
        assert status == 400
        assert "dms.document" in message


@pytest.mark.parametrize("form", ["messages", "prompt"])
def test_tokens_are_counted_as_they_are_read(server, form):
    made_of = {"messages": [{"role": "system", "content": STORY}]}
    made = put(server, "counted", made_of if form == "messages" else {"prompt": STORY})
    if form == "prompt":
        asked = {"prompt": " Who sat there?", "dms": {"document": "counted"}}
        used = server.post("/v1/completions", {**asked, "max_tokens": 1})["usage"]["prompt_tokens"]
    else:
        asked = {**QUESTION, "dms": {"document": "counted"}}
        used = ask(server, "counted")[1]["prompt_tokens"]
        told = server.post("/v1/messages/count_tokens", {"model": "demo", **asked})
        assert told == {"input_tokens": used}
    counted = server.post("/tokenize", asked)
    assert counted["count"] == len(counted["tokens"]) == used > made["tokens"]
    for endpoint in ("/tokenize", "/v1/messages/count_tokens"):
        nowhere = {**asked, "model": "demo", "dms": {"document": "nowhere"}}
        if endpoint == "/tokenize" or form == "messages":
            status, message = refusal(server, "POST", endpoint, nowhere)
            assert (status, "dms.document" in message) == (404, True)
    other = QUESTION if form == "prompt" else {"prompt": "Who?"}
    status, message = refusal(
        server, "POST", "/tokenize", {**other, "dms": {"document": "counted"}}
    )
    assert (status, "dms.document" in message) == (400, True)


def test_metrics_tell_of_documents(tmp_path: Path):
    options = (*PLAIN, "--documents", tmp_path, "--dtype", "f32")
    with serving(*options) as server:
        made = put(server, "night", {"messages": [{"role": "system", "content": STORY}]})
        ask(server, "night")
        ask(server, "night")
        assert server.metric("dms:documents") == server.metric("dms:documents_in_memory") == 1
        assert server.metric("dms:document_bytes") == made["bytes"] > 0
        size = (tmp_path / "night.dmsdoc").stat().st_size
        assert server.metric("dms:document_file_bytes") == made["file_bytes"] == size
        assert server.metric("dms:document_hits_total") == 2
        assert server.metric("dms:document_loads_total") == 0
    with serving(*options) as server:
        assert server.metric("dms:documents_in_memory") == server.metric("dms:document_bytes") == 0
        ask(server, "night")
        assert server.metric("dms:document_loads_total") == 1
        assert server.metric("dms:documents_in_memory") == 1
        ask(server, "night")
        assert server.metric("dms:document_hits_total") == 1
        assert server.request("DELETE", "/documents/night")[0] == 200
        assert server.metric("dms:documents") == server.metric("dms:document_file_bytes") == 0
