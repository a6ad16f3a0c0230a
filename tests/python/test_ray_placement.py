"""What the Ray application does without Ray: chooses replicas, makes one answer of theirs."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from dms_ray.calls import leading_text, object_of, pin_of
from dms_ray.errors import ApiError
from dms_ray.merged import merge
from dms_ray.placement import Candidate, Placement, free_kv_share, owner_of
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


def test_settings_are_options_of_engine_and_endpoints(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }}")
    engine = EngineSettings("m/x", chat_template=str(template), tool_parser="hermes", slots=2)
    assert not engine.engine_options().keys() & engine.api_options().keys()
    api = engine.api_options()
    assert (api["served_model_name"], api["chat_template"]) == ("x", "{{ messages }}")
    assert (api["tool_parser"], api["slots"]) == ("hermes", 2)
    assert replace(engine, chat_template="plain").api_options()["chat_template"] == "plain"
    assert replace(engine, chat_template="").api_options()["chat_template"] is None


USER = {"role": "user", "content": "Hello"}
CHAT = "/v1/chat/completions"


def beginning(path: str = CHAT, most: int = 10_000, **fields: object) -> str:
    return leading_text(path, {"messages": [USER], **fields}, most)


def test_a_conversation_begins_as_its_earlier_turns():
    more = [USER, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "So?"}]
    assert beginning(messages=more).startswith(beginning())
    # The same words of another API: where they are the same prompt they meet.
    assert beginning("/v1/messages") == beginning()
    assert beginning("/v1/responses", input=more) == beginning(messages=more)
    many = beginning(messages=[USER] * 100, most=100)
    assert 100 <= len(many) < 200
    assert beginning(messages=[USER] * 100).startswith(many)


@pytest.mark.parametrize(
    "field",
    [
        {"dms": {"policy": "none"}},
        {"dms": {"window": 64}},
        {"chat_template_kwargs": {"a": 1}},
        {"tools": [{"name": "f"}]},
        {"system": "Be brief."},
        {"instructions": "Be brief."},
    ],
    ids=lambda field: next(iter(field)),
)
def test_what_stands_before_the_prompt_begins_it(field):
    assert not beginning(**field).startswith(beginning()[:10])
    assert beginning(**field) == beginning(**field, temperature=1, user="x")


def test_prompts_of_other_kinds():
    path = "/v1/completions"
    assert leading_text(path, {"prompt": "It was"}, 9) == "It was"
    assert leading_text(path, {"prompt": [1, 2]}, 1) == "[1, 2]"
    assert leading_text("/tokenize", {"prompt": "It was"}, 9) == ""
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert leading_text(path, {"prompt": deep}, 9) == ""


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'"x"'])
def test_a_body_without_an_object_has_no_beginning(body):
    assert object_of(body) == {}


PINS = [
    ("/documents/a%20b", {}, "/documents/a b"),
    ("/documents/a?x=1", {}, "/documents/a"),
    ("/slots/2?action=save", {}, "/slots/2"),
    (CHAT, {"dms": {"document": "a b"}}, "/documents/a b"),
    ("/v1/messages", {"id_slot": 2}, "/slots/2"),
    (CHAT, {"id_slot": -1, "dms": {"document": "d"}}, "/documents/d"),
    (CHAT, {"id_slot": -1}, ""),
    (CHAT, {"id_slot": "x", "dms": [1]}, ""),
    (CHAT, {"dms": {"document": 1}}, ""),
    ("/documents", {}, ""),
]


@pytest.mark.parametrize(("target", "body", "pin"), PINS, ids=range(len(PINS)))
def test_requests_for_the_same_document_or_slot_meet(target, body, pin):
    assert pin_of(target, body) == pin


def test_what_lies_on_two_replicas_is_not_asked_for_at_once():
    with pytest.raises(ApiError, match="id_slot") as caught:
        pin_of(CHAT, {"id_slot": 0, "dms": {"document": "d"}})
    assert caught.value.status == 400


def test_an_owner_keeps_what_it_has_when_others_come_and_go():
    pins = [f"/documents/{i}" for i in range(300)]
    before = {pin: owner_of(pin, "abc") for pin in pins}
    assert all(list(before.values()).count(replica) > 50 for replica in "abc")
    assert all(owner_of(pin, "cba") == owner for pin, owner in before.items())
    assert all(owner_of(pin, "ab") == owner for pin, owner in before.items() if owner != "c")
    assert {owner_of(pin, "abcd") for pin in pins if owner_of(pin, "abcd") != before[pin]} == {"d"}


METRICS = """# HELP dms:running Now
# TYPE dms:running gauge
dms:running{{model_name="m"}} {0}
# HELP dms:wait_seconds Before
# TYPE dms:wait_seconds histogram
dms:wait_seconds_bucket{{model_name="m",le="+Inf"}} {0}
dms:wait_seconds_count {0}
"""


def test_metrics_of_all_replicas_carry_their_names():
    texts = {replica: METRICS.format(n).encode() for replica, n in (("b", 2), ("a", 1))}
    body, kind = merge("/metrics", texts)
    assert kind.startswith("text/plain")
    assert (
        body.decode()
        == """# HELP dms:running Now
# TYPE dms:running gauge
dms:running{replica="a",model_name="m"} 1
dms:running{replica="b",model_name="m"} 2
# HELP dms:wait_seconds Before
# TYPE dms:wait_seconds histogram
dms:wait_seconds_bucket{replica="a",model_name="m",le="+Inf"} 1
dms:wait_seconds_count{replica="a"} 1
dms:wait_seconds_bucket{replica="b",model_name="m",le="+Inf"} 2
dms:wait_seconds_count{replica="b"} 2
"""
    )


def test_lists_hold_what_requests_reach():
    names = [f"d{i}" for i in range(20)]
    listed = {"data": [{"name": name} for name in names]}
    body, _ = merge("/documents", {replica: json.dumps(listed).encode() for replica in "ab"})
    assert [entry["name"] for entry in json.loads(body)["data"]] == sorted(names)
    slots = {
        replica: json.dumps([{"id": i, "of": replica} for i in range(8)]).encode()
        for replica in "ab"
    }
    merged = json.loads(merge("/slots", slots)[0])
    assert [slot["id"] for slot in merged] == list(range(8))
    assert [slot["of"] for slot in merged] == [owner_of(f"/slots/{i}", "ab") for i in range(8)]


def test_errors_say_when_to_try_again():
    assert ApiError(503, "x").headers() == {"Retry-After": "5"}
    assert ApiError(429, "x").headers() == {"Retry-After": "1"}
    assert ApiError(400, "x").headers() == {}


def test_errors_are_in_the_words_of_the_api():
    error = ApiError(503, "gone", code="replica_lost")
    assert error.body(CHAT)["error"]["code"] == "replica_lost"
    assert error.body("/v1/messages/count_tokens") == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "gone"},
    }
    assert error.last_events(CHAT, 3).endswith(b"}\n\ndata: [DONE]\n\n")
    assert error.last_events("/v1/messages", 3).startswith(b'event: error\ndata: {"type": "error"')
    name, _, data = error.last_events("/v1/responses", 3).decode().partition("\n")
    event = json.loads(data.removeprefix("data: "))
    assert (name, event["type"], event["sequence_number"]) == ("event: error", "error", 3)
