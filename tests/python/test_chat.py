"""`dms chat` in a pipe: its answers against single generations, and every command it obeys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
from harness import DEMO, run_dms, run_ok
from tokenizers import Tokenizer

TOKENS = 12
GREEDY = ("--max-new-tokens", TOKENS, "--ignore-eos", "--dtype", "f32", "--policy", "none")
GROWING = """\
{% for m in messages %}[{{ m.role }}] {{ m.content }}
{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"""
# As templates of reasoning models do: what was answered before is told in a few words.
SHORTENING = GROWING.replace("m.content", "'...' if m.role == 'assistant' else m.content")

Chat = Callable[..., list[dict[str, str]]]


@pytest.fixture(params=[GROWING, SHORTENING], ids=["growing", "shortening"])
def template(request, tmp_path) -> Path:
    path = tmp_path / "template.jinja"
    path.write_text(request.param)
    return path


@pytest.fixture
def chat(tmp_path) -> Chat:
    """chat(template, lines, options) -> the conversation as /save writes it."""

    def talk(template: object, lines: list[str], *options: object) -> list[dict[str, str]]:
        saved = tmp_path / "saved.json"
        script = "\n".join([*lines, f"/save {saved}", "/exit", "never asked"])
        run_ok("chat", DEMO, "--template", template, *GREEDY, *options, stdin=script)
        return json.loads(saved.read_text())

    return talk


def questions(messages: list[dict[str, str]]) -> list[str]:
    return [message["content"] for message in messages if message["role"] == "user"]


def test_every_answer_is_that_of_its_rendered_conversation(chat, template, tmp_path):
    lines = ["It was a dark night.", "Who came to the door?", "And then?"]
    messages = chat(template, lines, "--system", "Tell a story.")
    roles = ["system", *["user", "assistant"] * len(lines)]
    assert [message["role"] for message in messages] == roles
    assert questions(messages) == lines
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    rendering = environment.from_string(template.read_text())
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    ids = tmp_path / "ids.json"
    for turn in range(2, len(messages), 2):
        prompt = rendering.render(messages=messages[:turn], add_generation_prompt=True)
        ids.write_text(json.dumps(tokenizer.encode(prompt, add_special_tokens=False).ids))
        report = json.loads(run_ok("generate", DEMO, "--ids", ids, *GREEDY, "--json"))
        assert messages[turn]["content"] == report["text"].lstrip(" \n"), f"turn {turn // 2}"


def test_each_line_of_a_pipe_is_answered(dms, chat):
    options = ("--template", "plain")
    printed = dms("chat", DEMO, *options, *GREEDY, stdin="Hello\n\n  \nAgain\r\n").stdout.decode()
    messages = chat("plain", ["Hello", "Again"])
    assert questions(messages) == ["Hello", "Again"]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(answers) == 2
    assert all(answer.strip() for answer in answers)
    assert printed == "".join(a if a.endswith("\n") else a + "\n" for a in answers)


def test_undo_is_as_if_it_had_not_been_said(chat, template):
    asked = ["It was a dark night.", "And then?"]
    undone = chat(template, [asked[0], "Who came to the door?", "/undo", asked[1]])
    assert questions(undone) == asked
    assert undone == chat(template, asked)


def test_reset_leaves_the_system_message(chat, template):
    system = ("--system", "Tell a story.")
    fresh = chat(template, ["And then?"], *system)
    assert [message["role"] for message in fresh] == ["system", "user", "assistant"]
    assert chat(template, ["It was a dark night.", "/reset", "And then?"], *system) == fresh


def test_commands_say_what_they_did(dms, tmp_path):
    saved = tmp_path / "saved.json"
    commands = ["/help", "/undo", "Hello", "/stats", "/undo", "/reset", f"/save {saved}", "/quit"]
    options = ("--template", "plain", *GREEDY)
    text = dms("chat", DEMO, *options, stdin="\n".join(commands)).stdout.decode()
    for command in ("/reset", "/undo", "/stats", "/save FILE", "/exit"):
        assert f"\n{command} " in text
    expected = [
        "nothing to undo\n",
        "2 messages, ",
        f"decode {TOKENS - 1} tokens",
        "last question and answer forgotten\n",
        "forgotten\n",
        f"0 messages written to {saved}\n",
    ]
    at = 0
    for part in expected:
        at = text.find(part, at)
        assert at >= 0, f"no {part!r} in order in:\n{text}"
    assert json.loads(saved.read_text()) == []


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("/nonsense", ["/nonsense", "unknown command", "/help lists them"]),
        ("/save", ["/save", "cannot write", "''"]),
        ("/save /nowhere/x.json", ["/save", "cannot write", "/nowhere/x.json"]),
    ],
)
def test_bad_commands_end_a_pipe(line, parts):
    done = run_dms("chat", DEMO, "--template", "plain", *GREEDY, stdin=f"{line}\nHello\n")
    message = done.stderr.decode()
    assert done.returncode == 2, message
    assert message.count("\n") == 1
    assert all(part in message for part in parts), message
    assert done.stdout == b""


def test_a_template_that_renders_nothing_is_named(tmp_path):
    template = tmp_path / "silent.jinja"
    template.write_text("{% if false %}x{% endif %}")
    done = run_dms("chat", DEMO, "--template", template, *GREEDY, stdin="Hello\n")
    message = done.stderr.decode()
    assert done.returncode == 2, message
    assert message.count("\n") == 1
    assert str(template) in message
    assert "renders the conversation to nothing (got 0 tokens, expected at least 1)" in message
