"""One who reads the page of `dms serve` in a browser, for the tests of it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from harness import HANG_GUARD_S, missing

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect
expect.set_options(timeout=HANG_GUARD_S * 1000)


class Reader(NamedTuple):
    """One who reads the page."""

    page: playwright_api.Page
    errors: list[str]

    def open(self) -> Reader:
        self.page.goto("/")
        expect(self.page.locator("select[data-name=policy]").first).to_contain_text("dms")
        return self

    def set(self, name: str, value: str) -> None:
        """Sets how the next answers' tokens are chosen."""
        fields = self.page.locator("#memory .sampling")
        if fields.get_attribute("open") is None:
            fields.locator("summary").click()
        fields.locator(f"[data-name={name}]").fill(value)

    def set_default(self, name: str, value: str) -> None:
        """Sets what new conversations begin with."""
        self.page.locator("#settings").click()
        self.page.locator(f"dialog [data-name={name}]").fill(value)
        self.page.get_by_role("button", name="Done").click()

    def set_system(self, text: str) -> None:
        """Sets what the model is told before this conversation."""
        system = self.page.get_by_label("System prompt", exact=True)
        system.get_by_role("button").click()
        self.page.get_by_label("Edit the system prompt").fill(text)
        system.get_by_role("button", name="Keep").click()

    def asks_for(self, text: str) -> dict:
        """The body of the request that asking makes."""
        with self.page.expect_request("**/v1/chat/completions") as sent:
            self.ask(text)
        self.wait()
        return sent.value.post_data_json

    def ask(self, text: str) -> None:
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def wait(self) -> None:
        """Until nothing is answered any more."""
        expect(self.page.locator("#app:not([data-running])")).to_be_visible()

    def messages(self, role: str):
        return self.page.locator(f".message.{role}")

    def texts(self, role: str) -> list[str]:
        return self.messages(role).locator("> .body").all_inner_texts()


@contextlib.contextmanager
def chromium() -> Iterator[playwright_api.Browser]:
    program = shutil.which("chromium")
    if program is None:
        missing("no chromium; scripts/test installs it")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def reader_of(browser, url: str, **options) -> Reader:
    """A new one, whom the browser knows nothing of. Answers are short and always the same."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(HANG_GUARD_S * 1000)
    context.add_init_script(
        "localStorage['dms-settings'] ??= "
        """'{"sampling": {"temperature": "0", "max_tokens": "40"}}'"""
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda text: errors.append(text.text) if text.type == "error" else None)
    return Reader(page, errors)


def stream(*deltas: dict) -> str:
    """A chat's stream of these deltas."""
    chunks = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def answer_with(reader: Reader, body: str, status: int = 200) -> None:
    """What the server says of the next chats is this, whatever they are."""
    kind = "text/event-stream" if status == 200 else "application/json"
    reader.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=status, content_type=kind, body=body),
    )
