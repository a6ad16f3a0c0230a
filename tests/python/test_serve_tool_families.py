"""Forms of calls that families write, and what their templates are given, over `dms serve`."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from harness import ROOT
from script_model import write_script_model
from serving import serving
from tool_scripts import (
    SCRIPTS,
    TEMPLATE,
    TIME,
    TOOLS,
    WEATHER,
    ask,
    client_of,
    function,
    gathered,
    user,
)

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
