"""Answers that are held to a form, sampled wildly: they parse and validate, whatever the schema."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from harness import package_folder
from schema_cases import FORMATS, PATTERNS, schemas

PROMPT = "In JSON that is"
SEED = 20261129
# What ends texts and lists comes by itself too seldom at this temperature.
CLOSERS = ['"', "}", "]", '"}', '"]']


@pytest.fixture(scope="module")
def closers(demo):
    ids = [demo.tokenizer.id_of(text) for text in CLOSERS]
    return {i: 8.0 for i in ids if i is not None}


DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
TIME = r"([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.][0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
SHAPES = {
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "base64": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "hostname": r"(?!-)[a-z0-9-]{1,63}(?<!-)([.](?!-)[a-z0-9-]{1,63}(?<!-))*",
}


def format_checker():
    """jsonschema's own, and formats for which it wants further packages."""
    checker = jsonschema.FormatChecker()
    for name, shape in SHAPES.items():
        checker.checks(name)(lambda text, shape=shape: re.fullmatch(shape, text) is not None)
    return checker


def held(dms_cpp, closers=None, max_tokens=900, seed=1, speculate=0, **form):
    return dms_cpp.SamplingParams(
        temperature=1.5,
        seed=seed,
        max_tokens=max_tokens,
        logit_bias=closers,
        speculate=speculate,
        structured_outputs=dms_cpp.StructuredOutputsParams(**form),
    )


def test_the_wheel_says_whose_work_it_is():
    folder = package_folder() / "dms_cpp" / "licenses" / "xgrammar"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert "XGrammar" in (folder / "NOTICE").read_text()


def test_every_answer_validates(dms_cpp, demo, closers):
    cases = schemas(200, SEED)
    params = [held(dms_cpp, closers, seed=i, json=schema) for i, schema in enumerate(cases)]
    outputs = demo.generate([PROMPT] * len(cases), params)
    for schema, output in zip(cases, outputs, strict=True):
        answer = output.outputs[0]
        assert answer.finish_reason == "stop", (schema, answer.text)
        validator = jsonschema.Draft202012Validator(schema, format_checker=format_checker())
        errors = [error.message for error in validator.iter_errors(json.loads(answer.text))]
        assert not errors, (schema, answer.text, errors)


def test_every_text_is_of_its_pattern_and_format(dms_cpp, demo, closers):
    cases = [{"type": "string", "pattern": pattern} for pattern in PATTERNS]
    cases += [{"type": "string", "format": name} for name in FORMATS]
    cases *= 6
    params = [held(dms_cpp, closers, seed=i, json=schema) for i, schema in enumerate(cases)]
    for schema, output in zip(cases, demo.generate([PROMPT] * len(cases), params), strict=True):
        answer = output.outputs[0]
        assert answer.finish_reason == "stop", (schema, answer.text)
        jsonschema.validate(
            json.loads(answer.text),
            schema,
            cls=jsonschema.Draft202012Validator,
            format_checker=format_checker(),
        )


def test_one_line_json_is_one_line(dms_cpp, demo, closers):
    form = {"json": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    params = held(dms_cpp, closers, **form, disable_any_whitespace=True)
    texts = [o.outputs[0].text for o in demo.generate([PROMPT] * 4, params)]
    assert all(re.fullmatch(r'\{("a": -?\d+)?\}', text) for text in texts), texts


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ({"regex": r"\d{4}-\d\d(, [a-z]+){0,2}"}, r"\d{4}-\d\d(, [a-z]+){0,2}"),
        ({"choice": ["yes", "no", 'per"haps']}, r'yes|no|per"haps'),
        ({"grammar": 'root ::= ("a" | "ä" . )+ "."\n'}, r"(a|ä.)+\."),
        ({"grammar": "root ::= pair{2}\npair ::= [0-9] # one\n  [a-c]"}, r"([0-9][a-c]){2}"),
    ],
)
def test_texts_match(dms_cpp, demo, form, shape):
    for output in demo.generate([PROMPT] * 8, held(dms_cpp, {}, max_tokens=60, **form)):
        answer = output.outputs[0]
        if answer.finish_reason == "stop":
            assert re.fullmatch(shape, answer.text, re.DOTALL), answer.text


def test_any_object_and_tags(dms_cpp, demo, closers):
    answer = demo.generate(PROMPT, held(dms_cpp, closers, json_object=True))[0].outputs[0]
    assert isinstance(json.loads(answer.text), dict)
    tag = {
        "type": "structural_tag",
        "format": {
            "type": "tag",
            "begin": "<call>",
            "content": {"type": "json_schema", "json_schema": {"enum": [1, 22]}},
            "end": "</call>",
        },
    }
    answer = demo.generate(PROMPT, held(dms_cpp, {}, structural_tag=tag))[0].outputs[0]
    assert re.fullmatch(r"<call>(1|22)</call>", answer.text), answer.text


def test_guesses_change_nothing(dms_cpp, demo, closers):
    schema = {"type": "array", "items": {"enum": ["abc", "abd"]}, "minItems": 6, "maxItems": 9}
    answers = [
        demo.generate(PROMPT, held(dms_cpp, closers, speculate=n, json=schema))[0].outputs[0]
        for n in (0, 6)
    ]
    assert answers[0].token_ids == answers[1].token_ids


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ({"json": {"type": "array", "uniqueItems": True}}, "/uniqueItems: an answer"),
        ({"json": "nonsense"}, "structured_outputs.json"),
        ({"regex": "("}, "structured_outputs.regex"),
        ({"grammar": "root ::= other"}, "structured_outputs.grammar"),
        ({"choice": []}, "structured_outputs.choice"),
        ({"regex": "a", "choice": ["a"]}, "regex, choice"),
        ({}, "none"),
    ],
)
def test_bad_forms_are_refused(dms_cpp, demo, form, part):
    with pytest.raises(dms_cpp.InputError, match=re.escape(part)):
        demo.generate(PROMPT, held(dms_cpp, {}, **form))


def test_what_is_not_held_to_may_be_left_aside(dms_cpp, demo, closers):
    schema = {"type": "array", "items": {"type": "integer"}, "maxItems": 3, "uniqueItems": True}
    params = held(dms_cpp, closers, json=schema, strict=False)
    assert isinstance(json.loads(demo.generate(PROMPT, params)[0].outputs[0].text), list)
