"""The page of `dms serve`: what is remembered of a conversation, and under which policies."""

from __future__ import annotations

import re

from page_reader import expect


def test_what_is_remembered_is_shown(reader):
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


def test_where_one_of_two_fails_the_conversation_goes_on_from_the_other(reader):
    reader.page.locator("#policy").click()
    policy = reader.page.locator("select[data-name=policy]").first
    expect(policy).to_be_focused()
    policy.select_option("random")
    reader.page.locator("input[data-name=cr]").fill("-3")
    reader.page.get_by_text("Side by side with another").click()
    reader.ask("Once upon a time")
    reader.wait()
    pair = reader.page.locator(".pair .message")
    expect(pair.nth(0).locator("> .error")).to_contain_text("cr")
    expect(pair.nth(1)).to_have_attribute("data-chosen", "")
    reader.errors.clear()  # the browser's own about the first
