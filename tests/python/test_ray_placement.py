"""What the Ray application decides without Ray: which replica, and what a request asks for."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from dms_ray.asks import Ask, parse_chat, parse_completion
from dms_ray.errors import ApiError
from dms_ray.fields import parse_object
from dms_ray.placement import Candidate, Placement, free_kv_share
from dms_ray.prefixes import PrefixTable, block_hashes
from dms_ray.settings import EngineSettings, RoutingSettings, read_settings

ROUTING = RoutingSettings(max_imbalance=4, min_free_kv=0.1, max_waiting=2)


def best(candidates: list[Candidate], rng: random.Random | None = None) -> set[str]:
    """The group that is tried first."""
    return set(Placement(ROUTING, rng or random.Random(1)).ranks(candidates)[0])


def test_texts_that_begin_alike_share_their_first_hashes(rng):
    for _ in range(200):
        shared = "".join(rng.choices("abü", k=rng.randrange(60)))
        texts = [shared + end + "".join(rng.choices("abü", k=rng.randrange(60))) for end in "xy"]
        first, second = (block_hashes(text, 8, 5) for text in texts)
        assert len(first) == min(len(texts[0]) // 8, 5)
        common = sum(a == b for a, b in zip(first, second, strict=False))
        assert common == min(len(shared) // 8, 5, len(first), len(second))
        assert first[:common] == second[:common]


def test_the_table_forgets_the_ends_of_prefixes_first():
    table = PrefixTable(max_remembered=4)
    table.insert("a", [1, 2, 3])
    assert [table.matched("a", hashes) for hashes in ([1, 2, 3, 9], [1, 9, 3], [9], [])] == [
        3,
        1,
        0,
        0,
    ]
    table.insert("a", [11, 12])
    assert table.remembered("a") == 4
    assert table.matched("a", [1, 2, 3]) == 2
    assert table.matched("a", [11, 12]) == 2
    assert table.matched("b", [11]) == 0


def test_the_table_is_bounded_and_forgets_replicas(rng):
    table = PrefixTable(max_remembered=50)
    for _ in range(300):
        table.insert(rng.choice("abc"), [rng.randrange(1000) for _ in range(rng.randrange(80))])
        assert all(table.remembered(replica) <= 50 for replica in "abc")
    table.forget("a")
    table.keep_only({"b"})
    assert (len(table), table.remembered("a"), table.remembered("c")) == (1, 0, 0)
    assert table.remembered("b") > 0


def test_the_longest_prefix_wins():
    candidates = [Candidate("a", matched_blocks=1), Candidate("b", matched_blocks=3, ongoing=4)]
    candidates += [Candidate("c"), Candidate("d", matched_blocks=3)]
    assert best(candidates) == {"b", "d"}


def test_a_popular_prefix_spreads_where_its_replica_is_busy():
    owner, idle = Candidate("a", matched_blocks=9, ongoing=4), Candidate("b")
    assert best([owner, idle]) == {"a"}
    assert best([replace(owner, ongoing=5), idle]) == {"a", "b"}  # and the least busy is taken
    others = [replace(idle, matched_blocks=2), Candidate("c", matched_blocks=1)]
    assert best([replace(owner, ongoing=5), *others]) == {"b"}


@pytest.mark.parametrize("short", [{"free_kv": 0.05}, {"waiting": 3}])
def test_who_is_short_of_memory_gets_nothing_while_others_have_some(short):
    full = replace(Candidate("a", matched_blocks=9), **short)
    assert best([full, Candidate("b", free_kv=0.5, waiting=2)]) == {"b"}
    assert best([full, replace(full, replica="b", matched_blocks=1)]) == {"a"}


def test_without_a_prefix_two_are_chosen_at_random(rng):
    candidates = [Candidate(name) for name in "abcd"]
    pairs = {frozenset(best(candidates, rng)) for _ in range(300)}
    assert {len(pair) for pair in pairs} == {2}
    assert len(pairs) == 6


def test_every_replica_is_in_some_group(rng):
    for _ in range(300):
        candidates = [
            Candidate(
                name,
                matched_blocks=rng.randrange(3),
                ongoing=rng.randrange(12),
                free_kv=rng.choice([None, 0.0, 0.5]),
                waiting=rng.randrange(6),
            )
            for name in "abcde"[: rng.randrange(6)]
        ]
        ranks = Placement(ROUTING, rng).ranks(candidates)
        assert all(ranks)
        assert {name for group in ranks for name in group} == {c.replica for c in candidates}


def test_free_memory_is_what_running_requests_leave():
    assert free_kv_share({"kv_limit_bytes": 1000, "kv_running_bytes": 250}) == 0.75
    assert free_kv_share({"kv_limit_bytes": 1000, "kv_running_bytes": 1100}) == 0
    assert free_kv_share({"kv_limit_bytes": 0, "kv_running_bytes": 250}) is None
    assert free_kv_share({}) is None


def test_settings_are_checked_by_name():
    engine, routing = read_settings({"model": "/m/x", "kv_memory": "2GiB", "routing": {}})
    assert (engine.name, engine.kv_memory, routing) == ("x", "2GiB", RoutingSettings())
    assert "model" not in EngineSettings("m").engine_options()
    for args, message in {
        '{"model": "m", "kv_memori": 1}': "did you mean kv_memory",
        '{"model": "m", "routing": {"block_char": 1}}': "did you mean block_chars",
        '{"model": "m", "routing": {"block_chars": 0}}': "at least 1",
        '{"model": "m", "routing": {"min_free_kv": 2}}': "0 to 1",
        "{}": "model: missing",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_settings(json.loads(args))


def test_a_request_becomes_sampling_parameters():
    ask = parse_completion(
        {
            "model": "demo",
            "prompt": ["It was"],
            "max_tokens": 5,
            "temperature": 0,
            "top_k": -1,
            "seed": -1,
            "stop": "x",
            "logit_bias": {"7": -100},
            "user": "ignored",
            "stream": True,
            "stream_options": {"include_usage": True},
            "dms": {"policy": "streaming", "policy_args": {"recent_size": 64}, "speculate": 4},
        }
    )
    assert ask.prompt == "It was"
    assert ask.sampling == {
        "max_tokens": 5,
        "temperature": 0.0,
        "top_k": -1,
        "seed": (1 << 64) - 1,
        "stop": ["x"],
        "logit_bias": {7: -100.0},
        "speculate": 4,
    }
    assert ask.cache == {"policy": "streaming", "policy_args": {"recent_size": 64}}
    assert (ask.stream, ask.include_usage, ask.priority) == (True, True, 0)


def test_a_chat_takes_what_its_template_takes():
    messages = [{"role": "user", "content": "Hello"}]
    body = {"messages": messages, "max_tokens": 5, "max_completion_tokens": 6}
    ask = parse_chat({**body, "chat_template_kwargs": {"enable_thinking": False}})
    assert ask.template == {"chat_template_kwargs": {"enable_thinking": False}}
    assert ask.sampling == {"max_tokens": 6}
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert parse_chat({**body, "tools": tools, "tool_choice": "none"}).template == {}


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMS = [
    ({"response_format": {"type": "text"}}, None),
    ({"response_format": {"type": "json_object"}}, {"json_object": True}),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"json": SCHEMA, "strict": True},
    ),
    (
        {"structured_outputs": {"choice": ["a", "b"]}},
        {"choice": ["a", "b"], "disable_any_whitespace": False},
    ),
    (
        {"structured_outputs": {"regex": "a+", "disable_any_whitespace": True}},
        {"regex": "a+", "disable_any_whitespace": True},
    ),
    ({"structured_outputs": {"json_object": False}}, None),
]


@pytest.mark.parametrize(("fields", "form"), FORMS, ids=range(len(FORMS)))
def test_an_answers_form_is_passed_on(fields, form):
    ask = parse_completion({"prompt": "x", **fields})
    assert ask.sampling.get("structured_outputs") == form


def beginning(**fields: object) -> str:
    body = {"messages": [{"role": "user", "content": "Hi"}], **fields}
    return parse_chat(body).leading_text(10_000)


def test_a_conversation_begins_as_its_earlier_turns():
    first = {"role": "user", "content": "Hello"}
    more = [first, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "So?"}]
    assert beginning(messages=more).startswith(beginning(messages=[first]))
    assert beginning(dms={"policy": "none"}) != beginning()
    assert beginning(chat_template_kwargs={"a": 1}) != beginning()
    assert Ask("text", None, prompt=[1, 2]).leading_text(1) == "[1, 2]"
    many = parse_chat({"messages": [first] * 100}).leading_text(100)
    assert 100 <= len(many) < 200
    assert beginning(messages=[first] * 100).startswith(many)


BAD = [
    ("prompt", None),
    ("prompt", ""),
    ("prompt", ["a", "b"]),
    ("prompt", [1, "a"]),
    ("prompt", [True]),
    ("max_tokens", 0),
    ("max_tokens", 1.5),
    ("max_tokens", True),
    ("n", 17),
    ("temperature", "hot"),
    ("temperature", 10**400),
    ("stop", [1]),
    ("stop", ["x"] * 17),
    ("stop_token_ids", ["x"]),
    ("logit_bias", {"x": 1}),
    ("logit_bias", {"1": "x"}),
    ("stream", "yes"),
    ("stream_options", {"include_usage": 1}),
    ("priority", 1 << 40),
    ("model", 5),
    ("echo", True),
    ("logprobs", 1),
    ("suffix", "x"),
    ("response_format", {"type": "yaml"}),
    ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "json_schema", "json_schema": {"schema": 1}}),
    ("structured_outputs", {}),
    ("structured_outputs", {"regex": "a", "grammar": "b"}),
    ("structured_outputs", {"regex": 1}),
    ("structured_outputs", {"choice": "a"}),
    ("structured_outputs", {"yaml": "a"}),
    ("id_slot", 0),
    ("dms", 1),
    ("dms", {"policy": "forced"}),
    ("dms", {"policy": 1}),
    ("dms", {"policy_args": {"a": []}}),
    ("dms", {"window": -1}),
    ("dms", {"speculate": 33}),
    ("dms", {"document": "d"}),
    ("dms", {"polcy": "none"}),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BAD)])
def test_a_bad_field_is_named(name, value):
    with pytest.raises(ApiError) as caught:
        parse_completion({"prompt": "x", name: value})
    assert caught.value.status == 400
    assert name in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": "x"},
        {"messages": ["x"]},
        {"messages": [{"content": "x"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "required"},
        {"top_logprobs": 2},
        {"chat_template_kwargs": []},
    ],
)
def test_a_bad_chat_is_refused(change):
    with pytest.raises(ApiError) as caught:
        parse_chat({"messages": [{"role": "user", "content": "x"}], **change})
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": NaN}', b"[" * 100_000, b"\xff"])
def test_a_bad_body_is_refused(body):
    with pytest.raises(ApiError, match="body"):
        parse_object(body)


def test_errors_say_when_to_try_again():
    assert ApiError(503, "x").headers() == {"Retry-After": "5"}
    assert ApiError(429, "x").headers() == {"Retry-After": "1"}
    assert ApiError(400, "x").headers() == {}
    assert ApiError(400, "x", "n").body()["error"]["type"] == "invalid_request_error"
