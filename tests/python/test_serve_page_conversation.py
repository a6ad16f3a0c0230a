"""The page of `dms serve`: conversations, their branches, and what goes wrong in them."""

from __future__ import annotations

import pytest

from page_reader import Reader, answer_with, expect, stream
from serving import until

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
def test_an_answer_can_be_stopped_and_the_server_stops_too(reader, page_server, key):
    reader.set("max_tokens", "4000")
    reader.page.evaluate(WATCH, key)
    reader.ask("Count to a million")
    reader.wait()
    expect(reader.messages("assistant").locator(".note")).to_contain_text("stopped")
    until(page_server.is_idle)
    assert reader.texts("assistant")[0].strip()
    reader.set("max_tokens", "8")
    reader.ask("Go on")  # what was stopped is part of the conversation
    reader.wait()
    assert len(reader.texts("assistant")) == 2


def test_a_conversation_deleted_while_it_is_answered_stays_so(reader, page_server):
    reader.set("max_tokens", "4000")
    reader.ask("Count to a million")
    expect(reader.messages("assistant").locator("> .body")).not_to_be_empty()
    remove = reader.page.get_by_role("button", name="Delete Count to a million")
    remove.dispatch_event("click")
    reader.page.get_by_role("dialog").get_by_role("button", name="Delete").dispatch_event("click")
    expect(reader.messages("user")).to_have_count(0)
    until(page_server.is_idle)
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


DROP = """(element, name) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([`In ${name}`], name));
  const options = {dataTransfer, bubbles: true, cancelable: true};
  element.dispatchEvent(new DragEvent('drop', options));
}"""


def test_files_are_changed_with_their_message(reader):
    def text_file(name: str) -> dict:
        return {"name": name, "mimeType": "text/plain", "buffer": f"In {name}".encode()}

    answer_with(reader, stream({"content": "Yes."}))
    page = reader.page
    page.locator("#composer input[type=file]").set_input_files([text_file("a"), text_file("b")])
    expect(page.locator("#composer .chip-name")).to_have_text(["a", "b"])
    sent = reader.asks_for("Read")
    assert sent["messages"][0]["content"] == "Read\n\na:\n```\nIn a\n```\n\nb:\n```\nIn b\n```"
    expect(page.locator("#composer .chip-name")).to_have_count(0)
    message = reader.messages("user")
    names = message.locator(".chip-name")
    for ends_by in ("Cancel", "Send"):
        message.hover()
        message.get_by_role("button", name="Edit").click()
        expect(names).to_have_text(["a", "b"])
        message.get_by_role("button", name="Remove a").click()
        expect(page.get_by_label("Edit your message")).to_be_focused()
        with page.expect_file_chooser() as chooser:
            message.get_by_role("button", name="Replace b").click()
        chooser.value.set_files([text_file("c")])
        expect(names).to_have_text(["c"])
        message.locator("input[type=file]").set_input_files(
            [{**text_file("picture"), "buffer": b"\x89PNG\xff"}, text_file("d")]
        )
        expect(message.get_by_role("alert").first).to_have_text("picture is no UTF-8 text")
        expect(names).to_have_text(["c", "d"])
        message.get_by_label("Edit your message").evaluate(DROP, "e")
        expect(names).to_have_text(["c", "d", "e"])
        expect(page.locator("#composer .chip-name")).to_have_count(0)
        message.get_by_role("button", name="Remove d").click()
        if ends_by == "Cancel":
            message.get_by_role("button", name="Cancel").click()
            expect(message.locator(".file summary")).to_have_text(["a", "b"])
    with page.expect_request("**/v1/chat/completions") as request:
        message.get_by_role("button", name="Send").click()
    (asked,) = request.value.post_data_json["messages"]
    assert asked["content"] == "Read\n\nc:\n```\nIn c\n```\n\ne:\n```\nIn e\n```"
    expect(message.locator(".file summary")).to_have_text(["c", "e"])
    message.get_by_role("button", name="Earlier version").click()
    expect(message.locator(".file summary")).to_have_text(["a", "b"])


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
