"""What clients should not do to `dms serve`: each is refused or ended, and the next good request is
answered."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import time
from pathlib import Path

import pytest

from serving import Answers, Server, request_text, serving, until

GOOD = {"prompt": "It was a dark night", "max_tokens": 4, "temperature": 0}
LONG = {"prompt": "It was", "max_tokens": 4000, "ignore_eos": True, "stream": True}
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server():
    limits = ("--read-timeout", 2, "--max-unread", "64KiB", "--max-body", "1MiB")
    with serving("--template", "plain", *limits) as server:
        yield server
        # A sanitizer's findings, leaks too, end it otherwise.
        assert server.stop() == 0, server.log()


@pytest.fixture(autouse=True)
def good_requests_are_answered(server: Server):
    expected = server.complete(**GOOD)["choices"]
    yield
    assert server.process.poll() is None, server.log()
    assert server.complete(**GOOD)["choices"] == expected
    until(server.is_idle)


BAD_BODIES = {
    "empty": b"",
    "cut": b'{"prompt": "x"',
    "no json": b"prompt=x",
    "an array": b"[1, 2]",
    "deep": b'{"prompt": ' + b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "invalid utf-8": b'{"prompt": "\xff"}',
    "half a surrogate": b'{"prompt": "\\ud800"}',
    "zero byte": b'{"prompt": "\x00"}',
    "no number": b'{"prompt": "x", "temperature": NaN}',
    "huge number": b'{"prompt": "x", "max_tokens": 1e308}',
    "wrong types": b'{"prompt": {"a": 1}, "n": "many", "stop": 5}',
    "huge ids": b'{"prompt": [18446744073709551615, -9223372036854775808]}',
    "many stops": json.dumps({"prompt": "x", "stop": ["a"] * 10_000}).encode(),
    "many biases": json.dumps(
        {"prompt": "x", "logit_bias": {str(i): 1 for i in range(5_000)}}
    ).encode(),
    "many prompts": json.dumps({"prompt": ["x"] * 10_000}).encode(),
    "long prompt": json.dumps({"prompt": "x " * 200_000}).encode(),
}


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/tokenize"])
def test_bad_bodies_are_refused(server, path, name):
    status, _, text = server.request("POST", path, BAD_BODIES[name])
    tolerable = path == "/tokenize"  # which reads a long prompt, and one with a zero byte
    assert status == 400 or (tolerable and status == 200), text
    assert status == 200 or json.loads(text)["error"]["message"]


def tools(*functions: object, **fields: object) -> bytes:
    listed = [{"type": "function", "function": function} for function in functions]
    message = {"role": "user", "content": "x"}
    return json.dumps({"messages": [message], "tools": listed, "max_tokens": 4, **fields}).encode()


def deep(levels: int) -> dict:
    schema: dict = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BAD_TOOLS = {
    "no list": tools(tools="all"),
    "no functions": tools(1, None, "f"),
    "nameless": tools({}),
    "a path": tools({"name": "../../etc/passwd"}),
    "markup": tools({"name": "<tool_call>"}),
    "control characters": tools({"name": "a\u0000\u001b[2J"}),
    "a long name": tools({"name": "a" * 500_000}),
    "twins": tools({"name": "a"}, {"name": "a"}),
    "many": tools(*({"name": f"f{i}"} for i in range(5_000))),
    "deep": tools({"name": "a", "parameters": deep(100)}),
    "no schema": tools({"name": "a", "parameters": [[]]}),
    "a choice of nothing": tools(tool_choice="required"),
    "a choice without name": tools({"name": "a"}, tool_choice={"type": "function"}),
    "a long choice": tools(
        {"name": "a"}, tool_choice={"type": "function", "function": {"name": "b" * 500_000}}
    ),
    "an unheard-of choice": tools({"name": "a"}, tool_choice=["a"]),
}


@pytest.mark.parametrize("name", BAD_TOOLS)
def test_bad_tools_are_refused(server, name):
    for path in ("/v1/chat/completions", "/tokenize"):
        status, _, text = server.request("POST", path, BAD_TOOLS[name])
        assert status == 400, text
        assert len(json.loads(text)["error"]["message"]) < 500


USER = {"role": "user", "content": "x"}
TRANSLATED = {
    "/v1/responses": {"input": [USER], "max_output_tokens": 1},
    "/v1/messages": {"messages": [USER], "max_tokens": 1},
    "/v1/messages/count_tokens": {"messages": [USER]},
}
FIELDS = {
    "/v1/responses": (
        "model input instructions max_output_tokens temperature top_p stream tools tool_choice "
        "parallel_tool_calls text reasoning store previous_response_id metadata truncation include "
        "background user conversation prompt top_logprobs seed stop dms"
    ),
    "/v1/messages": (
        "model messages system max_tokens stop_sequences temperature top_p top_k tools tool_choice "
        "thinking metadata stream output_config container mcp_servers seed dms"
    ),
    "/v1/messages/count_tokens": "model messages system tools tool_choice thinking",
}
DEEP = b"[" * 30 + b"]" * 30
ODD_VALUES = (
    b'5 -1 1e308 true false {} [] [5] [[]] [{}] [null] "" "\\u0000" {"type":5} '
    b'{"type":"function","name":[]} {"format":{"type":"json_schema"}} '
    b'[{"type":"function","name":{}}] [{"role":"user","content":[[]]}] '
    b'[{"role":"assistant","content":[{"type":"tool_use","input":[]}]}]'
).split() + [DEEP]


@pytest.mark.parametrize("path", TRANSLATED)
def test_odd_values_of_any_field_are_read_or_refused(server, path):
    for field in FIELDS[path].split():
        good = {key: value for key, value in TRANSLATED[path].items() if key != field}
        begin = json.dumps(good)[:-1].encode() + (b", " if good else b"")
        for value in ODD_VALUES:
            body = begin + json.dumps(field).encode() + b": " + value + b"}"
            status, _, text = server.request("POST", path, body)
            assert status in (200, 400, 404), (body, text)
            assert status == 200 or json.loads(text)["error"]["message"]


def test_bad_bodies_of_other_apis_are_refused(server):
    big = {
        "/v1/responses": {"input": [USER] * 10_000},
        "/v1/messages": {"messages": [USER] * 10_000, "max_tokens": 1},
        "/v1/messages/count_tokens": {"messages": [USER] * 10_000},
    }
    for path, good in TRANSLATED.items():
        long = {**good, "tools": [{"name": "x"}] * 10_000, "metadata": {"a" * 9000: "b"}}
        bodies = [*BAD_BODIES.values(), json.dumps(big[path]), json.dumps(long)]
        for body in bodies:
            status, _, text = server.request("POST", path, body)
            assert status == 400, (path, body[:100], text)
            assert json.loads(text)["error"]["message"]
    status, _, text = server.request("POST", "/v1/messages", b" " * (1 << 21))
    assert status == 413
    assert json.loads(text)["error"]["type"] == "request_too_large"


MALFORMED = {
    "no http": b"hello\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length is no number": HEAD + b"Content-Length: many\r\n\r\n",
    "chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n",
    "chunk too large": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "chunks without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 99,
    "both lengths": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": HEAD + b"A: b\r\n c\r\nConnection: close\r\n\r\n",
    "header without colon": HEAD + b"nothing\r\n\r\n",
    "long head": b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "long target": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "version 9": b"GET /health HTTP/9.9\r\n\r\n",
    "zeros": bytes(5000),
    "large body": HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 1000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_end_the_connection(server, name):
    with server.connect() as connection:
        connection.sendall(MALFORMED[name])
        answer = b""
        while piece := receive(connection):
            answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 4") or b" 404 " in answer[:20], answer[:200]
    assert b"HTTP/1.1 200" not in answer


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionResetError:
        return b""


def test_random_bytes(server):
    random_ = random.Random(5)
    template = request_text("/v1/completions", json.dumps(GOOD))
    for _ in range(200):
        data = bytearray(template)
        for _ in range(random_.randrange(1, 6)):
            data[random_.randrange(len(data))] = random_.randrange(256)
        with server.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while receive(connection):
                pass


def test_a_body_in_chunks_is_a_body(server):
    body = json.dumps(GOOD).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert Answers(connection).next()[0] == 200


def test_who_waits_to_be_told_to_go_on_is_told(server):
    body = json.dumps(GOOD).encode()
    with server.connect() as connection:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head)
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert Answers(connection).next()[0] == 200


def test_an_answer_to_head_has_no_body(server):
    with server.connect() as connection:
        requests = (
            f"{method} /health HTTP/1.1\r\nHost: localhost\r\n\r\n" for method in ("HEAD", "GET")
        )
        connection.sendall("".join(requests).encode())
        file = connection.makefile("rb")
        assert file.readline().startswith(b"HTTP/1.1 ")
        http.client.parse_headers(file)
        assert file.readline().startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(server):
    bodies = [json.dumps({**GOOD, "max_tokens": n}) for n in (1, 5, 2, 3)]
    with server.connect() as connection:
        connection.sendall(b"".join(request_text("/v1/completions", body) for body in bodies))
        answers = Answers(connection)
        usages = [json.loads(answers.next()[1])["usage"] for _ in bodies]
    assert [usage["completion_tokens"] for usage in usages] == [1, 5, 2, 3]


def test_a_connection_serves_many_requests(server):
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(request_text("/v1/completions", json.dumps(GOOD)))
            assert Answers(connection).next()[0] == 200


@pytest.mark.parametrize(
    "begin",
    [b"", b"GET /hea", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"],
    ids=["nothing", "a line", "a head", "a body"],
)
def test_what_does_not_come_in_time_is_given_up(server, begin):
    with server.connect() as connection:
        connection.sendall(begin)
        while receive(connection):
            pass


def drip(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)


def test_a_body_that_drips_is_given_up(server):
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(connection)


def start_long(server: Server, **fields) -> socket.socket:
    connection = server.connect()
    connection.sendall(request_text("/v1/completions", json.dumps({**LONG, **fields})))
    return connection


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_ends_its_request(server, how, stream):
    generated = server.metric("dms:generation_tokens_total")
    fields = {"stream": stream, "n": 4}
    connection = start_long(server, **fields)
    until(lambda: server.metric("dms:num_requests_running") > 0)
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "shutdown":
        connection.shutdown(socket.SHUT_WR)
    else:
        connection.close()
    until(server.is_idle)
    assert server.metric("dms:generation_tokens_total") - generated < 4 * 4000
    connection.close()


def test_clients_that_go_while_they_wait_in_line(server):
    connections = [start_long(server, stream=bool(i % 2)) for i in range(40)]
    for connection in connections:
        connection.close()
    until(server.is_idle)


def test_a_client_that_does_not_read_is_given_up(server):
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = {**LONG, "n": 16, "logprobs": 20, "max_tokens": 2000}
        connection.sendall(request_text("/v1/completions", json.dumps(body)))
        generated = server.metric("dms:generation_tokens_total")
        until(lambda: server.metric("dms:num_requests_active") > 0)
        until(server.is_idle)
        assert server.metric("dms:generation_tokens_total") - generated < 16 * 2000


def test_a_thousand_idle_connections_cost_no_thread(server):
    def threads() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("Threads:")[1].split()[0])

    before = threads()
    connections = [server.connect() for _ in range(1000)]
    server.complete(**GOOD)
    assert threads() == before
    for connection in connections:
        connection.close()


def test_paths_lead_nowhere(server):
    for path in ("/../../etc/passwd", "/v1/models/../../config.json", "/%2e%2e/%2e%2e/etc/passwd"):
        assert server.request("GET", path)[0] == 404


def test_the_log_shows_nothing_that_a_terminal_obeys(server):
    server.request("GET", "/%1b[2J%0afake")
    line = until(lambda: next((x for x in server.log().splitlines() if "fake" in x), None))
    assert "\x1b" not in line
    assert "\\u001b[2J" in line


def test_descriptors_are_given_back(server):
    def descriptors() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    until(server.is_idle)
    before = descriptors()
    for _ in range(50):
        with server.connect() as connection:
            connection.sendall(MALFORMED["chunk of no size"])
    until(lambda: descriptors() <= before)
