"""Structured answers as OpenAI's, vLLM's and llama.cpp's clients ask for them."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import openai
import pydantic
import pytest

from harness import DEMO, HANG_GUARD_S, run_dms
from script_model import write_script_model
from serving import serving

MESSAGES = [{"role": "user", "content": "Which one?"}]
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["x"],
    "additionalProperties": False,
}
IS_POINT = r'\s*\{\s*"x"\s*:\s*\d{1,2}\s*\}\s*'


@pytest.fixture(scope="module")
def server():
    with serving("--template", "plain", "--dtype", "f32") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client:
        yield client


def ask(server, **fields):
    body = {"messages": MESSAGES, "max_tokens": 200, "temperature": 1.5, "seed": 3, **fields}
    return server.request("POST", "/v1/chat/completions", body)


def test_a_schema_by_openais_client(client):
    schema = {"name": "point", "description": "A point", "schema": POINT, "strict": True}
    answer = client.chat.completions.create(
        model="demo",
        messages=MESSAGES,
        max_tokens=200,
        temperature=1.5,
        n=3,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        assert 0 <= json.loads(choice.message.content)["x"] <= 99
    chunks = client.chat.completions.create(
        model="demo",
        messages=MESSAGES,
        max_tokens=200,
        stream=True,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert re.fullmatch(IS_POINT, text), text


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = pydantic.Field(ge=1, le=9)


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    barks: bool


class Owner(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


def test_a_union_of_kinds_by_openais_client(client):
    for seed in range(4):
        answer = client.chat.completions.parse(
            model="demo",
            messages=MESSAGES,
            max_tokens=200,
            temperature=1.5,
            seed=seed,
            response_format=Owner,
        )
        assert answer.choices[0].finish_reason == "stop"
        assert isinstance(answer.choices[0].message.parsed.pet, Cat | Dog)


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"structured_outputs": {"json": POINT}}, IS_POINT),
        ({"structured_outputs": {"json": json.dumps(POINT)}}, IS_POINT),
        (
            {"structured_outputs": {"json": POINT, "disable_any_whitespace": True}},
            r'\{"x": \d{1,2}\}',
        ),
        ({"structured_outputs": {"regex": "[ab]{3}"}}, "[ab]{3}"),
        ({"structured_outputs": {"choice": ["left", "right"]}}, "left|right"),
        ({"structured_outputs": {"grammar": 'root ::= "a"{2} | "b"'}}, "aa|b"),
        ({"guided_json": POINT}, IS_POINT),
        ({"guided_regex": "[0-9]{4}"}, "[0-9]{4}"),
        ({"guided_choice": ["red", "blue"]}, "red|blue"),
        ({"guided_grammar": 'root ::= [x-z] "!"'}, "[x-z]!"),
        ({"grammar": "root ::= digit digit\ndigit ::= [0-9]  # one"}, "[0-9]{2}"),
        ({"json_schema": POINT}, IS_POINT),
        ({"response_format": {"type": "json_object", "schema": POINT}}, IS_POINT),
        ({"response_format": {"type": "text"}, "grammar": "", "max_tokens": 3}, "(?s).*"),
    ],
)
def test_every_field(server, fields, shape):
    status, _, text = ask(server, **fields)
    assert status == 200, text
    content = json.loads(text)["choices"][0]["message"]["content"]
    assert re.fullmatch(shape, content), content


def test_completions_too(server):
    answer = server.complete(["One:", "Two:"], max_tokens=30, guided_regex="[0-9]+[.]")
    for choice in answer["choices"]:
        assert re.fullmatch(r"[0-9]+[.]?", choice["text"]), choice


@pytest.mark.parametrize(
    ("fields", "param", "part"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "object"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
            "response_format.json_schema.schema",
            "/not: an answer would not be held to it",
        ),
        ({"guided_json": "{"}, "guided_json", "JSON"),
        ({"guided_json": {"oneOf": [{}, {"type": "null"}]}}, "guided_json", ": /oneOf: an answer"),
        ({"guided_json": {"type": "integer", "minimum": 1e30}}, "guided_json", ": /minimum: not a"),
        ({"guided_json": 3}, "guided_json", "object"),
        ({"guided_regex": "("}, "guided_regex", ""),
        ({"guided_choice": "a"}, "guided_choice", "array"),
        ({"grammar": "root ::= other"}, "grammar", "other"),
        ({"structured_outputs": {"jsno": {}}}, "structured_outputs.jsno", "json"),
        ({"structured_outputs": {}}, "structured_outputs", "one of"),
        ({"guided_regex": "a", "grammar": 'root ::= "a"'}, "grammar", "guided_regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs", "one of"),
    ],
)
def test_bad_forms_are_refused(server, fields, param, part):
    status, _, text = ask(server, **fields)
    error = json.loads(text)["error"]
    assert status == 400
    assert error["param"].startswith(param), error
    assert part in error["message"], error


def test_what_is_not_held_to_may_be_left_aside(server):
    schema = {"schema": {**POINT, "not": {"required": ["y"]}}, "strict": False}
    status, _, text = ask(server, response_format={"type": "json_schema", "json_schema": schema})
    assert status == 200
    assert re.fullmatch(IS_POINT, json.loads(text)["choices"][0]["message"]["content"])


def test_thoughts_come_before_the_form(tmp_path):
    scripts = {"<think>": ["Let me", " see.", "</think>", "twelve"]}
    model = write_script_model(tmp_path / "m", scripts, "{{ messages[0].content }}<think>")
    with serving(model=model) as server:
        status, _, text = ask(server, guided_regex="[0-9]{3}", temperature=0)
    assert status == 200, text
    choice = json.loads(text)["choices"][0]
    assert choice["message"]["reasoning_content"] == "Let me see."
    assert re.fullmatch("[0-9]{3}", choice["message"]["content"]), choice
    assert choice["finish_reason"] == "stop"


def test_a_hostile_form_keeps_nobody_waiting(server):
    hostile = ["(a{1,10000}){1,10000}", "((((a?){30}){30}){30}){30}", "(.*a){30}"]
    threads = [
        threading.Thread(target=ask, args=(server,), kwargs={"guided_regex": regex})
        for regex in hostile
    ]
    for thread in threads:
        thread.start()
    assert len(server.complete("It was", max_tokens=5)["choices"]) == 1
    assert server.request("GET", "/health")[0] == 200
    for thread in threads:
        thread.join()
    assert ask(server, guided_regex="[ab]")[0] == 200


def test_a_form_whose_masks_take_too_long_ends_its_own_answer_alone(server):
    nested = "a?"
    for _ in range(9):
        nested = f"({nested}){{1,9}}"
    hostile = {"guided_regex": nested, "max_tokens": 400, "ignore_eos": True}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, server, **hostile)
        assert len(server.complete("It was", max_tokens=5)["choices"]) == 1
        status, _, text = answer.result(HANG_GUARD_S)
    assert status == 400, text
    error = json.loads(text)["error"]
    assert error["type"] == "invalid_request_error"
    assert "takes too long" in error["message"]
    assert ask(server, guided_regex="[ab]")[0] == 200


def test_the_command_line_takes_them_too(tmp_path):
    def generate(*options):
        prompt = ("generate", DEMO, "-p", "In short", "-n", 60)
        done = run_dms(*prompt, *options)
        return done.returncode, done.stdout.decode().strip(), done.stderr.decode()

    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(POINT))
    grammar = tmp_path / "grammar.gbnf"
    grammar.write_text('root ::= "go" (" left" | " right")\n')
    for options, shape in [
        (("--json-schema", json.dumps(POINT)), IS_POINT),
        (("--json-schema-file", schema), IS_POINT),
        (("--grammar-file", grammar), "go (left|right)"),
        (("--grammar", "root ::= [0-9]{3}"), "[0-9]{3}"),
        (("--regex", "[a-c]{4}", "--speculate", 4), "[a-c]{4}"),
        (("--choice", "yes", "--choice", "no"), "yes|no"),
    ]:
        status, text, errors = generate(*options)
        assert status == 0, errors
        assert re.fullmatch(shape, text), text
    for options, part in [
        (("--regex", "("), "--regex"),
        (("--regex", "a", "--choice", "b"), "--choice: asks for another form than --regex"),
        (("--json-schema", '{"not": {}}'), "--json-schema: /not: an answer would not be held"),
    ]:
        status, text, errors = generate(*options)
        assert (status, text) == (2, "")
        assert part in errors
