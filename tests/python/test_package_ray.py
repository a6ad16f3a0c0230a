"""The Ray application with two replicas: answers, prefixes that stay, a replica that is killed."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from dms_ray.settings import RoutingSettings
from harness import DEMO, HANG_GUARD_S, ROOT, package_folder
from serving import until

APP = ROOT / "deploy" / "ray"
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
PROMPTS = ["It was a dark night and", "The ship sailed", "He said that", "In the year"]
LONG = "The old man walked down to the harbour and looked at the boats. " * 12
STORY = " " + LONG.strip()


@dataclass
class Answer:
    """What came of a request, and of its stream so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict] = field(default_factory=list)
    """Of a stream, or the one body."""
    is_over: bool = False

    @property
    def replica(self) -> str:
        return self.headers.get("x-dms-replica", "")

    @property
    def text(self) -> str:
        return "".join(c["text"] for event in self.events for c in event.get("choices", []))

    @property
    def cached_tokens(self) -> int:
        return self.events[-1]["usage"]["prompt_tokens_details"]["cached_tokens"]


class Cluster:
    """Ray on this machine alone, with the application of serve.yaml for the demo."""

    def __init__(self, folder: Path) -> None:
        import ray
        from ray import serve

        from dms_ray.app import application

        self.serve = serve
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=80 << 20,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
        serve.start(http_options={"host": "127.0.0.1", "port": self.port})
        template = folder / "template.jinja"
        template.write_text(TEMPLATE)
        kept = {"documents": folder / "documents", "slot_save_path": folder / "slots"}
        for path in kept.values():
            path.mkdir()
        config = yaml.safe_load((APP / "serve.yaml").read_text())["applications"][0]
        args = {**config["args"], "model": str(DEMO), "chat_template": str(template)}
        args |= {"kv_memory": "64MiB", "swap_space": 0, "dtype": "float32", "threads": 1}
        args |= {"tool_parser": "hermes", **{name: str(path) for name, path in kept.items()}}
        args["routing"] = {**args["routing"], "block_chars": 64}
        self.replicas = 2
        app = application(args, num_replicas=self.replicas, ray_actor_options={"num_cpus": 0.2})
        serve.run(app, name="dms", route_prefix="/")
        self.engine = serve.get_deployment_handle("Engine", "dms")

    def stats(self) -> dict[str, dict]:
        """Of each replica that answered one of several calls: while none is busy, of all."""
        from ray.exceptions import RayError

        found = {}
        for _ in range(4 * self.replicas):
            with suppress(RayError):  # one that has just ended
                stats = self.engine.stats.remote().result(timeout_s=HANG_GUARD_S)
                found[stats["replica"]] = stats
        return found

    def is_idle(self) -> bool:
        """No engine has anything to do."""
        stats = self.stats()
        busy = [each["running"] + each["waiting"] for each in stats.values()]
        return len(stats) == self.replicas and not any(busy)

    def ongoing(self, replica: str) -> int:
        """Requests that a replica has accepted: asked by name, for a call through the handle goes
        to the one that has less to do."""
        import ray

        actor = ray.get_actor(f"SERVE_REPLICA::dms#Engine#{replica}", namespace="serve")
        return ray.get(actor.get_num_ongoing_requests.remote(), timeout=HANG_GUARD_S)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self._send("GET", path, None, Answer(), headers)

    def post(
        self, path: str, body: object, answer: Answer | None = None, method: str = "POST"
    ) -> Answer:
        """Asks and reads to the end; `answer` can be looked at meanwhile."""
        return self._send(method, path, json.dumps(body), answer or Answer())

    def text(self, path: str) -> str:
        """An answer that is no JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_GUARD_S)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def complete(self, prompt: str, answer: Answer | None = None, **more: object) -> Answer:
        body = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **more}
        return self.post("/v1/completions", body, answer)

    def _send(
        self,
        method: str,
        path: str,
        body: str | None,
        answer: Answer,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_GUARD_S)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            answer.headers = {name.lower(): value for name, value in response.getheaders()}
            answer.status = response.status
            if answer.headers["content-type"].startswith("text/event-stream"):
                lines = (line for line in response if line.strip())
                for line in lines:
                    assert line.startswith(b"data: "), line
                    if line.strip() != b"data: [DONE]":
                        answer.events.append(json.loads(line[6:]))
                assert line.strip() == b"data: [DONE]", line
            else:
                answer.events.append(json.loads(response.read()))
            answer.is_over = True
        return answer

    def close(self) -> None:
        import ray

        self.serve.shutdown()
        ray.shutdown()


@pytest.fixture(scope="module")
def cluster(dms_cpp) -> Iterator[Cluster]:
    """Its processes and files are gone afterwards, whatever happens."""
    import ray

    quiet = {
        "PYTHONPATH": os.pathsep.join([str(package_folder()), str(APP)]),
        "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # others' memory is no reason to kill ours
        "RAY_worker_niceness": "0",  # behind all others, replicas would hardly be computed here
        # Who answers later is left out, and its prefixes with it.
        "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "30",
        "RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "30",
        "RAY_DEDUP_LOGS": "0",
    }
    # Ray's processes may be a moment longer at their logs than shutdown() waits.
    files = tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True)
    with pytest.MonkeyPatch.context() as patch, files as folder:
        for name, value in quiet.items():
            patch.setenv(name, value)
        cluster = None
        try:
            cluster = Cluster(Path(folder))
            yield cluster
        finally:
            if cluster is not None:
                cluster.close()
            ray.shutdown()


@pytest.fixture(scope="module")
def expected(dms_cpp, demo):
    """expected(prompt, tokens) -> what one engine answers."""

    def call(prompt, tokens: int = 12) -> str:
        params = dms_cpp.SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
        return demo.generate(prompt, params)[0].outputs[0].text

    return call


@pytest.mark.parametrize("name", ["serve.yaml", "serve-autoscaling.yaml"])
def test_the_configurations_are_rays(name):
    from ray.serve.schema import ServeDeploySchema

    from dms_ray.settings import read_settings

    config = yaml.safe_load((APP / name).read_text())
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "dms_ray.app:build"
    assert {deployment.name for deployment in application.deployments} == {"Engine", "Ingress"}
    cpus = {"Engine": 0, "Ingress": 0}
    for deployment in application.deployments:
        replicas = deployment.num_replicas if isinstance(deployment.num_replicas, int) else 1
        cpus[deployment.name] += replicas * deployment.ray_actor_options.num_cpus
    assert sum(cpus.values()) <= 2, "two cores are enough to try it"
    engine, _ = read_settings(application.args)
    assert (ROOT / engine.model).is_dir()


def test_what_a_failed_call_means_for_its_client(dms_cpp):
    from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

    from dms_ray.ingress import outcome

    for error, status in (
        (BackPressureError(9, 9), 429),
        (ActorDiedError(), 503),
        (ActorUnavailableError("gone", None), 503),
        (DeploymentUnavailableError("gone"), 503),
        (RayTaskError("answer", "where", ValueError("ours")), 500),
        (RayTaskError("answer", "where", ActorDiedError()), 503),
        (ValueError("ours"), 500),
    ):
        told = outcome(error)
        assert told.status == status
        assert ("Retry-After" in told.headers()) == (status != 500)
        assert "ours" not in told.message


class FakeReplicas:
    """A handle whose calls fail with `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.context = self

    def options(self, **_: object) -> FakeReplicas:
        return self

    def broadcast(self, *_: object) -> None:
        raise self.error

    async def remote(self) -> None:
        raise self.error


def test_replicas_that_are_full_are_there(dms_cpp):
    from ray.exceptions import ActorDiedError
    from ray.serve.exceptions import BackPressureError

    from dms_ray.ingress import Ingress

    for error, status in ((BackPressureError(9, 9), 200), (ActorDiedError(), 503)):
        ingress = Ingress(FakeReplicas(error), RoutingSettings())
        assert asyncio.run(ingress._health()).status_code == status
        ingress._heard = time.monotonic()
        assert asyncio.run(ingress._health()).status_code == 200


def request(path: str, headers: dict[str, str]) -> object:
    from starlette.requests import Request

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw}

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request(scope, receive)


def test_the_key_is_a_files_one_line(dms_cpp, tmp_path):
    from ray.exceptions import ActorDiedError

    from dms_ray.ingress import Ingress

    def ingress() -> Ingress:
        return Ingress(FakeReplicas(ActorDiedError()), RoutingSettings(), str(file))

    file = tmp_path / "key"
    file.write_text("secret\n")
    guarded = ingress()
    for path, headers, status in (
        ("/metrics", {"authorization": "Bearer secret"}, 503),
        ("/metrics", {"x-api-key": "secret"}, 503),
        ("/metrics", {"authorization": "Bearer other"}, 401),
        ("/metrics", {"authorization": "secret"}, 401),
        ("/v1/messages", {}, 401),
        ("/health", {}, 503),
    ):
        assert asyncio.run(guarded(request(path, headers))).status_code == status, (path, headers)
    for text in ("", "\n", "one\ntwo\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match="expected one line"):
            ingress()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        ingress()


def test_answers_are_those_of_one_engine(cluster, expected, demo):
    for prompt in PROMPTS:
        whole, streamed = cluster.complete(prompt), cluster.complete(prompt, stream=True)
        assert (whole.status, streamed.status) == (200, 200)
        assert whole.text == streamed.text == expected(prompt)
        assert len(streamed.events) > 3
        assert streamed.events[-1]["choices"][0]["finish_reason"] == "length"
    assert cluster.complete(demo.encode(PROMPTS[0])).text == expected(PROMPTS[0])
    kept = {"policy": "none"}
    answer = cluster.complete(LONG, dms=kept).events[0]["usage"]["dms"]
    assert answer["held_tokens"] == answer["dense_tokens"]


def test_the_openai_client_is_answered(cluster, dms_cpp, demo):
    from openai import BadRequestError, NotFoundError, OpenAI

    client = OpenAI(base_url=f"http://127.0.0.1:{cluster.port}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["demo"]
    messages = [{"role": "user", "content": "Who are you?"}]
    ask = {"model": "demo", "messages": messages, "temperature": 0, "max_tokens": 12}
    answer = client.chat.completions.create(**ask)
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=12)
    said = demo.chat(messages, params, chat_template=TEMPLATE)[0].outputs[0]
    assert answer.choices[0].message.content == said.text
    assert answer.usage.completion_tokens == len(said.token_ids)
    chunks = list(
        client.chat.completions.create(
            **ask, n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    for index in range(2):
        choices = [c for chunk in chunks for c in chunk.choices if c.index == index]
        text = "".join(choice.delta.content or "" for choice in choices)
        assert text == answer.choices[0].message.content
        assert choices[-1].finish_reason == answer.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == 2 * answer.usage.completion_tokens
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["a", "bc"]}}}
    held = client.chat.completions.create(**ask, response_format=form)
    assert held.choices[0].message.content in ('"a"', '"bc"')
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    called = client.chat.completions.create(
        **{**ask, "max_tokens": 60}, tools=[tool], tool_choice="required"
    )
    assert called.choices[0].message.tool_calls[0].function.name == "now"
    response = client.responses.create(
        model="demo", input=messages, temperature=0, max_output_tokens=12
    )
    assert response.output_text == said.text
    events = list(
        client.responses.create(
            model="demo", input=messages, temperature=0, max_output_tokens=12, stream=True
        )
    )
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == said.text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(NotFoundError, match="expected demo"):
        client.completions.create(model="other", prompt="x")
    with pytest.raises(BadRequestError, match="max_tokens"):
        client.completions.create(model="demo", prompt="x", max_tokens=-1)


def test_the_anthropic_client_is_answered(cluster, dms_cpp, demo):
    from anthropic import Anthropic, NotFoundError

    client = Anthropic(base_url=f"http://127.0.0.1:{cluster.port}", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "Who are you?"}]
    params = dms_cpp.SamplingParams(temperature=0, max_tokens=12)
    said = demo.chat(messages, params, chat_template=TEMPLATE)[0].outputs[0]
    ask = {"messages": messages, "max_tokens": 12, "extra_body": {"temperature": 0}}
    assert client.messages.create(model="demo", **ask).content[0].text == said.text
    with client.messages.stream(model="demo", **ask) as stream:
        assert "".join(stream.text_stream) == said.text
    with pytest.raises(NotFoundError, match="expected demo"):
        client.messages.create(model="other", **ask)
    counted = client.messages.count_tokens(model="demo", messages=messages)
    prompt = demo.render_chat(messages, chat_template=TEMPLATE)["prompt_token_ids"]
    assert counted.input_tokens == len(prompt)


def test_what_else_a_server_answers(cluster, demo):
    ids = demo.encode(PROMPTS[0])
    assert cluster.post("/tokenize", {"prompt": PROMPTS[0]}).events[0]["tokens"] == ids
    assert cluster.post("/detokenize", {"tokens": ids[1:]}).events[0]["prompt"] == PROMPTS[0]
    assert cluster.get("/version").status == 200
    logged = cluster.complete(PROMPTS[0], logprobs=1, echo=True).events[0]["choices"][0]
    assert logged["text"].startswith(PROMPTS[0])
    assert len(logged["logprobs"]["tokens"]) == len(ids) + 12
    several = cluster.complete(PROMPTS[:2]).events[0]["choices"]
    assert [choice["index"] for choice in several] == [0, 1]


def test_metrics_are_those_of_all_replicas(cluster):
    until(cluster.is_idle)
    name = re.compile(r'^dms:generation_tokens_total\{replica="(\w+)",.*\} (\S+)$', re.MULTILINE)
    found = {replica: float(value) for replica, value in name.findall(cluster.text("/metrics"))}
    assert found == {name: each["generated_tokens"] for name, each in cluster.stats().items()}


def put_until(cluster: Cluster, replicas: set[str]) -> dict[str, str]:
    """Documents, so many that each of the replicas has one: their names and where they are."""
    owners: dict[str, str] = {}
    while replicas - set(owners.values()):
        assert len(owners) < 60, owners
        name = f"story-{len(owners):02}"
        made = cluster.post(f"/documents/{name}", {"prompt": name + STORY}, method="PUT")
        assert made.status in (200, 201), made.events
        owners[name] = made.replica
    return owners


@pytest.fixture(scope="module")
def expected_after(demo, expected):
    """expected_after(name) -> what is answered to " And then" after that document."""

    def call(name: str) -> str:
        return expected([*demo.encode(name + STORY), *demo.encode(" And then", False)])

    return call


def test_a_document_is_asked_where_it_lies(cluster, expected_after):
    owners = put_until(cluster, set(cluster.stats()))
    for name, owner in owners.items():
        assert cluster.get(f"/documents/{name}").replica == owner
        answer = cluster.complete(" And then", dms={"document": name})
        assert (answer.status, answer.replica) == (200, owner)
        assert answer.text == expected_after(name)
    listed = cluster.get("/documents").events[0]["data"]
    assert [entry["name"] for entry in listed] == list(owners)
    for name in owners:
        assert cluster.post(f"/documents/{name}", None, method="DELETE").status == 200
    assert cluster.get("/documents").events[0]["data"] == []
    assert cluster.complete("x", dms={"document": "story-00"}).status == 404


def test_a_slot_stays_where_it_is_or_moves_by_its_file(cluster):
    held = {slot: cluster.complete(f"{slot} {LONG}", id_slot=slot) for slot in range(8)}

    def go_on(slot: int, beginning: int) -> None:
        text = f"{beginning} {LONG}{held[beginning].text} So"
        again = cluster.complete(text, id_slot=slot)
        assert again.replica == held[slot].replica
        assert again.cached_tokens > 0.5 * again.events[0]["usage"]["prompt_tokens"]

    for slot in held:
        go_on(slot, slot)
    slots = cluster.get("/slots").events[0]
    assert [slot["id"] for slot in slots] == list(range(8))
    assert all(slot["n_tokens"] > 0 for slot in slots)
    elsewhere = [slot for slot in held if held[slot].replica != held[0].replica]
    other = elsewhere[0] if elsewhere else 1
    for slot, action in ((0, "save"), (other, "restore")):
        done = cluster.post(f"/slots/{slot}?action={action}", {"filename": "talk"})
        assert (done.status, done.replica) == (200, held[slot].replica), done.events
    go_on(other, 0)
    for slot in held:
        assert cluster.post(f"/slots/{slot}?action=erase", {}).status == 200


def test_bad_requests_are_told_so(cluster):
    assert cluster.get("/health").events == [{"status": "ok"}]
    assert cluster.get("/v1/models/demo").events[0]["id"] == "demo"
    for path, status in {"/v1/models/other": 404, "/v2": 404, "/v1/completions": 405}.items():
        assert cluster.get(path).status == status
    assert cluster.get("/v1/models", {"Origin": "https://a.example"}).status == 403
    for name in ("temperature", "top_p"):
        answer = cluster.complete("x", **{name: -1})
        assert (answer.status, answer.events[0]["error"]["param"]) == (400, name)
    answer = cluster.complete("x", stream=True, dms={"policy": "streamin"})
    assert (answer.status, answer.events[0]["error"]["type"]) == (400, "invalid_request_error")
    answer = cluster.complete("x " * 5000)
    assert answer.status == 400


def test_prompts_with_the_same_beginning_meet_their_prefix(cluster, expected):
    """Each document is computed by one replica, whichever it is, and found there by later turns."""
    for document in ("A " + LONG, "B " + LONG, "C " + LONG, "D " + LONG):
        first = cluster.complete(document)
        assert first.cached_tokens < 8
        for turn in range(3):
            prompt = f"{document} And {turn}"
            again = cluster.complete(prompt)
            assert again.replica == first.replica
            assert again.cached_tokens > 0.5 * again.events[0]["usage"]["prompt_tokens"]
            assert again.text == expected(prompt)


def test_other_prompts_go_to_all_replicas(cluster):
    seen = set()
    for number in range(100):
        seen.add(cluster.complete(f"{number} ships", max_tokens=1).replica)
        if len(seen) == cluster.replicas:
            return
    pytest.fail(f"only {seen} answered")


def test_a_client_that_goes_has_its_request_ended(cluster):
    def generated() -> int:
        until(cluster.is_idle)
        return sum(stats["generated_tokens"] for stats in cluster.stats().values())

    before = generated()
    body = {"prompt": PROMPTS[0], "max_tokens": 4000, "ignore_eos": True, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=HANG_GUARD_S)
    with closing(connection):
        connection.request("POST", "/v1/completions", json.dumps(body))
        assert connection.getresponse().readline().startswith(b"data: ")
    assert 0 < generated() - before < 4000


def test_a_killed_replica_takes_with_it_what_it_computes_and_nothing_else(
    cluster, expected, expected_after
):
    """It is stopped in the middle of streams first, so that it is known what it has begun."""
    document = "K " + LONG
    victim = cluster.complete(document).replica
    stories = put_until(cluster, {victim})
    pid = until(lambda: cluster.stats().get(victim))["pid"]
    endless = {"max_tokens": 3900}
    streams = [Answer() for _ in range(3)]
    begun, others = Answer(), [Answer() for _ in range(10)]
    with ThreadPoolExecutor(len(streams) + 1 + len(others)) as pool:
        jobs = [
            pool.submit(cluster.complete, f"{document} {i}", answer, stream=True, **endless)
            for i, answer in enumerate(streams)
        ]
        jobs.append(pool.submit(cluster.complete, f"{document} w", begun, **endless))

        def have_begun() -> bool:
            assert not any(job.done() for job in jobs)
            is_streaming = all(len(answer.events) > 1 for answer in streams)
            return is_streaming and cluster.ongoing(victim) == len(jobs)

        until(have_begun)
        assert {answer.replica for answer in streams} == {victim}
        os.kill(pid, signal.SIGSTOP)
        try:
            jobs += [
                pool.submit(cluster.complete, f"{i} {PROMPTS[0]}", answer, stream=i % 2 == 0)
                for i, answer in enumerate(others)
            ]
            until(lambda: any(answer.is_over for answer in others))
        finally:
            os.kill(pid, signal.SIGKILL)
        for job in jobs:
            job.result(HANG_GUARD_S)

    for i, answer in enumerate(others):
        assert (answer.status, answer.text) == (200, expected(f"{i} {PROMPTS[0]}"))
        assert answer.replica != victim
    assert begun.status == 503
    assert int(begun.headers["retry-after"]) > 0
    assert begun.events[0]["error"]["code"] == "replica_lost"
    for answer in streams:
        assert answer.status == 200
        assert answer.events[-1]["error"]["code"] == "replica_lost"
        assert answer.text

    until(lambda: len(set(cluster.stats()) - {victim}) == cluster.replicas)
    again = cluster.complete(document)
    assert (again.status, again.text) == (200, expected(document))
    assert cluster.complete(document).replica == again.replica
    for name in stories:  # the folder has those of the one that is gone
        answer = cluster.complete(" And then", dms={"document": name})
        assert (answer.status, answer.text) == (200, expected_after(name))


def test_nothing_of_it_is_left_behind(cluster):
    """All that was asked for has ended, also on the replicas that lived on."""
    until(cluster.is_idle)
