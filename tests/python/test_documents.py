"""`dms document` and `dms chat --document`: a conversation that goes on from a file is that of the
whole, whoever made the file, and what is no document is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import DEMO, run_dms, run_ok
from serving import serving

STORY = "It was a dark night, and the old man sat by the fire. " * 10
OPTIONS = ("--template", "plain", "--dtype", "f32")
TALK = (*OPTIONS, "--greedy", "-n", 10, "--ignore-eos")
QUESTIONS = ["Who sat by the fire?", "And then?"]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    file = tmp_path / "story.txt"
    file.write_text(STORY)
    return file


def make(file: Path, *args: object) -> dict:
    return json.loads(run_ok("document", DEMO, file, *args, "--dtype", "f32", "--json"))


def talk(saved: Path, lines: list[str], *args: object) -> list[dict]:
    """The conversation as /save writes it."""
    run_ok("chat", DEMO, *TALK, *args, stdin="\n".join([*lines, f"/save {saved}"]))
    return json.loads(saved.read_text())


def refused(*args: object, stdin: str = "") -> str:
    done = run_dms(*args, stdin=stdin)
    assert done.returncode == 2, done.stderr.decode()
    return done.stderr.decode()


@pytest.mark.parametrize("policy", ["dms", "none"])
def test_a_conversation_is_that_of_the_whole(tmp_path, story, policy):
    file = tmp_path / "story.dmsdoc"
    made = make(file, "--template", "plain", "--text-file", story, "--policy", policy)
    assert made["form"] == "messages"
    assert made["file_bytes"] == file.stat().st_size
    assert 0 < made["kv"]["held_tokens"] <= made["kv"]["dense_tokens"]
    lines = [QUESTIONS[0], "/undo", *QUESTIONS, "/retry", "/undo"]
    whole = talk(tmp_path / "a.json", lines, "--system", STORY, "--policy", policy)
    assert whole == talk(tmp_path / "b.json", lines, "--document", file)
    again = talk(tmp_path / "c.json", ["Hello", "/reset", *lines], "--document", file)
    assert again == whole, "what stays is the document"
    stats = run_ok("chat", DEMO, *TALK, "--document", file, stdin=f"{QUESTIONS[0]}\n/stats")
    prefill = int(stats.split("last turn: prefill ")[1].split()[0])
    assert 0 < prefill < made["tokens"] / 4, "its tokens are not computed again"


def test_a_ranked_one_is_half_as_large_and_saved_with_the_conversation(tmp_path, story):
    file, saved = tmp_path / "story.dmsdoc", tmp_path / "saved"
    half = ("--policy", "snapkv", "--policy-args", "compression_ratio=0.75")
    messages = tmp_path / "messages.json"
    beginning = [
        {"role": "user", "content": STORY},
        {"role": "assistant", "content": "I see.", "name": "it"},
    ]
    messages.write_text(json.dumps(beginning))
    made = make(file, "--template", "plain", "--messages", messages, *half)
    assert made["kv"]["held_tokens"] < made["kv"]["dense_tokens"] / 2
    chat = ("chat", DEMO, *TALK)
    lines = "\n".join([QUESTIONS[0], f"/save {saved}", QUESTIONS[1]])
    answers = run_ok(*chat, "--document", file, stdin=lines)
    held = json.loads((saved / "conversation.json").read_text())
    assert held["messages"][:3] == [*beginning, {"role": "user", "content": QUESTIONS[0]}]
    assert held["beginning"] == 2
    later = run_ok(*chat, "--load", saved, stdin=QUESTIONS[1])
    assert answers.endswith(later)
    # A question that was undone leaves what the document says alone.
    undone = run_ok(*chat, "--document", file, stdin="/undo\n/retry\n")
    assert undone == "nothing to undo\nnothing to answer again\n"
    error = refused(*chat, "--document", file, stdin=f"Hello\n/save {tmp_path / 'x.json'}")
    assert "where this document ends" in error


def test_the_server_has_what_the_program_wrote_and_the_other_way_round(tmp_path, story):
    body = {"messages": [{"role": "system", "content": STORY}]}
    make(tmp_path / "ours.dmsdoc", "--template", "plain", "--text-file", story)
    with serving(*OPTIONS, "--documents", tmp_path) as server:
        listed = json.loads(server.request("GET", "/documents")[2])["data"]
        assert [entry["name"] for entry in listed] == ["ours"]
        assert server.request("PUT", "/documents/theirs", body)[0] == 201
        url = ("--url", server.url, "--greedy", "-n", 10)
        remote = [
            run_ok("chat", *url, "--document", name, stdin=QUESTIONS[0])
            for name in ("ours", "theirs")
        ]
        assert remote[0] == remote[1]
        unknown = run_dms("chat", *url, "--document", "none", stdin="Hello")
        assert unknown.returncode == 1
        assert b"dms.document: there is none of this name" in unknown.stderr
    local = ("chat", DEMO, *OPTIONS, "--greedy", "-n", 10)
    for name in ("ours", "theirs"):
        file = tmp_path / f"{name}.dmsdoc"
        assert run_ok(*local, "--document", file, stdin=QUESTIONS[0]) == remote[0]


@pytest.mark.parametrize("source", ["--prompt-file", "--ids", "--text-file"])
def test_one_of_a_prompt_is_for_completions(tmp_path, story, source):
    ids = json.loads(run_ok("tokenize", DEMO, "--text-file", story, "--json"))["ids"]
    given = story
    if source == "--ids":
        given = tmp_path / "ids.json"
        given.write_text(json.dumps(ids))
    # The demo has no template: there a text is a prompt too.
    file = tmp_path / "a.dmsdoc"
    made = make(file, source, given)
    assert (made["form"], made["tokens"]) == ("prompt", len(ids))
    error = refused("chat", DEMO, *OPTIONS, "--document", file, stdin="Hello")
    assert "was made of a prompt" in error
    with serving(*OPTIONS, "--documents", tmp_path) as server:
        answer = server.complete(" The", dms={"document": "a"}, max_tokens=4)
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == len(ids)


def test_what_is_wrong_is_refused(tmp_path, story):
    file = tmp_path / "a.dmsdoc"
    base = ("document", DEMO, file)
    assert "is made of one of them (got none)" in refused(*base)
    assert "got several" in refused(*base, "--text-file", story, "--prompt-file", story)
    assert "--template" in refused(*base, "--prompt-file", story, "--template", "plain")
    assert "forced" in refused(*base, "--prompt-file", story, "--policy", "forced")
    bad = tmp_path / "bad.json"
    for text in ("[]", "{}", '[{"role": "user"}]', '["x"]', "no"):
        bad.write_text(text)
        assert str(bad) in refused(*base, "--template", "plain", "--messages", bad)
    long = tmp_path / "long.txt"
    long.write_text("word " * 20_000)
    assert "context" in refused(*base, "--prompt-file", long)
    last = tmp_path / "last.jinja"
    last.write_text("{{ messages[-1].content }}{{ messages[0].content }}")
    error = refused(*base, "--template", last, "--text-file", story)
    assert "does not write them first" in error
    assert not file.exists()
    nowhere = tmp_path / "no" / "a"
    assert str(nowhere) in refused("document", DEMO, nowhere, "--prompt-file", story)

    make(file, "--template", "plain", "--text-file", story)
    chat = ("chat", DEMO, *OPTIONS, "--document")
    for option in (("--system", "x"), ("--policy", "none"), ("--window", 5), ("--load", "x")):
        assert f"{option[0]}: cannot be chosen" in refused(*chat, file, *option)
    assert "no such file" in refused(*chat, tmp_path / "none")
    assert "is empty" in refused(*chat, "")
    other = tmp_path / "other.jinja"
    other.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}")
    mismatched = ("chat", DEMO, "--template", other, "--dtype", "f32", "--document", file)
    assert "does not begin with the document" in refused(*mismatched, stdin="Hello")
    assert "another model, or other types" in refused(
        "chat", DEMO, "--template", "plain", "--document", file
    )
    data = file.read_bytes()
    for damaged in (data[:100], data[:-50], data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]):
        file.write_bytes(damaged)
        assert str(file) in refused(*chat, file, stdin="Hello")
    run_ok("chat", DEMO, *TALK, stdin=f"Hello\n/save {tmp_path / 'talk'}")
    assert "is no document" in refused(*chat, tmp_path / "talk" / "session.dms")
