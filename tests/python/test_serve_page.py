"""The page of `dms serve`: how it is served, and who may ask."""

from __future__ import annotations

import base64
import hashlib
import re

from page_reader import expect, reader_of
from serving import serving


def test_the_page_runs_its_own_script_and_nothing_else(page_server):
    for path in ("/", "/index.html"):
        status, headers, html = page_server.request("GET", path)
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
    assert page_server.request("GET", "/index.htm")[0] == 404
    assert page_server.request("POST", "/", "x")[0] == 405


def test_only_its_own_pages_may_ask(page_server):
    body = {"prompt": "a", "max_tokens": 1}
    own = {"Origin": page_server.url}
    assert page_server.request("POST", "/v1/completions", body, own)[0] == 200
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://evil.example", "Host": "evil.example"},  # a name pointed at us
    ):
        assert page_server.request("POST", "/v1/completions", body, headers)[0] == 403, headers


def test_without_the_page_there_is_none_and_no_page_may_ask():
    with serving("--no-page") as server:
        assert server.request("GET", "/")[0] == 404
        body = {"prompt": "a", "max_tokens": 1}
        assert server.request("POST", "/v1/completions", body, {"Origin": server.url})[0] == 403


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
