"""Tools of `dms serve`, as OpenAI's own client sees them: models that write calls by heart, and
calls that are demanded of a model that knows nothing of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jsonschema
import openai
import pydantic
import pytest
from transformers import AutoTokenizer

from harness import DEMO, ROOT, missing, run_dms
from script_model import write_script_model
from serving import Server, events, serving

# What it shows is checked by whom it is shown to. The tag is what the server knows the form by.
TEMPLATE = """{# <tool_call>{"name": ..., "arguments": {...}}</tool_call> #}
{%- for tool in tools or [] -%}<tool>{{ tool.function.name }}</tool>{%- endfor -%}
{%- for message in messages -%}
  {{- message.role }}: {{ message.content }}
  {%- for call in message.tool_calls or [] -%}
    {%- if call.function.arguments is not mapping -%}
      {{- raise_exception('arguments are a text') -}}
    {%- endif -%}
    {{- call.function.name + (call.function.arguments | tojson) -}}
  {%- endfor -%}
  {%- if message.role == 'tool' -%}<{{ message.tool_call_id }}>{%- endif -%}
{%- endfor -%}
{%- if messages[-1].role == 'tool' -%}<|answer|>
{%- elif not tools -%}<|no tools|>
{%- elif 'two' in messages[-1].content -%}<|two|>
{%- elif 'think' in messages[-1].content -%}<|think|>
{%- elif 'broken' in messages[-1].content -%}<|broken|>
{%- elif 'weather' in messages[-1].content -%}<|one|>
{%- else -%}<|talk|>{%- endif -%}"""

SCRIPTS = {
    "<|one|>": [
        "Let me", " look.\n", "<tool_call>", '\n{"name": "get_', 'weather", "argu',
        'ments": {"city', '": "Par', 'is", ', '"days": 3', "}}\n", "</tool_call>",
    ],
    "<|two|>": [
        '<tool_call>\n{"name": "get_weather", "arguments": ',
        '{"city": "Rome", "days": 1}}\n</tool',
        '_call>\n<tool_call>\n{"na', 'me": "get_time", "arguments": {"zone', '": "CET"}', "}\n</to",
        "ol_call>",
    ],
    "<|think|>": [
        "<think>", "<tool_call> or not?", "</think>", "\n\n<tool", '_call>\n{"name": "get_time", ',
        '"arguments": {}}\n<', "/tool_call>",
    ],
    "<|broken|>": [
        "Well <tool_", 'call>{"name": "get_weather", "arguments', '": [1]}<', "/tool_ca", "ll>",
    ],
    "<|talk|>": ["Hello", " there", " {friend}", " "],
    "<|answer|>": ["It is ", "mild", " in Paris."],
    "<|no tools|>": ["I have", " no tools."],
}  # fmt: skip


class GetWeather(pydantic.BaseModel):
    """The weather of a city."""

    city: str
    days: int


def function(name: str, properties: dict, **fields) -> dict:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": schema, **fields}}


WEATHER = function("get_weather", {"city": {"type": "string"}, "days": {"type": "integer"}})
TIME = {"type": "function", "function": {"name": "get_time", "description": "Now"}}
TOOLS = [WEATHER, TIME]


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module", params=["text", "special"])
def server(request, tmp_path_factory) -> Iterator[Server]:
    """The tags as text, or as special tokens, which an answer's text leaves out."""
    tags = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
    special = tags if request.param == "special" else []
    folder = tmp_path_factory.mktemp("script")
    with serving(model=write_script_model(folder / "m", SCRIPTS, TEMPLATE, special)) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as client:
        yield client


def client_of(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def ask(client, text: str, **fields):
    fields = {"model": "m", "messages": user(text), "tools": TOOLS, **fields}
    return client.chat.completions.create(**fields)


def test_a_round_from_the_question_over_a_call_to_the_answer(client):
    first = ask(client, "What is the weather?").choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content == "Let me look."
    (call,) = first.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 3}
    result = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
    last = ask(client, "", messages=[*user("What is the weather?"), first.message, result])
    assert last.choices[0].message.content == "It is mild in Paris."
    assert last.choices[0].message.tool_calls is None
    assert last.choices[0].finish_reason == "stop"


def test_a_round_streamed(client):
    chunks = list(ask(client, "What is the weather?", stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "Let me look."
    calls = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert all(len(call) == 1 for call in calls)
    begin, *pieces = [call[0] for call in calls]
    assert (begin.index, begin.type, begin.function.name) == (0, "function", "get_weather")
    assert begin.id
    assert begin.function.arguments == ""
    assert all(piece.id is None and piece.function.name is None for piece in pieces)
    assert len(pieces) >= 4, "the arguments come as they are written"
    arguments = "".join(piece.function.arguments for piece in pieces)
    assert json.loads(arguments) == {"city": "Paris", "days": 3}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "tool_calls"]


def test_the_clients_own_stream_and_parser(client):
    tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
    whole = client.chat.completions.parse(model="m", messages=user("weather"), tools=tools)
    (call,) = whole.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Paris", days=3)
    with client.chat.completions.stream(model="m", messages=user("weather"), tools=tools) as stream:
        seen = [event for event in stream if event.type.startswith("tool_calls.")]
        final = stream.get_final_completion().choices[0]
    assert seen[-1].type == "tool_calls.function.arguments.done"
    assert seen[-1].parsed_arguments == GetWeather(city="Paris", days=3)
    assert len(seen) > 4
    assert final.finish_reason == "tool_calls"
    assert final.message.content == "Let me look."
    assert final.message.tool_calls[0].function.name == "get_weather"


def test_several_calls_and_several_answers(client):
    answer = ask(client, "two things", n=2)
    ids = set()
    for choice in answer.choices:
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        called = [call.function for call in choice.message.tool_calls]
        assert [function.name for function in called] == ["get_weather", "get_time"]
        assert json.loads(called[1].arguments) == {"zone": "CET"}
        ids |= {call.id for call in choice.message.tool_calls}
    assert len(ids) == 4
    (first,) = ask(client, "two things", parallel_tool_calls=False).choices[0].message.tool_calls
    assert first.function.name == "get_weather"


def gathered(chunks) -> tuple[str, list[list[str]], str]:
    """Text, names and arguments of calls, and the reason of one streamed answer."""
    text, calls, reason = "", [], None
    for chunk in chunks:
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        for call in choice.delta.tool_calls or []:
            if call.id:
                assert call.index == len(calls)
                calls.append([call.function.name, ""])
            calls[call.index][1] += call.function.arguments
        reason = reason or choice.finish_reason
    return text, calls, reason


def test_a_stream_is_what_is_answered_whole(client):
    for text in ("the weather", "two things", "think first", "broken", "talk"):
        whole = ask(client, text).choices[0]
        calls = [
            [call.function.name, call.function.arguments] for call in whole.message.tool_calls or []
        ]
        streamed = gathered(ask(client, text, stream=True))
        assert streamed == (whole.message.content or "", calls, whole.finish_reason)


def test_thoughts_come_before_calls(client):
    message = ask(client, "think first").choices[0].message
    assert message.reasoning_content == "<tool_call> or not?"
    assert message.content is None
    assert message.tool_calls[0].function.arguments == "{}"


def test_what_is_no_call_stays_text(client):
    for text, content in (
        ("broken", 'Well <tool_call>{"name": "get_weather", "arguments": [1]}</tool_call>'),
        ("talk", "Hello there {friend} "),
    ):
        choice = ask(client, text).choices[0]
        assert choice.message.content == content
        assert choice.message.tool_calls is None
        assert choice.finish_reason == "stop"


def test_tools_that_may_not_be_called_are_not_shown(client):
    choice = ask(client, "weather", tool_choice="none").choices[0]
    assert choice.message.content == "I have no tools."


def test_a_tool_of_another_name_is_not_called(client):
    message = ask(client, "weather", tools=[TIME]).choices[0].message
    assert message.tool_calls is None
    assert '"name": "get_weather"' in message.content


def test_each_token_is_told_once(client):
    whole = ask(client, "two things", logprobs=True)
    tokens = [token.token for token in whole.choices[0].logprobs.content]
    assert len(tokens) == whole.usage.completion_tokens
    chunks = ask(
        client, "two things", logprobs=True, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(chunks)
    parts = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
    assert [token.token for part in parts if part for token in part.content] == tokens
    assert chunks[-1].usage.completion_tokens == len(tokens)


def test_a_call_that_is_cut_short_says_so(client):
    choice = ask(client, "weather", max_tokens=8).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Paris", '


@pytest.mark.parametrize("parser", ["none", "llama3_json"])
def test_another_form_can_be_named(server, tmp_path, parser):
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE)
    body = {"messages": user("two things"), "tools": TOOLS}
    with serving("--tool-parser", parser, model=model) as other:
        message = other.post("/v1/chat/completions", body)["choices"][0]["message"]
        assert message["content"] == "".join(SCRIPTS["<|two|>"])
        status, _, text = other.request(
            "POST", "/v1/chat/completions", {**body, "tool_choice": "required"}
        )
        assert parser != "none" or (status == 400 and "--tool-parser" in text)


# What a template shows a form by, its special tokens, an answer of two calls, and one that only
# looks like one.
FAMILIES = {
    "pythonic": (
        "[func_name1(params_name1=params_value1), func_name2(params)]",
        ["<|python_start|>", "<|python_end|>"],
        ["<|python_start|>", "[get_wea", 'ther(city="Ro', 'me", days=1), get_', "time(zone='CE",
         "T')]", "<|python_end|>"],
        ["[get_weather", "(city=home", ", days=1)]"],
    ),
    "gemma3": (
        "```tool_code",
        [],
        ["```tool", "_code\nget_wea", 'ther("Ro', 'me", days=1)\nget_', "time(zone='CE", "T')\n`",
         "``"],
        ["```tool_code\n", "get_weather(city=", "home)\n```"],
    ),
    "functiongemma": (
        "<start_function_call>call:",
        ["<start_function_call>", "<end_function_call>"],
        ["<start_function_call>", "call:get_wea", "ther{city:<escape>Ro", "me<escape>,days",
         ":1}<end_function_", "call>\n<start_func", "tion_call>call:get_time{zone:<escape>",
         "CET<escape>}<end_func", "tion_call>"],
        ["<start_function_call>call", ":get_home{", "} so"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families_forms_are_told_by_their_templates(tmp_path, name):
    shown, special, two, broken = FAMILIES[name]
    template = "{# " + shown + " #}" + TEMPLATE.partition("#}")[2]
    scripts = {**SCRIPTS, "<|two|>": two, "<|broken|>": broken}
    for word in ("<|one|>", "<|think|>"):  # of another form
        scripts[word] = [word + "..."]
    model = write_script_model(tmp_path / "m", scripts, template, special)
    with serving(model=model) as server, client_of(server) as own:
        choice = ask(own, "two things").choices[0]
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        calls = [
            [call.function.name, call.function.arguments] for call in choice.message.tool_calls
        ]
        assert [call[0] for call in calls] == ["get_weather", "get_time"]
        assert json.loads(calls[0][1]) == {"city": "Rome", "days": 1}
        assert json.loads(calls[1][1]) == {"zone": "CET"}
        assert gathered(ask(own, "two things", stream=True)) == ("", calls, "tool_calls")
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
            for call in choice.message.tool_calls
        ]
        asked = [*user("two things"), choice.message, *results]
        assert ask(own, "", messages=asked).choices[0].message.content == "It is mild in Paris."
        assert ask(own, "broken").choices[0].message.content == "".join(broken)


# In SmolLM3's manner: functions are shown by tags or as Python's, as the request asks.
SMOLLM3 = """{%- if xml_tools or python_tools or tools -%}
  {%- if xml_tools or tools -%}
    {%- if tools -%}{%- set xml_tools = tools -%}{%- endif -%}
    <tools>{%- for tool in xml_tools[:] -%}{{ tool | string }}{%- endfor -%}</tools><tool_call>
  {%- endif -%}
  {%- if python_tools -%}
    <code>{%- for tool in python_tools[:] -%}{{ tool | string }}{%- endfor -%}</code>
  {%- endif -%}
{%- endif -%}
{%- for message in messages -%}{{ message.role }}: {{ message.content }}{%- endfor -%}
{%- if xml_tools and python_tools -%}<|both|>
{%- elif python_tools -%}<|python|>
{%- elif xml_tools -%}<|xml|>
{%- else -%}<|no tools|>{%- endif -%}"""

SMOLLM3_SCRIPTS = {
    "<|xml|>": [
        '<tool_call>{"name": "get_', 'weather", "arguments": {"city": "Oslo"}}</tool', "_call>",
    ],
    "<|python|>": [
        "Let me look.\n<co", "de>\nfirst = get_wea", 'ther("Ro', 'me", days=', "2)\nprint(fir",
        "st)\nget_ti", "me()\n</co", "de>",
    ],
    "<|both|>": [
        "<code>get_", "time(zone='CET')</code>\n<tool_", 'call>{"name": "get_time"}<',
        "/tool_call>",
    ],
    "<|no tools|>": ["I have", " no tools."],
}  # fmt: skip


def called(choice) -> list[tuple[str, dict]]:
    calls = choice.message.tool_calls or []
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def test_smollm3_calls_as_the_request_has_its_template_show(tmp_path):
    model = write_script_model(tmp_path / "m", SMOLLM3_SCRIPTS, SMOLLM3)
    theirs = AutoTokenizer.from_pretrained(model)
    signature = "def get_weather(city: str, days: int) -> str: ..."
    time, weather = ("get_time", {}), ("get_weather", {"city": "Rome", "days": 2})
    cases = [
        ({}, {"tools": TOOLS}, None, [("get_weather", {"city": "Oslo"})]),
        ({"python_tools": True}, {"python_tools": TOOLS}, "Let me look.", [weather, time]),
        ({"python_tools": [signature]}, None, "Let me look.", [weather, time]),
        ({"python_tools": [signature], "xml_tools": [TIME]}, None, None,
         [("get_time", {"zone": "CET"}), time]),
    ]  # fmt: skip
    with serving(model=model) as server, client_of(server) as own:
        for arguments, shown, content, calls in cases:
            extra = {"chat_template_kwargs": arguments}
            choice = ask(own, "weather", extra_body=extra).choices[0]
            assert (choice.message.content, called(choice)) == (content, calls)
            assert choice.finish_reason == "tool_calls"
            texts = [[c.function.name, c.function.arguments] for c in choice.message.tool_calls]
            streamed = gathered(ask(own, "weather", stream=True, extra_body=extra))
            assert streamed == (content or "", texts, "tool_calls")
            body = {"messages": user("weather"), "tools": TOOLS, **extra}
            tokens = server.post("/tokenize", body)["tokens"]
            expected = theirs.apply_chat_template(
                user("weather"), tokenize=False, **(arguments if shown is None else shown)
            )
            assert server.post("/detokenize", {"tokens": tokens})["prompt"] == expected
        choice = ask(own, "weather", tool_choice="none").choices[0]
        assert choice.message.content == "I have no tools."


def test_the_template_for_gemma_3_shows_functions_and_results(tmp_path):
    """The file that is there for it, as transformers writes it, and a round by it."""
    template = (ROOT / "examples" / "gemma3_tools.jinja").read_text()
    asked = "<end_of_turn>\n<start_of_turn>model\n"
    scripts = {
        asked: ["I see.\n", "```tool_code\nget_wea", 'ther(city="Ro', 'me", days=1)\n`', "``"],
        "\n```" + asked: ["Mild", " in Rome."],
    }
    model = write_script_model(tmp_path / "m", scripts, template)
    theirs = AutoTokenizer.from_pretrained(model)
    with serving(model=model) as server, client_of(server) as own:
        first = ask(own, "Weather?").choices[0]
        assert (first.message.content, first.finish_reason) == ("I see.", "tool_calls")
        assert called(first) == [("get_weather", {"city": "Rome", "days": 1})]
        (call,) = first.message.tool_calls
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": text} for text in ("12°", "dry")
        ]
        system = {"role": "system", "content": "Be brief."}
        talk = [system, *user("Weather?"), first.message.model_dump(exclude_none=True), *results]
        last = ask(own, "", messages=talk).choices[0]
        assert last.message.content == "Mild in Rome."
        tokens = server.post("/tokenize", {"messages": talk, "tools": TOOLS})["tokens"]
        prompt = server.post("/detokenize", {"tokens": tokens})["prompt"]
        talk[2]["tool_calls"][0]["function"]["arguments"] = {"city": "Rome", "days": 1}
        assert prompt == theirs.apply_chat_template(
            talk, tools=TOOLS, add_generation_prompt=True, tokenize=False
        )
        assert prompt.endswith(
            'I see.\n```tool_code\nget_weather(city="Rome", days=1)\n```'
            "<end_of_turn>\n<start_of_turn>user\n```tool_output\n12°\n```\n```tool_output\ndry\n```"
            "<end_of_turn>\n<start_of_turn>model\n"
        )


# What templates are given. -----------------------------------------------------------------------

# In the manner of families that call, with what their templates look at.
SHOWN = {
    "tags": """{%- if tools %}{{- '<|sys|>' }}
  {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n' }}{%- endif %}
  {%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
  {{- '\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call>' }}
{%- endif %}
{%- for message in messages %}
  {%- if message.role == 'assistant' %}{{- '<|bot|>' + (message.content or '') }}
    {%- for tool_call in message.tool_calls or [] %}
      {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
      {{- '<tool_call>{"name": "' + tool_call.name + '", "arguments": ' }}
      {{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}
      {{- '}</tool_call>' }}
    {%- endfor %}
  {%- elif message.role == 'tool' %}
    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|user|>' }}{%- endif %}
    {{- '<tool_response>' + message.content + '</tool_response>' }}
  {%- else %}{{- '<|' + message.role + '|>' + message.content }}{%- endif %}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|bot|>' }}{%- endif %}""",
    "ids": """{%- set ns = namespace(calls=0) %}
{%- if tools is not none %}[AVAILABLE][{%- for tool in tools %}
  {%- set tool = tool.function %}{"function": {
  {%- for key, val in tool.items() if key != 'return' %}
    {%- if val is string %}"{{ key }}": "{{ val }}"
    {%- else %}"{{ key }}": {{ val|tojson }}{%- endif %}
    {%- if not loop.last %}, {% endif %}
  {%- endfor %}}}{%- if not loop.last %}, {% endif %}
{%- endfor %}]{%- endif %}
{%- for message in messages %}
  {%- if message.tool_calls is defined and message.tool_calls is not none %}[TOOL_CALLS] [
    {%- for call in message.tool_calls %}{%- set ns.calls = ns.calls + 1 %}
      {%- set out = call.function|tojson %}{{- out[:-1] }}, "id": "{{ call.id }}"}
      {%- if not loop.last %}, {% endif %}
    {%- endfor %}]
  {%- elif message['role'] == 'tool' %}[RESULTS]{"content": {{ message.content|tojson }}, {# -#}
    "call_id": "{{ message.tool_call_id }}", "name": "{{ message.name }}"}
  {%- else %}[{{ message['role'] }}] {{ message['content'] }}{%- endif %}
{%- endfor %}({{ ns.calls }})""",
}


@pytest.mark.parametrize("name", SHOWN)
def test_templates_are_given_what_transformers_gives_them(tmp_path, name):
    def call(number: int, arguments: object) -> dict:
        function = {"name": "get_weather", "arguments": arguments}
        return {"id": f"call{number:05}", "type": "function", "function": function}

    arguments = [{"city": "Köln <1>", "days": 2, "a": None}, {}]
    asked = [{"role": "system", "content": "Be brief."}, *user("Weather?")]
    results = [
        {"role": "tool", "tool_call_id": f"call{i:05}", "name": "get_weather", "content": f"{i}°"}
        for i in range(2)
    ]
    calls = [call(i, each) for i, each in enumerate(arguments)]
    texts = [call(i, json.dumps(each)) for i, each in enumerate(arguments)]
    tools = [WEATHER, function("b", {"z": {"type": "string"}, "a": {}}, description='Say "b".')]
    model = write_script_model(tmp_path / "m", SCRIPTS, SHOWN[name])
    theirs = AutoTokenizer.from_pretrained(model)
    with serving(model=model) as server:
        for content in ("Let me see.", ""):
            before = {"role": "assistant", "content": content}
            expected = theirs.apply_chat_template(
                [*asked, {**before, "tool_calls": calls}, *results],
                tools=tools,
                add_generation_prompt=True,
                tokenize=False,
            )
            messages = [*asked, {**before, "tool_calls": texts}, *results]
            ours = server.post("/tokenize", {"messages": messages, "tools": tools})
            back = server.post("/detokenize", {"tokens": ours["tokens"]})
            assert back["prompt"] == expected


# Calls that are demanded. ------------------------------------------------------------------------

# The demo likes digits: without bounds it may write nothing else.
COUNT = {"type": "integer", "minimum": 1, "maximum": 31}
NESTED = function(
    "book",
    {
        "when": {"type": "object", "properties": {"day": COUNT}, "required": ["day"]},
        "seats": {"type": "array", "items": COUNT, "minItems": 1, "maxItems": 2},
        "class": {"enum": ["first", "second"]},
    },
)
DEMANDED = [NESTED, function("stop", {"now": {"type": "boolean"}})]
FORMS = (
    "functiongemma",
    "hermes",
    "llama3_json",
    "mistral",
    "mistral_args",
    "pythonic",
    "qwen3_coder",
    "smollm2",
    "smollm3_python",
)


def validate(call: dict, tools: list[dict]) -> str:
    """A call of one of the tools, as its schema has it."""
    name = call["function"]["name"]
    (schema,) = [t["function"]["parameters"] for t in tools if t["function"]["name"] == name]
    jsonschema.validate(json.loads(call["function"]["arguments"]), schema)
    return name


def demand(server: Server, **fields) -> tuple[int, dict]:
    body = {"messages": user("Now."), "tools": DEMANDED, "temperature": 1.5, **fields}
    status, _, text = server.request("POST", "/v1/chat/completions", body)
    return status, json.loads(text)


def needs_xgrammar(server: Server) -> None:
    status, answer = demand(server, tool_choice="required", max_tokens=1)
    if status == 400 and "xgrammar" in answer["error"]["message"]:
        missing("a build without xgrammar demands no calls")


@pytest.fixture(scope="module", params=FORMS)
def demanding(request) -> Iterator[Server]:
    """The demo, which knows nothing of tools."""
    with serving("--template", "plain", "--tool-parser", request.param) as server:
        needs_xgrammar(server)
        yield server
        assert server.stop() == 0, server.log()


def test_demanded_calls_are_calls(demanding):
    fields = {"n": 4, "max_tokens": 600, "parallel_tool_calls": False, "seed": 1}
    status, answer = demand(demanding, tool_choice="required", **fields)
    assert status == 200, answer
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "tool_calls", choice
        assert choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        validate(call, DEMANDED)


def test_a_named_tool_is_called(demanding):
    choice = {"type": "function", "function": {"name": "stop"}}
    status, answer = demand(demanding, tool_choice=choice, n=2, max_tokens=300)
    assert status == 200, answer
    for choice in answer["choices"]:
        (call,) = choice["message"]["tool_calls"]
        assert validate(call, DEMANDED) == "stop"


def test_a_demanded_call_streams(demanding):
    choice = {"type": "function", "function": {"name": "stop"}}
    body = {"messages": user("Now."), "tools": DEMANDED, "tool_choice": choice, "stream": True}
    _, _, text = demanding.request("POST", "/v1/chat/completions", {**body, "max_tokens": 300})
    chunks = events(text)
    pieces = [
        call["function"]
        for chunk in chunks
        for call in chunk["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert pieces[0]["name"] == "stop"
    jsonschema.validate(
        json.loads("".join(piece["arguments"] for piece in pieces)),
        DEMANDED[1]["function"]["parameters"],
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_demanded_calls_have_the_models_own_tokens(tmp_path):
    """The model would begin otherwise, and has tokens for the tags as well as their letters."""
    special = ["<tool_call>", "</tool_call>"]
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE, special)
    fields = {"tools": DEMANDED, "temperature": 0, "logprobs": True, "max_tokens": 200}
    with serving(model=model) as server:
        needs_xgrammar(server)
        named = {"type": "function", "function": {"name": "stop"}}
        body = {"messages": user("talk"), "tool_choice": named, **fields}
        choice = server.post("/v1/chat/completions", body)["choices"][0]
        (call,) = choice["message"]["tool_calls"]
        assert validate(call, DEMANDED) == "stop"
        tokens = [token["token"] for token in choice["logprobs"]["content"]]
        assert tokens[0] == "<tool_call>"
        assert tokens.count("</tool_call>") == 1
        # Elsewhere the tokens stay out of what is held to a form.
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "string"}}}
        body = {"messages": user("weather"), "response_format": form, **fields, "max_tokens": 40}
        text = server.post("/v1/chat/completions", body)["choices"][0]["message"]["content"]
        assert "<tool_call>" not in text


@pytest.mark.parametrize("special", [[], ["<tool_call>", "</tool_call>", "<think>", "</think>"]])
def test_strict_arguments_are_held_to_their_schema(tmp_path, special):
    """The model would have three days, or one, and does where it may; its tags may be tokens. In
    the second answer it spells their letters, in the third it thinks of a call."""
    days = {"city": {"type": "string"}, "days": {"enum": [2, 4]}}
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE, special)
    with serving(model=model) as server:
        needs_xgrammar(server)
        for strict in (False, True):
            tools = [function("get_weather", days, strict=strict), TIME]
            body = {"tools": tools, "max_tokens": 80, "seed": 1}
            for text, other in (("weather", 3), ("two things", 1)):
                body["messages"] = user(text)
                message = server.post("/v1/chat/completions", body)["choices"][0]["message"]
                arguments = json.loads(message["tool_calls"][0]["function"]["arguments"])
                assert arguments["days"] in ([2, 4] if strict else [other])
            if special and strict:
                continue  # a tag among thoughts between tokens begins a call
            body["messages"] = user("think first")
            message = server.post("/v1/chat/completions", body)["choices"][0]["message"]
            assert message["reasoning_content"] == "<tool_call> or not?"
            assert message["tool_calls"][0]["function"]["name"] == "get_time"
        for strict in (False, True):
            odd = function("odd", {"x": {"type": "number", "multipleOf": 0.5}}, strict=strict)
            tools = [function("get_weather", days, strict=True), odd]
            status, answer = demand(server, tools=tools, tool_choice="required", max_tokens=1)
            assert status == (400 if strict else 200), answer


def test_many_tools_may_be_demanded(tmp_path):
    tools = [
        function(f"f{i}", {f"p{j}": {"type": "string", "description": "x" * 99} for j in range(9)})
        for i in range(128)
    ]
    model = write_script_model(tmp_path / "m", SCRIPTS, TEMPLATE)
    with serving(model=model) as server:
        needs_xgrammar(server)
        status, answer = demand(server, tools=tools, tool_choice="required", max_tokens=1)
        assert status == 200, answer


def test_a_call_has_no_other_form(demanding):
    form = {"type": "json_object"}
    status, answer = demand(demanding, tool_choice="required", response_format=form)
    assert (status, answer["error"]["param"]) == (400, "tool_choice")
    status, answer = demand(demanding, response_format=form, max_tokens=200, temperature=0)
    message = answer["choices"][0]["message"]
    assert status == 200, answer
    assert "tool_calls" not in message
    assert message["content"].lstrip().startswith("{")


def test_tools_that_the_template_does_not_show_are_told_of():
    note = "tools: the chat template shows the model none of them"
    with serving("--template", "plain") as server:
        body = {"messages": user("Hello"), "tools": TOOLS, "max_tokens": 2}
        for _ in range(2):
            usage = server.post("/v1/chat/completions", body)["usage"]
            assert usage["dms"]["notes"] == [note]
        silent = server.post("/v1/chat/completions", {**body, "tool_choice": "none"})
        assert "notes" not in silent["usage"]["dms"]
        assert server.stop() == 0
        assert server.log().count(note) == 1


def test_a_misspelt_form_is_refused():
    done = run_dms("serve", DEMO, "--template", "plain", "--tool-parser", "hermess")
    error = done.stderr.decode()
    assert done.returncode == 2, error
    assert "--tool-parser: unknown (got hermess" in error
    assert "did you mean hermes?" in error
