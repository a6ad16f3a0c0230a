"""The page of `dms serve`: what becomes of texts, good and hostile ones."""

from __future__ import annotations

import json

import pytest

from hostile_text import ATTACK, HOSTILE
from page_reader import answer_with, expect, stream


def test_no_text_becomes_markup_or_script(reader):
    answer_with(reader, stream({"reasoning_content": ATTACK}, {"content": HOSTILE}))
    name = 'a"><img src=x onerror=alert(1)>.txt'
    reader.page.locator("input[type=file]").set_input_files(
        [
            {"name": name, "mimeType": "text/plain", "buffer": ATTACK.encode()},
            {"name": "picture.png", "mimeType": "image/png", "buffer": b"\x89PNG\xff"},
        ]
    )
    expect(reader.page.get_by_role("alert").first).to_contain_text("picture.png is no UTF-8 text")
    reader.ask(ATTACK)
    reader.wait()
    assert reader.texts("user") == [ATTACK]
    expect(reader.messages("user").locator(".file summary")).to_have_text(name)
    answer = reader.messages("assistant")
    expect(answer.locator("strong").first).to_have_text("bold")
    for heading in answer.locator("h3").all():
        assert ATTACK in heading.inner_text()
    assert answer.locator("h3").count() == 2
    assert answer.locator("pre").all_inner_texts().count(ATTACK) == 1  # the indented one
    formulas = answer.locator(".math").all_inner_texts()
    assert len([text for text in formulas if "<img src=x" in text]) == 3
    assert ATTACK in answer.locator("pre").first.inner_text()
    assert answer.locator("td").count() < 2000
    answer.locator("summary").click()
    expect(answer.locator(".reasoning-text")).to_have_text(ATTACK)
    links = answer.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert all(link.startswith("https://a.example/") for link in links), links
    assert len(links) == 2
    assert reader.page.locator("#thread").locator("script, img, b, iframe").count() == 0
    assert reader.page.title() != "owned"
    sent = json.loads(reader.page.evaluate("JSON.stringify(document.title)"))
    assert ATTACK[:20] in sent  # the title is text as well
    width = reader.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


def test_code_is_copied_and_thinking_is_folded(reader):
    reader.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = "def f():\n    return '`'"
    answer_with(
        reader,
        stream(
            {"reasoning_content": "Let me"}, {"content": f"1. So:\n\n   ```python\n   {code}\n"}
        ),
    )
    reader.ask("Write code")
    reader.wait()
    answer = reader.messages("assistant")
    expect(answer.locator("details")).not_to_have_attribute("open", "")
    expect(answer.locator("figcaption span")).to_have_text("python")
    answer.get_by_role("button", name="Copy", exact=True).last.scroll_into_view_if_needed()
    answer.locator("figcaption button").click()
    expect(answer.locator("figcaption button")).to_have_text("Copied")
    copied = reader.page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[0] == "def f():"


# A text, and what is shown of it: for each element that matches, its text.
MARKDOWN = {
    "headings by underlines": (
        "Title\n=====\ntext\n\nTwo\nlines\n---\n\n---\n\n- item\n---\n",
        {"h3": ["Title"], "h4": ["Two lines"], "p": ["text"], "li": ["item"], "hr": ["", ""]},
    ),
    "a list that is just beginning": ("Items:\n-", {"p": ["Items:"], "h4": [], "ul": [""]}),
    "indented code": (
        "text\n    more\n\n    a *b*\n\n      c\n\n\td\n\nend\n\n- item\n\n      code\n",
        {"p": ["text more", "end"], "pre": ["a *b*\n\n  c\n\nd", "code"], "em": []},
    ),
    "emphasis in emphasis": (
        "***a*** **b *c*** *d **e*** *f \\* g*",
        {"strong": ["a", "b c", "e"], "em": ["a", "c", "d e", "f * g"]},
    ),
    "formulas and what only looks so": (
        "*where $a*b*c_1$ is* $\\alpha_i^2 \\le 3$, and $5 or $10 or US$5, $HOME, `$x$` and "
        "\\(x\\), \\[not one\\]",
        {
            ".math": ["a*b*c1", "αi2 ≤ 3", "x"],
            ".math sub": ["1", "i"],
            ".math sup": ["2"],
            "em": ["where a*b*c1 is"],
            "code": ["$x$"],
            "p": [
                "where a*b*c1 is αi2 ≤ 3, and $5 or $10 or US$5, $HOME, $x$ and x, [not one]",
            ],
        },
    ),
    "formulas on lines of their own": (
        "So:\n$$\nx = \\frac{-b \\pm \\sqrt{d}}{2a}\n+ \\unknown{y}\n$$\n1. Or\n   \\[ y < 1 \\]\n",
        {
            ".math.is-block": ["x = (−b ± √d)/(2a) + \\unknowny", "y < 1"],
            "p": ["So:"],
            "ul": [],
            "ol .math": ["y < 1"],
        },
    ),
}


@pytest.mark.parametrize("case", MARKDOWN)
def test_markdown_is_shown(reader, case):
    text, shown = MARKDOWN[case]
    answer_with(reader, stream({"content": text}))
    reader.ask("Write")
    reader.wait()
    body = reader.messages("assistant").locator("> .body")
    for selector, texts in shown.items():
        assert body.locator(selector).all_inner_texts() == texts, selector
