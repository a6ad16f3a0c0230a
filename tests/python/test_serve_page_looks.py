"""The page of `dms serve`: on a phone, by the keyboard alone, in the dark."""

from __future__ import annotations

import re

from hostile_text import HOSTILE
from page_reader import Reader, answer_with, expect, reader_of, stream


def test_it_is_read_on_a_phone(page_server, browser):
    reader = reader_of(
        browser,
        page_server.url,
        viewport={"width": 360, "height": 640},
        has_touch=True,
        is_mobile=True,
    )
    reader.page.goto("/")
    answer_with(reader, stream({"content": HOSTILE}))
    reader.ask("https://a.example/" + "long" * 200)
    reader.wait()
    for name in ("Conversations", "Memory"):
        opener = reader.page.locator(".bar").get_by_role("button", name=name)
        opener.click()
        panel = reader.page.get_by_label(name, exact=True).and_(reader.page.locator("nav, aside"))
        expect(panel).to_be_in_viewport()
        sizes = reader.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert sizes == [360, 360]
        expect(reader.page.locator("main")).to_have_attribute("inert", "")
        expect(opener).to_have_attribute("aria-expanded", "true")
        reader.page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
        expect(opener).to_be_focused()
        opener.click()
        panel.get_by_role("button", name="Close").click()
        expect(panel).to_be_hidden()
    reader.page.locator("#policy").click()
    reader.page.keyboard.press("Escape")
    expect(reader.page.locator("#policy")).to_be_focused()
    expect(reader.page.get_by_label("Message", exact=True)).to_be_in_viewport()
    reader.page.context.close()


def test_the_keyboard_is_enough(reader):
    page = reader.page
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("First line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    page.keyboard.press("Enter")
    reader.wait()
    assert reader.texts("user") == ["First line\nsecond line"]
    page.keyboard.press("ArrowUp")  # the last message again
    expect(page.get_by_label("Edit your message")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Edit your message")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    last = reader.messages("assistant").last
    last.get_by_role("button", name="Answer again").press("Enter")
    expect(last).to_be_focused()
    reader.wait()
    last.get_by_role("button", name="Earlier version").press("Enter")
    expect(last.get_by_role("button", name="Later version")).to_be_focused()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    last.get_by_role("button", name="Copy").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Copied")
    page.keyboard.press("/")
    reached = set()
    for _ in range(50):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(e => e.ariaLabel ?? e.innerText)(document.activeElement)"))
    for name in (
        "Send",
        "Attach text files",
        "New conversation",
        "Settings",
        "Copy",
        "Answer again",
    ):
        assert name in reached, reached


def test_it_is_dark_where_its_reader_wants_it(page_server, browser):
    def is_dark(reader: Reader) -> bool:
        color = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return max(map(int, re.findall(r"\d+", color)[:3])) < 128

    for scheme in ("light", "dark"):
        reader = reader_of(browser, page_server.url, color_scheme=scheme)
        reader.open()
        assert is_dark(reader) == (scheme == "dark")
        reader.page.get_by_role("button", name="Dark or light").click()
        assert is_dark(reader) == (scheme == "light")
        reader.open()
        assert is_dark(reader) == (scheme == "light")
        reader.page.context.close()


def test_a_panel_that_was_closed_stays_so(reader):
    for name in ("Memory", "Conversations"):
        panel = reader.page.get_by_label(name, exact=True).and_(reader.page.locator("nav, aside"))
        opener = reader.page.locator(".bar").get_by_role("button", name=name)
        expect(panel).to_be_visible()
        opener.click()
        expect(panel).to_be_hidden()
        reader.open()
        expect(panel).to_be_hidden()
        opener.click()
        reader.open()
        expect(panel).to_be_visible()


def test_the_end_of_a_conversation_stays_in_sight(reader):
    answer_with(reader, stream({"content": "A line of a long answer.\n\n" * 60}))
    reader.ask("Write")
    reader.wait()
    tools = reader.messages("assistant").locator(".tools")
    for width in (1280, 390, 800):
        reader.page.set_viewport_size({"width": width, "height": 500})
        expect(tools).to_be_in_viewport()
    reader.page.locator("#scroll").evaluate("scroll => scroll.scrollTo(0, 0)")
    expect(tools).not_to_be_in_viewport()
    reader.page.set_viewport_size({"width": 390, "height": 500})
    expect(reader.messages("user")).to_be_in_viewport()


def test_a_scroll_event_ahead_of_a_resize_does_not_let_go_of_the_end(reader):
    """Browsers send what is left of the last scrolling before observers hear of a new size."""
    answer_with(reader, stream({"content": "A line of a long answer.\n\n" * 60}))
    reader.ask("Write")
    reader.wait()
    tools = reader.messages("assistant").locator(".tools")
    expect(tools).to_be_in_viewport()
    reader.page.locator("#scroll").evaluate(
        """scroll => {
             document.body.style.width = '390px';
             scroll.dispatchEvent(new Event('scroll'));
           }"""
    )
    expect(tools).to_be_in_viewport()


def test_a_reader_who_scrolls_up_is_left_there_while_an_answer_grows(reader):
    reader.page.evaluate(
        """() => {
             const asked = window.fetch;
             window.fetch = (url, options) => {
               if (!String(url).endsWith('/v1/chat/completions')) return asked(url, options);
               const body = new ReadableStream({start: (growing) => {
                 window.say = (content) => {
                   const delta = {choices: [{index: 0, delta: {content}, finish_reason: null}]};
                   const line = `data: ${JSON.stringify(delta)}\\n\\n`;
                   growing.enqueue(new TextEncoder().encode(line));
                 };
               }});
               return Promise.resolve(
                 new Response(body, {headers: {'content-type': 'text/event-stream'}}));
             };
           }"""
    )
    lines = "A line of a long answer.\n\n" * 60
    answer = reader.messages("assistant").locator("> .body")
    to_end = "scroll => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight"

    def says(text: str) -> None:
        reader.page.evaluate("content => window.say(content)", text)
        expect(answer).to_contain_text(text.strip().splitlines()[-1])

    def is_at_end() -> bool:
        return reader.page.locator("#scroll").evaluate(to_end) < 2

    reader.ask("Write")
    reader.page.wait_for_function("window.say !== undefined")
    says(lines + "one")
    assert is_at_end()
    reader.page.locator("#scroll").evaluate("scroll => scroll.scrollBy(0, -300)")
    says(lines + "two")
    assert not is_at_end()
    reader.page.locator("#scroll").evaluate("scroll => scroll.scrollTo(0, scroll.scrollHeight)")
    says("\n\nthree")
    says("\n\n" + lines + "four")
    assert is_at_end()
