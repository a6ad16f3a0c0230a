"""`dms chat` in a pipe: its answers against single generations, and every command it obeys.
`dms generate --chat`, which renders one message the same way."""

from __future__ import annotations

import json
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import jinja2
import pytest
from tokenizers import Tokenizer

from harness import DEMO, HANG_GUARD_S, binary, run_dms, run_ok

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
    for command in ("/read FILE", "/undo", "/retry", "/reset", "/save FILE", "/load FILE"):
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
        ("/save", ["/save: needs a file name; /save FILE"]),
        ("/save /nowhere/x.json", ["/nowhere/x.json: cannot be written: No such file"]),
        ("/load", ["/load: needs a file name; /load FILE"]),
        ("/load /nowhere/x", ["/nowhere/x/conversation.json: cannot be read: No such file"]),
        ("/load /nowhere/x.json", ["/nowhere/x.json: cannot be read: No such file"]),
        ("/forget", ["/forget: unknown command (expected one of /help, /read, /undo, /retry, "]),
        ("/retyr", ["/retyr: unknown command", "did you mean /retry? A message may begin"]),
        ("/read", ["/read: needs a file; /read FILE [TEXT]"]),
        ("/read /nowhere/x.txt", ["/nowhere/x.txt"]),
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


def test_an_unknown_slash_word_begins_a_question(chat):
    lines = ["/no_think hello", "/etc/hosts is what?", "/", " /help"]
    assert questions(chat("plain", [*lines, "//help"])) == [*lines, "/help"]


def test_retry_answers_with_the_next_seed(dms, tmp_path):
    saved = [tmp_path / f"{i}.json" for i in range(3)]
    sampled = ("--temperature", 1, "--template", "plain", *GREEDY)
    saves = [f"/save {file}" for file in saved]
    lines = ["/retry", "Hello", saves[0], "/retry", saves[1], "/retry", saves[2]]
    printed = dms("chat", DEMO, *sampled, "--seed", 3, stdin="\n".join(lines))
    assert printed.stdout.decode().startswith("nothing to answer again\n")
    answers = [json.loads(file.read_text()) for file in saved]
    for seed, messages in enumerate(answers, 3):
        report = json.loads(
            run_ok("generate", DEMO, "--chat", "-p", "Hello", *sampled, "--seed", seed, "--json")
        )
        assert [message["content"] for message in messages] == ["Hello", report["text"].lstrip()]
    assert len({messages[1]["content"] for messages in answers}) == 3


@pytest.mark.parametrize("name", ["talk", "talk.json"])
def test_a_loaded_conversation_goes_on(dms, chat, tmp_path, name):
    talk = tmp_path / name
    asked = ["It was a dark night.", "Who came to the door?"]
    chat("plain", [asked[0], f"/save {talk}"])
    whole = chat("plain", asked)
    resumed = chat("plain", ["Hello", f"/load {talk}", asked[1]])
    assert resumed == whole
    options = ("--template", "plain", *GREEDY)
    lines = [f"/load {talk}", asked[1], "/stats"]
    stats = dms("chat", DEMO, *options, stdin="\n".join(lines)).stdout.decode()
    assert f"2 messages read from {talk}, " in stats
    at_once = dms("chat", DEMO, *options, "--load", talk, stdin=asked[1]).stdout.decode()
    assert at_once in stats
    assert at_once.strip()
    computed = int(re.search(r"last turn: prefill (\d+) tokens", stats)[1])
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    everything = len(tokenizer.encode(" ".join(m["content"] for m in whole[:3])).ids)
    # With its cache only what is new is computed.
    assert (computed < everything) == (name == "talk")


def test_a_file_of_a_stranger_is_no_conversation(tmp_path):
    folder = tmp_path / "talk"
    run_ok("chat", DEMO, "--template", "plain", *GREEDY, stdin=f"Hello\n/save {folder}\n")
    file, session = folder / "conversation.json", folder / "session.dms"
    good, state = file.read_bytes(), session.read_bytes()
    cases = [
        (b"\xff\xfe", state, file),
        (b"{}", state, file),
        (good.replace(b'"user"', b'"tool"'), state, file),
        (good, b"", session),
        (good, state[: len(state) // 2], session),
        (good, state[:100] + b"\xff" * 100 + state[200:], session),
    ]
    for messages, cache, named in cases:
        file.write_bytes(messages)
        session.write_bytes(cache)
        done = run_dms("chat", DEMO, "--template", "plain", *GREEDY, stdin=f"/load {folder}\nHi\n")
        message = done.stderr.decode()
        assert done.returncode == 2, message
        assert message.count("\n") == 1
        assert f"dms: error: {named}: " in message
        assert done.stdout == b""


def test_read_puts_a_file_before_the_question(chat, tmp_path):
    book = tmp_path / "a book.txt"
    book.write_text("It was a dark night.\nAnd then?\n\n")
    plain = tmp_path / "plain.txt"
    plain.write_text("Hello\n")
    lines = [f"/read {plain}", f"/read '{book}' Who came?", f'/read "{plain}"  And then?']
    text = "It was a dark night.\nAnd then?\n"
    assert questions(chat("plain", lines)) == [
        "Hello",
        f"{text}\n\nWho came?",
        "Hello\n\nAnd then?",
    ]


def test_three_quotes_hold_a_question_of_several_lines(chat):
    lines = ['"""', "It was", "", '/exit"""', '"""/help"""', "One \\", '"""never', "closed"]
    saved = chat("plain", lines[:6])
    assert questions(saved) == ["It was\n\n/exit", "/help", "One \\"]


def test_an_empty_file_is_no_question(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    done = run_dms("chat", DEMO, "--template", "plain", *GREEDY, stdin=f"/read {empty}\n")
    assert done.returncode == 2
    assert f"{empty}: is empty" in done.stderr.decode()


def test_a_failed_save_keeps_the_earlier_file(tmp_path):
    saved = tmp_path / "saved.json"
    saved.write_text("earlier")

    def few_bytes_a_file() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    command = [binary(), "chat", DEMO, "--template", "plain", *GREEDY]
    done = subprocess.run(
        [str(part) for part in command],
        input=f"Hello\n/save {saved}\n".encode(),
        capture_output=True,
        timeout=HANG_GUARD_S,
        preexec_fn=few_bytes_a_file,
    )
    assert done.returncode == 1
    assert f"{saved}: cannot be written: File too large" in done.stderr.decode()
    assert saved.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [saved]


def test_template_arguments_reach_the_template(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ raise_exception(enable_thinking ~ '|' ~ name ~ '|' ~ l[1]) }}")
    options = ["--template-arg", "enable_thinking=false", "--template-arg", "name=a b"]
    options += ["--template-arg", "l=[1, 2]"]
    for command in (["chat"], ["generate", "--chat", "-p", "Hello"]):
        done = run_dms(
            command[0], DEMO, *command[1:], "--template", template, *options, stdin="x\n"
        )
        assert done.returncode == 2
        assert "False|a b|2" in done.stderr.decode()


def test_generate_applies_the_template_to_one_message(template, tmp_path):
    question = "It was a dark night."
    system = "Tell a story."
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    rendered = environment.from_string(template.read_text()).render(
        messages=messages, add_generation_prompt=True
    )
    expected = json.loads(
        run_ok("generate", DEMO, "-p", rendered, "--no-special", *GREEDY, "--json")
    )
    options = ["--chat", "--template", template, "--system", system, *GREEDY, "--json"]
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(question)
    for source in (["-p", question], ["--prompt-file", prompt]):
        report = json.loads(run_ok("generate", DEMO, *source, *options))
        assert report["ids"] == expected["ids"]
        assert report["prompt_tokens"] == expected["prompt_tokens"]


def test_generate_refuses_what_does_not_go_with_chat(tmp_path):
    ids = tmp_path / "ids.json"
    ids.write_text("[1]")
    refusing = tmp_path / "refusing.jinja"
    refusing.write_text("{{ raise_exception('rendered') }}")
    cases = [
        (["--ids", ids, "--chat", "--template", "plain"], "--chat: needs a text"),
        (["-p", "x", "--system", "Be brief."], "--system: goes with --chat"),
        (["-p", "x", "--template", "plain"], "--template: goes with --chat"),
        (["-p", "x", "--template-arg", "a=1"], "--template-arg: goes with --chat"),
        (["-p", "x", "--chat"], "the model has no chat template"),
        (
            ["-p", "door " * 5000, "--chat", "--template", refusing],
            "longer than the model's context",
        ),
        (["-p", "door", "--chat", "--template", refusing], "rendered"),
    ]
    for options, message in cases:
        done = run_dms("generate", DEMO, *options)
        assert done.returncode == 2
        assert message in done.stderr.decode()


def test_a_conversation_survives_what_does_not_fit(chat):
    # On a terminal one goes on after an error; see test_chat_terminal.py. Here: what `generate`
    # stops at, the context, ends an answer in good order.
    messages = chat("plain", ["Hello"], "-n", 100000)
    assert [message["role"] for message in messages] == ["user", "assistant"]
