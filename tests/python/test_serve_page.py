"""The page of `dms serve`, in a browser: one server and one Chromium for all tests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from harness import HANG_GUARD_S, missing
from serving import Server, serving, until

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect
expect.set_options(timeout=HANG_GUARD_S * 1000)

ATTACK = '<script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
TABLE = "\n".join(["|" * 800, "-", *["|"] * 800])
HOSTILE = f"""{ATTACK}

# {ATTACK}

[a link](javascript:document.title='owned') [another](data:text/html,{ATTACK}) ![x](https://a.example)
[good](https://a.example/?q="><b>) **bold** `{ATTACK}`

| {ATTACK} | b |
|---|---|
| 1 | <b>2</b> |

```<b>
{ATTACK}
{"long" * 500}
```

{"x" * 5000}
{"> " * 3000}deep {"*" * 3000} {"[" * 3000} {"_a" * 3000} {"`" * 2000}

{TABLE}

## a{" " * 1_000_000}b

{"~" * 8000}`"""


class Reader(NamedTuple):
    """One who reads the page."""

    page: playwright_api.Page
    errors: list[str]

    def open(self) -> Reader:
        self.page.goto("/")
        expect(self.page.locator("select[data-name=policy]").first).to_contain_text("dms")
        return self

    def set(self, name: str, value: str) -> None:
        """Sets a field of the settings."""
        self.page.locator("#settings").click()
        self.page.locator(f"dialog [data-name={name}]").fill(value)
        self.page.get_by_role("button", name="Done").click()

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


# What the button said each time the page changed: `shown`. `stopsBy` is pressed once a part of an
# answer is there. It runs in the page, for an answer may have ended before a test looks.
WATCH = """stopsBy => {
  window.shown = [];
  new MutationObserver(() => {
    const text = document.querySelector('.assistant > .body')?.innerText ?? '';
    const button = document.querySelector('#send');
    window.shown.push(button.ariaLabel);
    if (!text.trim() || button.ariaLabel !== 'Stop') return;
    if (stopsBy === 'the button') button.click();
    if (stopsBy === 'Esc') document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}));
  }).observe(document.querySelector('main'), {subtree: true, childList: true, attributes: true});
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--template", "plain") as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright_api.Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("no chromium; scripts/test installs it")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
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


@pytest.fixture
def reader(server, browser) -> Iterator[Reader]:
    reader = reader_of(browser, server.url)
    yield reader.open()
    assert reader.errors == []
    reader.page.context.close()


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


def test_the_page_runs_its_own_script_and_nothing_else(server):
    for path in ("/", "/index.html"):
        status, headers, html = server.request("GET", path)
        assert status == 200
        policy = headers["Content-Security-Policy"]
        for tag in ("script", "style"):
            (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-cache"
        assert "Access-Control-Allow-Origin" not in headers
        assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert server.request("GET", "/index.htm")[0] == 404
    assert server.request("POST", "/", "x")[0] == 405


def test_only_its_own_pages_may_ask(server):
    body = {"prompt": "a", "max_tokens": 1}
    own = {"Origin": server.url}
    assert server.request("POST", "/v1/completions", body, own)[0] == 200
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://evil.example", "Host": "evil.example"},  # a name pointed at us
    ):
        assert server.request("POST", "/v1/completions", body, headers)[0] == 403, headers


def test_without_the_page_there_is_none_and_no_page_may_ask():
    with serving("--no-page") as server:
        assert server.request("GET", "/")[0] == 404
        body = {"prompt": "a", "max_tokens": 1}
        assert server.request("POST", "/v1/completions", body, {"Origin": server.url})[0] == 403


def test_a_conversation_streams_and_is_back_after_a_reload(reader):
    reader.set("max_tokens", "400")
    reader.page.evaluate(WATCH, None)
    reader.ask("It was a dark night")
    reader.wait()
    assert set(reader.page.evaluate("shown")) == {"Send", "Stop"}
    assert reader.texts("user") == ["It was a dark night"]
    (first,) = reader.texts("assistant")
    assert first.strip()
    expect(reader.page.get_by_role("status")).to_contain_text("Answer:")
    reader.ask("And then?")
    reader.wait()
    before = reader.texts("user"), reader.texts("assistant")
    assert len(before[1]) == 2
    reader.open()
    expect(reader.messages("assistant")).to_have_count(2)
    assert (reader.texts("user"), reader.texts("assistant")) == before
    expect(reader.page.locator(".conversation")).to_have_text(["It was a dark night"])
    reader.page.locator("#new").click()
    expect(reader.messages("user")).to_have_count(0)
    reader.page.locator(".conversation").click()
    expect(reader.messages("user")).to_have_count(2)
    reader.page.get_by_role("button", name="Delete It was a dark night").click()
    reader.page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(reader.messages("user")).to_have_count(2)
    reader.page.get_by_role("button", name="Delete It was a dark night").click()
    reader.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(reader.messages("user")).to_have_count(0)
    reader.open()
    expect(reader.page.locator(".conversation")).to_have_count(0)


@pytest.mark.parametrize("key", ["the button", "Esc"])
def test_an_answer_can_be_stopped_and_the_server_stops_too(reader, server, key):
    reader.set("max_tokens", "4000")
    reader.page.evaluate(WATCH, key)
    reader.ask("Count to a million")
    reader.wait()
    expect(reader.messages("assistant").locator(".note")).to_contain_text("stopped")
    until(server.is_idle)
    assert reader.texts("assistant")[0].strip()
    reader.set("max_tokens", "8")
    reader.ask("Go on")  # what was stopped is part of the conversation
    reader.wait()
    assert len(reader.texts("assistant")) == 2


def test_a_conversation_deleted_while_it_is_answered_stays_so(reader, server):
    reader.set("max_tokens", "4000")
    reader.ask("Count to a million")
    expect(reader.messages("assistant").locator("> .body")).not_to_be_empty()
    remove = reader.page.get_by_role("button", name="Delete Count to a million")
    remove.dispatch_event("click")
    reader.page.get_by_role("dialog").get_by_role("button", name="Delete").dispatch_event("click")
    expect(reader.messages("user")).to_have_count(0)
    until(server.is_idle)
    reader.open()
    expect(reader.page.locator(".conversation")).to_have_count(0)


def test_editing_and_answering_again_make_branches(reader):
    reader.ask("One")
    reader.wait()
    reader.ask("Two")
    reader.wait()
    answers = reader.texts("assistant")
    message = reader.messages("user").first
    message.hover()
    message.get_by_role("button", name="Edit").click()
    reader.page.get_by_label("Edit your message").fill("Another one")
    reader.page.keyboard.press("Enter")
    reader.wait()
    assert reader.texts("user") == ["Another one"]
    expect(message.locator(".branch-count")).to_have_text("2 / 2")
    message.get_by_role("button", name="Earlier version").click()
    assert reader.texts("user") == ["One", "Two"]
    assert reader.texts("assistant") == answers
    last = reader.messages("assistant").last
    last.get_by_role("button", name="Answer again").click()
    reader.wait()
    expect(last.locator(".branch-count")).to_have_text("2 / 2")
    reader.open()
    assert reader.texts("user") == ["One", "Two"]
    expect(reader.messages("assistant").last.locator(".branch-count")).to_have_text("2 / 2")


def test_two_tabs_lose_nothing_of_one_another(reader):
    reader.ask("First")
    reader.wait()
    other = Reader(reader.page.context.new_page(), reader.errors).open()
    expect(other.messages("user")).to_have_count(1)
    other.ask("Second")
    other.wait()
    reader.ask("Third")
    reader.wait()
    expect(reader.messages("user").last.locator(".branch-count")).to_have_text("2 / 2")
    reader.open()
    assert reader.texts("user") == ["First", "Third"]
    reader.messages("user").last.get_by_role("button", name="Earlier version").click()
    assert reader.texts("user") == ["First", "Second"]
    expect(reader.messages("assistant").last.locator("> .body")).not_to_be_empty()


def test_what_cannot_be_kept_is_said(reader):
    reader.page.evaluate(
        "() => { IDBObjectStore.prototype.put = () => { throw new DOMException('no room') } }"
    )
    reader.ask("Hello")
    reader.wait()
    told = reader.page.locator("#composer > .error")
    expect(told).to_have_text("The conversation could not be kept: no room")
    expect(told).to_be_in_viewport()


def test_a_failed_answer_is_no_turn(reader):
    reader.page.route("**/v1/chat/completions", lambda route: route.abort())
    reader.ask("One")
    expect(reader.messages("assistant").locator("> .error")).to_be_visible()
    reader.page.unroute_all()
    with reader.page.expect_request("**/v1/chat/completions") as sent:
        reader.ask("Two")
    assert sent.value.post_data_json["messages"] == [{"role": "user", "content": "One\n\nTwo"}]
    reader.wait()
    reader.errors.clear()  # the browser's own about the first


def test_what_goes_wrong_is_said(reader):
    reader.set("max_tokens", "-1")
    reader.ask("Hello")
    error = reader.messages("assistant").locator("> .error")
    expect(error).to_contain_text("max_tokens")
    reader.set("max_tokens", "8")
    reader.page.locator("select[data-name=policy]").select_option("random")
    reader.page.locator("input[data-name=cr]").fill("-3")
    reader.messages("assistant").get_by_role("button", name="Answer again").click()
    expect(error).to_contain_text("cr")
    reader.page.locator("input[data-name=cr]").fill("4")
    reader.page.route("**/v1/chat/completions", lambda route: route.abort())
    reader.messages("assistant").get_by_role("button", name="Answer again").click()
    expect(error).to_have_text("The server cannot be reached.")
    reader.page.unroute_all()
    answer_with(reader, stream({"content": "half"}).replace("data: [DONE]\n\n", ""))
    reader.messages("assistant").get_by_role("button", name="Answer again").click()
    expect(error).to_have_text("The connection to the server was lost.")
    assert reader.texts("assistant") == ["half"]
    reader.page.unroute_all()
    reader.messages("assistant").get_by_role("button", name="Answer again").click()
    reader.wait()
    expect(error).to_be_hidden()
    # The browser itself tells its console of each of them.
    refused = [e for e in reader.errors if "Failed to load resource" in e]
    assert refused == reader.errors
    reader.errors.clear()


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


def test_what_is_remembered_is_shown(reader, server):
    reader.page.locator("select[data-name=policy]").select_option("streaming")
    reader.page.locator("input[data-name=start_size]").fill("2")
    reader.page.locator("input[data-name=recent_size]").fill("16")
    reader.ask("One two three four five six seven eight nine ten eleven twelve")
    reader.wait()
    panel = reader.page.get_by_label("Memory", exact=True).locator(".memory-view").first
    facts = panel.locator("dd").all_inner_texts()
    seen, held = int(facts[0]), int(facts[1])
    assert 40 < seen < 200
    assert held == 19  # the first two, sixteen, and the last itself
    expect(panel.locator(".map-cell")).to_have_count(12)  # the demo's 6 layers of 2 heads
    expect(panel.get_by_role("img").first).to_have_attribute(
        "aria-label", re.compile("6 layers by 2 heads")
    )
    expect(panel.locator(".ratio")).to_have_text(re.compile(rf"{19 / seen * 100:.0f} %"))
    reader.page.get_by_text("Shade the conversation").click()
    asked = reader.messages("user").locator(".token")
    assert "".join(asked.all_inner_texts()) == reader.texts("user")[0]
    assert reader.messages("user").locator(".token.is-held").count() == 0
    said = reader.messages("assistant")
    assert said.locator(".token.is-held").count() == 17
    reader.page.get_by_text("Shade the conversation").click()
    expect(reader.page.locator(".token")).to_have_count(0)


def test_two_policies_stand_side_by_side(reader):
    reader.page.get_by_text("Side by side with another").click()
    reader.page.locator("select[data-name=policy]").first.select_option("streaming")
    reader.page.locator("input[data-name=recent_size]").fill("8")
    reader.ask("Once upon a time there was a king who had three daughters, and the youngest")
    reader.wait()
    pair = reader.page.locator(".pair .message")
    expect(pair).to_have_count(2)
    expect(pair.nth(0).locator(".note")).to_contain_text("streaming · recent_size 8")
    expect(pair.nth(1).locator(".note")).to_contain_text("100 % held")
    views = reader.page.locator(".memory-view:visible")
    expect(views).to_have_count(2)
    expect(views.nth(1).locator(".ratio")).to_have_text("100 %")
    other = reader.texts("assistant")[1]
    pair.nth(1).get_by_role("button", name="Go on with this").click()
    expect(pair.nth(1)).to_have_attribute("data-chosen", "")
    sent = []
    reader.page.on("request", lambda request: sent.append(request.post_data_json))
    reader.page.get_by_text("Side by side with another").click()
    reader.ask("Go on")
    reader.wait()
    (body,) = sent
    assert body["messages"][1]["content"].strip() == other.strip()
    assert body["dms"]["policy"] == "streaming"
    expect(reader.page.locator(".pair .message")).to_have_count(2)


def test_it_is_read_on_a_phone(server, browser):
    reader = reader_of(
        browser, server.url, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
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


def test_it_is_dark_where_its_reader_wants_it(server, browser):
    def is_dark(reader: Reader) -> bool:
        color = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return max(map(int, re.findall(r"\d+", color)[:3])) < 128

    for scheme in ("light", "dark"):
        reader = reader_of(browser, server.url, color_scheme=scheme)
        reader.open()
        assert is_dark(reader) == (scheme == "dark")
        reader.page.get_by_role("button", name="Dark or light").click()
        assert is_dark(reader) == (scheme == "light")
        reader.open()
        assert is_dark(reader) == (scheme == "light")
        reader.page.context.close()


def test_a_key_is_asked_for_and_kept_in_the_tab(browser):
    with serving("--template", "plain", "--api-key", "secret") as server:
        reader = reader_of(browser, server.url)
        page = reader.page
        page.goto("/")
        for wrong in ("wrong", "\u043a\u043b\u044e\u0447"):
            page.get_by_label("Key", exact=True).fill(wrong)
            page.keyboard.press("Enter")
            expect(page.get_by_text("does not know this key")).to_be_visible()
        page.get_by_label("Key", exact=True).fill("secret")
        page.keyboard.press("Enter")
        expect(page.locator("select[data-name=policy]").first).to_contain_text("dms")
        reader.open()  # it is not asked for again
        reader.ask("Hello")
        reader.wait()
        assert reader.texts("assistant")[0].strip()
        stored = page.evaluate("JSON.stringify(localStorage)")
        assert "secret" not in stored
        page.context.close()
