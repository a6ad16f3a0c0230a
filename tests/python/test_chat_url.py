"""`dms chat --url`: a conversation with `dms serve` is that of `dms chat MODEL`, and no server,
however it behaves, does the program any harm."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from harness import DEMO, run_dms, run_ok
from pseudo_terminal import CTRL_C, TAKEN, chats
from scripted_server import DONE, HEAD, answer, chunk, scripted
from serving import serving, until

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{{ mark }}{% endif %}"
)
TALK = ("--greedy", "-n", 12, "--ignore-eos")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    file = tmp_path_factory.mktemp("template") / "template.jinja"
    file.write_text(TEMPLATE)
    return file


@pytest.fixture(scope="module")
def server(template):
    options = ("--template", template, "--dtype", "f32", "--policy", "none")
    with serving(*options) as server:
        yield server


def talk(saved: Path, lines: list[str], *args: object) -> list[dict[str, str]]:
    """The conversation as /save writes it."""
    run_ok("chat", *args, *TALK, stdin="\n".join([*lines, f"/save {saved}"]))
    return json.loads(saved.read_text())


@pytest.mark.parametrize(
    "lines",
    [
        ["It was a dark night.", "Who came to the door?", "And then?"],
        ["It was a dark night.", "Who came to the door?", "/undo", "And then?"],
        ["It was a dark night.", "/retry", "And then?"],
        ["It was a dark night.", "/reset", "And then?", "//help"],
    ],
    ids=["turns", "undo", "retry", "reset"],
)
def test_it_is_the_conversation_of_a_local_chat(server, template, lines, tmp_path):
    options = ("--system", "Tell a story.")
    local = ("--template", template, "--dtype", "f32", "--policy", "none")
    ours = talk(tmp_path / "remote.json", lines, "--url", server.url, *options)
    assert ours == talk(tmp_path / "local.json", lines, DEMO, *local, *options)


def test_messages_are_loaded(server, tmp_path):
    lines = ["It was a dark night.", "Who came to the door?"]
    whole = talk(tmp_path / "whole.json", lines, "--url", server.url)
    talk(tmp_path / "half.json", lines[:1], "--url", server.url)
    rest = [f"/load {tmp_path / 'half.json'}", lines[1]]
    assert talk(tmp_path / "rest.json", rest, "--url", server.url + "/v1/") == whole


def test_arguments_reach_the_template(server, tmp_path):
    plain = talk(tmp_path / "a.json", ["Hello"], "--url", server.url)
    marked = talk(tmp_path / "b.json", ["Hello"], "--url", server.url, "--template-arg", "mark=!?")
    assert plain != marked


def test_the_same_seed_is_the_same_text(server, tmp_path):
    sampled = ("--url", server.url, "--temperature", 1, "-n", 12, "--seed")

    def answers(seed: int, *lines: str) -> list[str]:
        return run_ok("chat", *sampled, seed, stdin="\n".join(lines)).split("\n")

    assert answers(3, "Hello") == answers(3, "Hello")
    assert answers(3, "Hello") != answers(4, "Hello")
    both = "\n".join(answers(3, "Hello", "/retry"))
    assert "\n".join(answers(3, "Hello"))[:-1] + "\n" + "\n".join(answers(4, "Hello")) == both


def test_stats_tell_what_the_server_counted(server):
    args = ("--policy", "streaming", "--policy-args", "start_size=4,recent_size=16")
    lines = "dark night " * 50 + "\n/stats"
    printed = run_ok("chat", "--url", server.url, *TALK, *args, stdin=lines)
    assert f"2 messages, with demo at {server.url}/v1\n" in printed
    held, dense = map(int, re.search(r"\nKV (\d+) of (\d+) entries", printed).groups())
    assert 0 < held < dense
    tokens = re.search(r"last turn: prefill (\d+) tokens, .* decode (\d+) tokens", printed)
    assert int(tokens[1]) > 100
    assert int(tokens[2]) == 11
    assert "prompt tokens were cached" in printed


def test_help_tells_that_messages_alone_are_saved(server):
    printed = run_ok("chat", "--url", server.url, stdin="/help")
    assert "/save FILE        write the messages, to FILE.json\n" in printed


@pytest.mark.parametrize("command", ["/save", "/load"])
def test_the_cache_stays_with_the_server(server, command, tmp_path):
    done = run_dms("chat", "--url", server.url, stdin=f"{command} {tmp_path / 'folder'}")
    assert done.returncode == 2
    assert b"the cache is the server's" in done.stderr
    assert not (tmp_path / "folder").exists()


def failure(status: int, *args: object, stdin: str = "Hello\n", env: dict | None = None) -> str:
    """The one line that says why."""
    done = run_dms("chat", *args, stdin=stdin, env=env)
    message = done.stderr.decode()
    assert done.returncode == status, message
    assert message.startswith("dms: error: ")
    assert message.count("\n") == 1
    assert message[:-1].isprintable()
    return message


def test_what_the_server_refuses_is_told(server, tmp_path):
    assert "404 model: is not served here (got gpt" in failure(
        1, "--url", server.url, "--model", "gpt"
    )
    assert "400 dms.policy: bad value" in failure(1, "--url", server.url, "--policy", "fancy")
    assert "404" in failure(1, "--url", server.url + "/nowhere")
    large = tmp_path / "large.txt"
    large.write_text("x" * (20 << 20))
    assert "413" in failure(1, "--url", server.url, stdin=f"/read {large}")


def test_a_key_is_sent(template):
    with serving("--template", template, env={"DMS_API_KEY": "right"}) as server:
        hint = "give a key with --api-key or DMS_API_KEY"
        assert hint in failure(1, "--url", server.url)
        assert "401" in failure(1, "--url", server.url, "--api-key", "wrong")
        run_ok("chat", "--url", server.url, *TALK, "--api-key", "right", stdin="Hello")
        run_ok("chat", "--url", server.url, *TALK, stdin="Hello", env={"DMS_API_KEY": "right"})
        assert "right" not in failure(2, "--url", server.url, "--api-key", "right one")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--url", "https://127.0.0.1"), "--url: https is not spoken here"),
        (("--url", "127.0.0.1:8000"), "--url: is no address of a server"),
        (("--url", "http://127.0.0.1:99999"), "--url: names no port from 1 to 65535"),
        (("--url", "http://x", "--threads", 2), "--threads: cannot be chosen with --url"),
        (("--url", "http://x", "--template", "plain"), "--template: cannot be chosen with --url"),
        (("--url", "http://x", DEMO), "MODEL: cannot be chosen with --url"),
        ((DEMO, "--timeout", 3), "--timeout: goes with --url"),
        (("--url", "http://x", "--greedy", "--temperature", 1), "--greedy: contradicts"),
        (("--url", "http://x", "--template-arg", "x"), "--template-arg: bad value"),
    ],
)
def test_bad_options_are_told_before_anybody_is_asked(args, words):
    assert words in failure(2, *args)


def test_a_server_that_is_not_there_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "Connection refused" in failure(1, "--url", f"http://127.0.0.1:{port}")


def test_only_what_is_given_is_asked_for():
    models = b'HTTP/1.0 200 OK\r\n\r\n{"data": [{"id": "first"}, {"id": "second"}]}'
    with scripted(models, answer("Hi")) as server:
        printed = run_ok("chat", "--url", server.url, "--system", "Be brief.", stdin="Hello")
    assert printed == "Hi\n"
    (asked, nothing), (head, body) = server.requests
    assert asked.startswith("GET /v1/models HTTP/1.1\n")
    assert nothing == {}
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\n")
    assert "Authorization" not in head
    assert body == {
        "max_tokens": 128,
        "model": "first",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_answers_may_come_in_any_pieces():
    stream = chunk("Größe") + b": beat\r\n\r\n" + chunk(" 日本\n語") + chunk(finish="stop") + DONE
    head = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")

    def byte_by_byte(connection: socket.socket) -> None:
        connection.sendall(head)
        for at in range(len(stream)):
            connection.sendall(b"1;x=y\r\n" + stream[at : at + 1] + b"\r\n")
        connection.sendall(b"0\r\n\r\n")

    with scripted(HEAD + stream, byte_by_byte) as server:
        printed = run_ok("chat", "--url", server.url, "--model", "m", stdin="one\ntwo")
    assert printed == "Größe 日本\n語\n" * 2
    assert [m["content"] for m in server.requests[1][1]["messages"]] == ["one", printed[:10], "two"]


def test_thoughts_are_shown_and_not_said_again():
    thought = chunk(reasoning_content="Hm.") + chunk(reasoning_content=" Well.")
    with scripted(HEAD + thought + chunk("Yes.") + DONE, answer("No.")) as server:
        printed = run_ok("chat", "--url", server.url, "--model", "m", stdin="one\ntwo")
    assert printed == "<think>Hm. Well.</think>\nYes.\nNo.\n"
    assert [m["content"] for m in server.requests[1][1]["messages"]] == ["one", "Yes.", "two"]


def without_end(piece: bytes):
    """Sends until nobody reads."""

    def send(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        while True:
            connection.sendall(piece)

    return send


def silent(connection: socket.socket) -> None:
    connection.sendall(HEAD + chunk("Hi"))
    connection.recv(1)  # until the client has gone


def refusal(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


CHUNKED = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
BAD = {
    "nothing": (b"", "the server closed without an answer"),
    "no HTTP": (b"\x00\xff\r\n\r\n" * 9, "does not answer as HTTP wants it"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", "broke off its answer"),
    "no stream": (b"HTTP/1.1 200 OK\r\n\r\n{}", "expected text/event-stream"),
    "a page": (refusal(500, b"<html>\n\x1b[2Jno\n</html>"), "500 <html>  [2Jno </html>"),
    "an error": (refusal(400, b'{"error": {"message": "too\\nlong"}}'), "400 too long"),
    "a word": (refusal(418, b'{"error": "a teapot"}'), "418 a teapot"),
    "elsewhere": (refusal(301, b""), "the server refuses: 301"),
    "an error in the stream": (
        HEAD + chunk("Hi") + b'data: {"error": {"message": "out of \\u001b[2Jluck"}}\n\n',
        "out of  [2Jluck",
    ),
    "no JSON": (HEAD + b"data: {x\n\n" + DONE, "does not answer as OpenAI's API"),
    "bad UTF-8": (HEAD + b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', "ill-formed"),
    "another type": (HEAD + b'data: {"choices": [{"delta": {"content": 5}}]}\n\n', "content"),
    "no object": (HEAD + b"data: []\n\n", "OpenAI's API"),
    "no choice": (HEAD + b'data: {"choices": [3]}\n\n', "OpenAI's API"),
    "bad usage": (HEAD + b'data: {"usage": {"prompt_tokens": -1}}\n\n', "prompt_tokens"),
    "deep JSON": (HEAD + b"data: " + b"[" * 100_000 + b"\n\n", "OpenAI's API"),
    "no end": (HEAD + chunk("Hi"), "broke off its answer"),
    "half an event": (HEAD + b'data: {"choices"', "broke off its answer"),
    "half a body": (
        HEAD.replace(b"Connection: close", b"Content-Length: 1000") + chunk("Hi"),
        "broke off its answer",
    ),
    "half a chunk": (CHUNKED + b"FF\r\n" + chunk("Hi"), "broke off its answer"),
    "a chunk that is no number": (CHUNKED + b"xyz\r\n", "does not answer as HTTP wants it"),
    "a chunk of any size": (CHUNKED + b"F" * 17 + b"\r\n", "does not answer as HTTP wants it"),
    "a huge chunk": (CHUNKED + b"F" * 16 + b"\r\nx", "the server"),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "answer is too long"),
}
ENDLESS = {
    "line": (without_end(b"data: " + b"x" * 65536), "an event that is too long"),
    "event": (without_end(b"data: " + b"x" * 65536 + b"\n"), "an event that is too long"),
    "answer": (without_end(chunk("x" * 500_000)), "answer is too long"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_one_line(name):
    script, words = BAD[name]
    with scripted(script) as server:
        assert words in failure(1, "--url", server.url, "--model", "m")


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end_is_cut(name):
    script, words = ENDLESS[name]
    with scripted(script) as server:
        assert words in failure(1, "--url", server.url, "--model", "m")
    assert server.refused_bytes.is_set()


def test_an_endless_list_of_models_is_cut():
    with scripted(without_end(b"x" * 65536)) as server:
        assert "does not answer as OpenAI's API" in failure(1, "--url", server.url)
    assert server.refused_bytes.is_set()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": []}', b'{"data": [{"id": 3}]}', b"[]"])
def test_a_bad_list_of_models_is_one_line(body):
    with scripted(b"HTTP/1.1 200 OK\r\n\r\n" + body) as server:
        assert "does not answer as OpenAI's API" in failure(1, "--url", server.url)


def test_a_silent_server_is_given_up():
    with scripted(silent) as server:
        message = failure(1, "--url", server.url, "--model", "m", "--timeout", 1)
    assert "the server has been silent for 1 seconds" in message


@pytest.fixture
def terminal():
    with chats() as start:
        yield start


def test_ctrl_c_stops_an_answer(terminal, server):
    chat = terminal("--url", server.url, "--ignore-eos", "-n", 100_000, "--temperature", 1)
    chat.send("It was a dark night.\r")
    chat.wait_for(TAKEN)
    chat.wait_for(" ")
    chat.send(CTRL_C)
    chat.wait_for("[stopped]")
    chat.prompt()
    assert "2 messages" in chat.say("/stats")
    until(server.is_idle)


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + b": beat\n\n"], ids=["nothing", "head", "beat"])
def test_ctrl_c_stops_a_server_that_does_not_answer(terminal, said):
    def wait(connection: socket.socket) -> None:
        connection.sendall(said)
        assert connection.recv(1) == b""

    with scripted(wait, answer("Hi.")) as server:
        chat = terminal("--url", server.url, "--model", "m")
        chat.send("one\r")
        chat.wait_for(TAKEN)
        until(lambda: server.requests)
        chat.send(CTRL_C)
        chat.wait_for("[stopped: the question is not part of the conversation]")
        chat.prompt()
        assert "Hi." in chat.say("two")
    assert [m["content"] for m in server.requests[1][1]["messages"]] == ["two"]


def test_an_error_leaves_the_conversation_as_it_was(terminal):
    with scripted(answer("Hi."), HEAD + chunk("Well, "), answer("Ah.")) as server:
        chat = terminal("--url", server.url, "--model", "m")
        chat.say("one")
        assert "dms: error: " in chat.say("two")
        assert "Ah." in chat.say("three")
    said = [m["content"] for m in server.requests[2][1]["messages"]]
    assert said == ["one", "Hi.", "three"]


def test_an_answer_that_the_server_cut_is_marked(terminal):
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": %d}}\n\n'
    cut = HEAD + chunk("Well") + chunk(finish="length")
    with scripted(cut + usage % 7 + DONE, cut + usage % 3 + DONE) as server:
        chat = terminal("--url", server.url, "--model", "m", "-n", 7)
        assert "[cut at 7 tokens; --max-new-tokens raises it]" in chat.say("one")
        assert "[cut: the server's context is full; /undo or /reset" in chat.say("two")


def test_an_answer_that_the_server_gave_up_is_kept(terminal):
    with scripted(HEAD + chunk("Well") + chunk(finish="abort") + DONE) as server:
        chat = terminal("--url", server.url, "--model", "m")
        assert "the server ended the answer early; the answer so far is kept" in chat.say("one")
        assert "2 messages" in chat.say("/stats")
