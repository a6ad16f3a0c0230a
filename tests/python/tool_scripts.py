"""What tests of tools share: a model that writes its calls by heart, and OpenAI's client."""

from __future__ import annotations

import openai

from serving import Server

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


def client_of(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0)


def ask(client, text: str, **fields):
    fields = {"model": "m", "messages": user(text), "tools": TOOLS, **fields}
    return client.chat.completions.create(**fields)


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
