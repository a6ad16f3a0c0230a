"""The page of `dms serve`: what becomes of texts, good and hostile ones."""

from __future__ import annotations

import json

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
    assert ATTACK in answer.locator("h3").inner_text()
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
