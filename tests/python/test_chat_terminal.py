"""`dms chat` on a pseudo-terminal: line editing, pastes, Ctrl-C, notes that pipes do not get."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import DEMO, run_dms
from pseudo_terminal import CTRL_C, CTRL_D, HOME, PASTE, TAKEN, UP, Terminal, chats

PLAIN = ("--template", "plain", "--ignore-eos", "--policy", "none", "--threads", "1")
SHORT = (*PLAIN, "--max-new-tokens", "4")
# Longer than any test waits: what ends it is Ctrl-C.
ENDLESS = (*PLAIN, "--max-new-tokens", "100000")


@pytest.fixture
def terminal():
    with chats(DEMO) as start:
        yield start


def questions(chat: Terminal, folder: Path) -> list[str]:
    saved = folder / "saved.json"
    chat.say(f"/save {saved}")
    messages = json.loads(saved.read_text())
    return [message["content"] for message in messages if message["role"] == "user"]


def test_lines_are_edited_and_may_be_long(terminal, tmp_path):
    chat = terminal(*SHORT)
    long = "word " * 1200 + "end"
    chat.say(long)
    chat.say("orld" + HOME + "Héllo w")
    assert questions(chat, tmp_path) == [long, "Héllo world"]
    assert len(long) > 4096


def test_a_paste_keeps_its_lines(terminal, tmp_path):
    chat = terminal(*SHORT)
    chat.say(PASTE.format("one\rtwo\nthree\n") + "four")
    long = "\n".join(f"line {i}" for i in range(100))
    chat.say(PASTE.format(long))
    assert questions(chat, tmp_path) == ["one\ntwo\nthree\nfour", long]


def test_questions_of_several_lines(terminal, tmp_path):
    chat = terminal(*SHORT)
    chat.send("one \\\r")
    chat.wait_for(". ")
    chat.say("two")
    chat.send('"""three\r')
    chat.wait_for(". ")
    chat.send("\r")
    chat.wait_for(". ")
    chat.say('/undo"""')
    assert questions(chat, tmp_path) == ["one \ntwo", "three\n\n/undo"]


def test_the_history_brings_lines_back(terminal, tmp_path):
    chat = terminal(*SHORT)
    chat.say("Who came?")
    chat.say(UP + " And then?")
    assert questions(chat, tmp_path) == ["Who came?", "Who came? And then?"]


def test_ctrl_c_clears_the_line(terminal, tmp_path):
    chat = terminal(*SHORT)
    chat.say("Who ca", CTRL_C)
    chat.send("one \\\r")
    chat.wait_for(TAKEN)
    chat.wait_for(". ")
    chat.say("tw", CTRL_C)
    chat.say("Hello")
    assert questions(chat, tmp_path) == ["Hello"]


def test_ctrl_c_asks_before_it_drops_a_conversation(terminal):
    chat = terminal(*SHORT)
    chat.say("Hello")
    assert "leaves and forgets the conversation" in chat.say("", CTRL_C)
    chat.say("And then?")  # asks anew after anything else
    assert "leaves and forgets the conversation" in chat.say("", CTRL_C)
    chat.send(CTRL_C)
    assert chat.end() == 0


def test_ctrl_c_leaves_where_nothing_is_lost(terminal):
    chat = terminal(*SHORT)
    chat.send(CTRL_C)
    assert chat.end() == 0


def test_ctrl_d_leaves(terminal):
    chat = terminal(*SHORT)
    chat.say("Hello")
    chat.say("", CTRL_C)
    chat.send(CTRL_D)
    assert chat.end() == 0


def test_ctrl_c_stops_an_answer(terminal):
    chat = terminal(*ENDLESS)
    chat.send("It was a dark night.\r")
    chat.wait_for(TAKEN)
    chat.wait_for(" ")
    chat.send(CTRL_C)
    chat.wait_for("[stopped]")
    chat.prompt()
    assert "2 messages" in chat.say("/stats")


# Thousands of tokens, one by one: many seconds in which a busy machine still lets Ctrl-C through.
LONG_QUESTION = "It was a dark night, and who came to the door? " * 250
TOKEN_BY_TOKEN = (*SHORT, "--chunk", "1")


def test_ctrl_c_stops_the_prefill(terminal, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text(LONG_QUESTION)
    chat = terminal(*TOKEN_BY_TOKEN)
    chat.send(f"/read {book}\r")
    chat.wait_for("prefill ")
    chat.send(CTRL_C)
    chat.wait_for("[stopped: the question is not part of the conversation]")
    chat.prompt()
    assert "0 messages, " in chat.say("/stats")
    assert "[cut" in chat.say("Hello")


def test_ctrl_c_stops_a_recomputation(terminal, tmp_path):
    book = tmp_path / "book.txt"
    book.write_text(LONG_QUESTION + "And what did she say to the captain then? " * 10)
    chat = terminal(*SHORT)
    chat.say(f"/read {book}")
    chat.say(f"/save {tmp_path / 'talk'}")
    chat = terminal(*TOKEN_BY_TOKEN)
    chat.say(f"/load {tmp_path / 'talk'}")
    chat.say("/undo")
    book.write_text(LONG_QUESTION)  # what is common is longer ago than the rollback slack
    chat.send(f"/read {book}\r")
    chat.wait_for("prefill ")
    chat.send(CTRL_C)
    chat.wait_for("[stopped: the question is not part of the conversation]")
    chat.prompt()
    assert "0 messages, " in chat.say("/stats")
    assert "[cut" in chat.say("Hello")


def test_an_answer_that_meets_the_memory_limit_is_kept(terminal, tmp_path):
    chat = terminal(*ENDLESS, "--kv-memory", "1MiB")
    printed = chat.say("It was a dark night.")
    assert re.search(r"dms: error: KV memory: limit reached.*answer so far is kept", printed)
    assert "/undo or /reset makes room" in printed
    assert "2 messages" in chat.say("/stats")
    saved = tmp_path / "talk.json"
    chat.say(f"/save {saved}")
    answer = json.loads(saved.read_text())[-1]
    assert answer["role"] == "assistant"
    assert len(answer["content"]) > 100
    assert "/undo or /reset makes room" in chat.say("And then?")
    assert "2 messages" in chat.say("/stats")
    chat.say("/undo")
    chat.send("Hello\r")
    chat.wait_for(TAKEN)
    chat.wait_for("error: KV memory")


def test_answers_cut_by_length_are_marked_on_terminals_only(terminal):
    chat = terminal(*SHORT)
    assert "[cut at 4 tokens; --max-new-tokens raises it]" in chat.say("Hello")
    done = run_dms("chat", *(DEMO, *SHORT), stdin="Hello\n")
    assert b"[cut" not in done.stdout + done.stderr


def test_an_answer_that_fills_the_context_says_so(terminal, tmp_path):
    chat = terminal(*ENDLESS)
    context = json.loads((DEMO / "config.json").read_text())["max_position_embeddings"]
    book = tmp_path / "book.txt"
    book.write_text("a b c d " * (context // 4 - 20))
    printed = chat.say(f"/read {book}")
    assert f"[cut: the model's context of {context} tokens is full; /undo or /reset" in printed
    assert re.search(r"dms: error: .*context", chat.say("And then?"))
    assert "2 messages" in chat.say("/stats")
    chat.say("/undo")
    chat.send("Hello\r")
    chat.wait_for(TAKEN)
    chat.wait_for(" ")
    chat.send(CTRL_C)
    chat.wait_for("[stopped]")


def test_errors_leave_the_conversation_alone(terminal, tmp_path):
    chat = terminal(*SHORT)
    chat.say("Hello")
    for line in ("/save", "/save /nowhere/x.json", "/read /nowhere/x.txt"):
        assert "dms: error: " in chat.say(line)
    long = tmp_path / "long.txt"
    long.write_text("door " * 20000)
    assert re.search(r"dms: error: .*context", chat.say(f"/read {long}"))
    assert questions(chat, tmp_path) == ["Hello"]
