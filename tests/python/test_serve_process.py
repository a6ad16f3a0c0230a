"""`dms serve` as a process: its settings, keys and limits, and how it starts and ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from harness import DEMO, ROOT, run_dms
from serving import Server, serving, until

PROMPT = "It was a dark night and the wind"


def test_without_a_template_chat_is_refused():
    with serving() as server:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        status, _, text = server.request("POST", "/v1/chat/completions", body)
        assert status == 400
        assert "chat template" in text


def test_keys_and_origins(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst-key\n")
    origin = {"Origin": "https://a.example"}
    args = ("--api-key-file", keys, "--allow-origin", "https://a.example")
    with serving(*args, env={"DMS_API_KEY": "second-key"}) as server:
        path = "/v1/models"
        assert server.request("GET", path)[0] == 401
        assert server.request("GET", path, headers={"Authorization": "Bearer first"})[0] == 401
        for key in ("first-key", "second-key"):
            headers = {"Authorization": f"Bearer {key}", **origin}
            status, answer, _ = server.request("GET", path, headers=headers)
            assert status == 200
            assert answer["Access-Control-Allow-Origin"] == "https://a.example"
        asked = {"Access-Control-Request-Headers": "x-api-key,x-stainless-os"}
        status, answer, _ = server.request("OPTIONS", path, headers={**origin, **asked})
        assert status == 204
        assert answer["Access-Control-Allow-Headers"] == "x-api-key,x-stainless-os"
        assert server.request("GET", "/health", headers={"Origin": "https://b.example"})[0] == 403
        assert "first-key" not in server.log()
        assert "second-key" not in server.log()


def test_a_server_without_a_key_answers_to_its_own_names_alone():
    def asks(server, path, host):
        return server.request("GET", path, headers={"Host": host} if host else {})[0]

    with serving("--allowed-host", "llm.example") as server:
        for path in ("/", "/v1/models", "/metrics", "/health"):
            assert asks(server, path, "evil.example") == 403  # a name that its owner pointed at us
        for host in ("localhost", "LLM.example:80", "10.0.0.1"):
            assert asks(server, "/v1/models", host) == 200, host
    for options in (("--allowed-host", "*"), ("--api-key", "k")):
        with serving(*options) as server:
            assert asks(server, "/health", "evil.example") == 200, options


def test_one_large_piece_is_not_left_unread():
    prompt = "It was a dark night. " * 300
    body = {"prompt": prompt, "max_tokens": 4, "stream": True, "echo": True}
    with serving("--max-unread", "4KiB") as server:
        status, _, text = server.request("POST", "/v1/completions", body)
    events = text.split("\n\n")
    assert status == 200
    assert len(events[0]) > len(prompt) > 4096
    assert events[-2] == "data: [DONE]"


def test_settings_come_from_line_environment_and_file(tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(f"model: {DEMO}\nserved-model-name: from-file\nmax_n: 2  # two\n")
    environment = {"DMS_SERVED_MODEL_NAME": "from-environment", "DMS_HOST": "127.0.0.1"}
    with serving("--config", config, env=environment) as server:
        _, _, text = server.request("GET", "/v1/models")
        assert json.loads(text)["data"][0]["id"] == "from-environment"
        status, _, text = server.request("POST", "/v1/completions", {"prompt": "x", "n": 3})
        assert status == 400
    config.write_text("port: 8000\nspeed: fast\n")
    done = run_dms("serve", DEMO, "--config", config)
    assert done.returncode == 2
    assert b"line 2: unknown setting (got speed)" in done.stderr
    done = run_dms("serve", DEMO, env={"DMS_PORT": "http"})
    assert done.returncode == 2
    assert b"DMS_PORT: bad value" in done.stderr


def test_a_host_with_a_port_is_no_name():
    done = run_dms("serve", DEMO, "--allowed-host", "llm.example:8443")
    assert done.returncode == 2
    assert b"--allowed-host: no name of a host (got llm.example:8443" in done.stderr


def test_a_port_that_is_taken_is_an_error():
    with serving() as server:
        done = run_dms("serve", DEMO, "--port", server.port)
    assert done.returncode == 2
    assert b"cannot listen" in done.stderr


def test_a_full_queue_says_when_to_come_again():
    with serving("--max-sequences", 1, "--max-queue", 1) as server:
        long = {"prompt": PROMPT, "max_tokens": 3000, "ignore_eos": True, "stream": True}
        with server.connect() as one, server.connect() as two:
            for connection in (one, two):
                body = json.dumps(long)
                connection.sendall(
                    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                    + f"{len(body)}\r\n\r\n{body}".encode()
                )
                assert connection.recv(12) == b"HTTP/1.1 200"
            status, headers, _ = server.request("POST", "/v1/completions", {"prompt": "x"})
            assert status == 429
            assert int(headers["Retry-After"]) > 0
        until(server.is_idle)
        server.complete("x", max_tokens=1)


def test_a_deadline_ends_what_takes_longer():
    with serving("--request-timeout", 1) as server:
        answer = server.complete(PROMPT, max_tokens=4000, ignore_eos=True)
        assert answer["choices"][0]["finish_reason"] in ("abort", "length")
        until(server.is_idle)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_runs(signal_number):
    with serving() as server, ThreadPoolExecutor(1) as pool:
        body = {"prompt": PROMPT, "max_tokens": 200, "ignore_eos": True, "temperature": 0}
        running = pool.submit(server.post, "/v1/completions", body)
        until(lambda: server.metric("dms:num_requests_running") > 0 or running.done())
        assert server.stop(signal_number) == 0
        assert running.result()["usage"]["completion_tokens"] == 200


def test_what_does_not_finish_in_time_is_cancelled():
    with serving("--drain-timeout", 0) as server:
        body = {"prompt": PROMPT, "max_tokens": 4000, "ignore_eos": True, "stream": True}
        with server.connect() as connection:
            text = json.dumps(body)
            head = f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(text)}\r\n\r\n"
            connection.sendall((head + text).encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
            assert server.stop() == 0
            rest = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            assert b'"abort"' in rest
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_killed_server_leaves_nothing_behind_and_starts_again(tmp_path):
    options = ("--dtype", "f32", "--kv-memory", "3MiB", "--swap-space", "64MiB")
    options += ("--swap-folder", tmp_path)
    with serving(*options) as server, ThreadPoolExecutor(4) as pool:
        expected = server.complete(PROMPT, max_tokens=8)["choices"]
        body = {"prompt": PROMPT, "max_tokens": 3000, "ignore_eos": True}
        running = [pool.submit(server.post, "/v1/completions", body) for _ in range(4)]
        until(lambda: server.metric("dms:num_swaps_total") > 0)
        server.process.kill()
        server.process.wait()
        assert all(isinstance(each.exception(), (OSError, HTTPException)) for each in running)
        assert not list(tmp_path.iterdir())
        with serving(*options, port=server.port) as again:
            assert again.complete(PROMPT, max_tokens=8)["choices"] == expected


def test_the_curl_lines_of_the_document_work():
    text = (ROOT / "docs" / "serving.md").read_text()
    script = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1]
    with serving("--template", "plain") as server:
        script = script.replace("http://127.0.0.1:8000", server.url)
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    assert done.stdout.count('"object":"text_completion"') >= 2
    assert '"object":"chat.completion"' in done.stdout
    assert "data: [DONE]" in done.stdout
    assert '"tokens":[' in done.stdout
    assert "dms:kv_bytes_used" in done.stdout
    assert '"error"' not in done.stdout


def test_health_is_answered_while_the_model_is_loaded():
    server = Server("--dtype", "f32")
    try:
        assert server.request("GET", "/health")[0] in (200, 503)
        assert server.request("GET", "/livez")[0] == 200
        assert server.request("GET", "/v1/models")[0] == 200
        server.wait_until_ready()
    finally:
        server.close()
