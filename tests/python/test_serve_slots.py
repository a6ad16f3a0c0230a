"""Slots of `dms serve`: what a conversation has computed stays, and outlives the server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness import DEMO, run_dms
from serving import Server, serving

STORY = "It was a dark night, and the old man sat by the fire. " * 8
GREEDY = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}
OPTIONS = ("--template", "plain", "--no-prefix-cache")


def say(server: Server, messages: list[dict], **fields) -> dict:
    return server.post("/v1/chat/completions", {"messages": messages, **GREEDY, **fields})


def turn(messages: list[dict], answer: dict) -> list[dict]:
    """With the answer and another question."""
    said = answer["choices"][0]["message"]["content"].strip()
    return [
        *messages,
        {"role": "assistant", "content": said},
        {"role": "user", "content": "And then?"},
    ]


def cached(answer: dict) -> int:
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def act(server: Server, slot: object, action: str, **body) -> tuple[int, dict]:
    status, _, text = server.request("POST", f"/slots/{slot}?action={action}", body)
    return status, json.loads(text)


@pytest.mark.parametrize("policy", ["dms", "snapkv"])
def test_a_conversation_goes_on_in_another_process(tmp_path: Path, policy: str):
    arguments = ("--policy-args", "compression_ratio=0.5") if policy == "snapkv" else ()
    options = (*OPTIONS, "--slot-save-path", tmp_path, "--policy", policy, *arguments)
    first = [{"role": "user", "content": STORY}]
    with serving(*options) as server:
        begun = say(server, first, id_slot=1)
        assert cached(begun) == 0
        second = turn(first, begun)
        status, saved = act(server, 1, "save", filename="talk.bin")
        assert status == 200
        prompt = begun["usage"]["prompt_tokens"]
        assert saved["n_saved"] == prompt + GREEDY["max_tokens"] - 1
        assert saved["n_written"] == (tmp_path / "talk.bin").stat().st_size
        assert (saved["id_slot"], saved["filename"]) == (1, "talk.bin")
        assert saved["timings"]["save_ms"] >= 0
        assert server.metric("dms:slots_filled") == server.metric("dms:slot_saves_total") == 1
        assert server.metric("dms:slot_bytes") > 0
        without = say(server, second)
        expected = say(server, second, id_slot=1)
        assert cached(without) == 0
        assert cached(expected) >= prompt
        assert server.metric("dms:slot_requests_total") == 2
        assert server.metric("dms:slot_hits_total") == 1
        if policy == "dms":
            # A policy that ranks at the end of prompts holds another cache of one long prompt.
            assert expected["choices"] == without["choices"]
        assert server.stop() == 0, server.log()
    with serving(*options) as server:
        status, restored = act(server, 3, "restore", filename="talk.bin")
        assert status == 200
        assert restored["n_restored"] == saved["n_saved"]
        assert restored["n_read"] == saved["n_written"]
        assert server.metric("dms:slot_restores_total") == 1
        again = say(server, second, id_slot=3)
        assert again["choices"] == expected["choices"]
        assert cached(again) == cached(expected)
        slots = json.loads(server.request("GET", "/slots")[2])
        assert [slot["id"] for slot in slots] == list(range(8))
        assert [slot["n_tokens"] > 0 for slot in slots] == [i == 3 for i in range(8)]
        assert act(server, 3, "erase")[1] == {"id_slot": 3, "n_erased": slots[3]["n_tokens"]}
        assert cached(say(server, second, id_slot=3)) == 0
        assert server.stop() == 0, server.log()


def test_what_is_wrong_is_refused(tmp_path: Path):
    folder, outside = tmp_path / "slots", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"mine")
    os.symlink(outside, folder / "link")
    (folder / "damaged").write_bytes(b"DMSSEQ01" + b"\xff" * 5000)
    with serving(*OPTIONS, "--slot-save-path", folder, "--slots", 2) as server:
        assert act(server, 0, "save", filename="a")[0] == 400, "it is empty"
        say(server, [{"role": "user", "content": "Hello"}], id_slot=0)
        names = ["", ".", "..", "../outside", "/etc/passwd", "a/b", "a\x00b", "a" * 129, "link", 5]
        for name in names:
            for action in ("save", "restore"):
                status, answer = act(server, 0, action, filename=name)
                assert status == 400, (name, action)
                assert "filename" in answer["error"]["message"]
        assert outside.read_bytes() == b"mine"
        assert act(server, 0, "restore", filename="none")[0] == 404
        status, answer = act(server, 0, "restore", filename="damaged")
        assert status == 400
        assert str(folder) not in answer["error"]["message"]
        for slot in (2, -1, "x", "99999999999999999999", "0/0"):
            assert act(server, slot, "erase")[0] == 404, slot
        for action in ("", "copy", "save%00"):
            assert act(server, 0, action, filename="a")[0] == 400, action
        for body in (b"", b"no json", b"[]"):
            assert server.request("POST", "/slots/0?action=save", body)[0] == 400, body
        status, _, _ = server.request("POST", "/v1/completions", {"prompt": "x", "id_slot": 2})
        assert status == 400
        many = {"prompt": ["x", "y"], "id_slot": 0}
        assert server.request("POST", "/v1/completions", many)[0] == 400
        assert act(server, 0, "save", filename="a")[0] == 200
        assert sorted(os.listdir(folder)) == ["a", "damaged", "link"]
        assert server.stop() == 0, server.log()


def test_without_a_folder_nothing_is_written(tmp_path: Path):
    with serving(*OPTIONS) as server:
        say(server, [{"role": "user", "content": "Hello"}], id_slot=0)
        for action in ("save", "restore"):
            status, answer = act(server, 0, action, filename="a")
            assert status == 501
            assert "--slot-save-path" in answer["error"]["message"]
        assert act(server, 0, "erase")[0] == 200
    for option in ("--slot-save-path", "--documents"):
        done = run_dms("serve", DEMO, option, tmp_path / "none")
        assert done.returncode == 2
        assert f"dms: error: {option}: is no folder" in done.stderr.decode()


def test_slots_and_documents_lie_in_two_folders(tmp_path: Path):
    """A slot that is saved as NAME.dmsdoc would take a document's place."""
    done = run_dms("serve", DEMO, "--documents", tmp_path, "--slot-save-path", f"{tmp_path}/.")
    assert done.returncode == 2
    assert "--slot-save-path: is the folder of --documents" in done.stderr.decode()


def test_a_slot_without_room_is_empty_and_the_answer_stays():
    with serving(*OPTIONS, "--slot-memory", "1KiB") as server:
        answer = say(server, [{"role": "user", "content": STORY}], id_slot=0)
        assert answer["choices"][0]["message"]["content"]
        assert json.loads(server.request("GET", "/slots")[2])[0] == {"id": 0, "n_tokens": 0}


def chat_bytes() -> int:
    """Of the pages that hold TALK under the policy `none`."""
    with serving(*OPTIONS) as server:
        body = {"messages": TALK, "dms": {"policy": "none"}}
        return json.loads(server.request("PUT", "/documents/a", body)[2])["bytes"]


TALK = [{"role": "user", "content": STORY * 4}]
NONE = {"policy": "none"}


def test_a_slot_is_restored_beside_cached_prefixes_but_not_beside_documents(tmp_path: Path):
    room = chat_bytes() * 7 // 4
    options = ("--kv-memory", room, "--slot-memory", room, "--document-memory", room)
    with serving("--template", "plain", *options, "--slot-save-path", tmp_path) as server:
        say(server, TALK, id_slot=0, dms=NONE)
        assert act(server, 0, "save", filename="talk")[0] == 200
        for number in range(3):
            act(server, 0, "erase")
            other = [{"role": "user", "content": f"{number} " + STORY * 3}]
            say(server, other, dms=NONE)
            # What that one left in the cache of prefixes goes.
            assert act(server, 0, "restore", filename="talk")[0] == 200
        act(server, 0, "erase")
        document = {"messages": TALK, "dms": NONE}
        assert server.request("PUT", "/documents/a", document)[0] == 201
        status, headers, text = server.request(
            "POST", "/slots/0?action=restore", {"filename": "talk"}
        )
        assert status == 503, text
        assert int(headers["Retry-After"]) > 0
        assert server.request("DELETE", "/documents/a")[0] == 200
        assert act(server, 0, "restore", filename="talk")[0] == 200
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("stream", [False, True])
def test_slots_give_way_to_a_request_that_comes_again(stream: bool):
    room = chat_bytes() * 11 // 4
    with serving(*OPTIONS, "--kv-memory", room, "--slot-memory", room) as server:
        for slot in (0, 1):
            say(server, TALK, id_slot=slot, dms=NONE)
        body = {"messages": TALK, **GREEDY, "dms": NONE, "stream": stream}
        _, headers, text = server.request("POST", "/v1/chat/completions", body)
        assert "service_unavailable" in text
        assert stream or int(headers["Retry-After"]) > 0
        slots = json.loads(server.request("GET", "/slots")[2])
        assert [slot["n_tokens"] > 0 for slot in slots[:2]] == [False, True]
        say(server, TALK, dms=NONE)
        assert server.stop() == 0, server.log()
