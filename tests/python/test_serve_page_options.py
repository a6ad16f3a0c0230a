"""The page of `dms serve`: what each conversation's answers are asked for with."""

from __future__ import annotations

from page_reader import Reader, answer_with, expect, stream

SYSTEM = ".system-text"

# What the browser keeps of conversations: what was being put there when it was asked for, too.
KEPT = """() => new Promise((resolve) => {
  const open = indexedDB.open('dms');
  open.onsuccess = () => {
    const table = open.result.transaction('conversations').objectStore('conversations');
    const all = table.getAll();
    all.onsuccess = () => resolve(all.result);
  };
})"""


def kept(reader: Reader, title: str) -> dict:
    """The options of one conversation."""
    conversations = reader.page.evaluate(KEPT)
    (options,) = [one["options"] for one in conversations if one["title"] == title]
    return options


def open_conversation(reader: Reader, title: str) -> None:
    reader.page.locator(".conversation", has_text=title).click()


def test_each_conversation_has_its_own_system_prompt(reader):
    answer_with(reader, stream({"content": "Yes."}))
    shown = reader.page.locator(SYSTEM)
    expect(shown).to_be_hidden()
    reader.set_default("system", "Be brief.")
    expect(shown).to_have_text("Be brief.")  # nothing was said in the one that is open
    brief = {"role": "system", "content": "Be brief."}
    assert reader.asks_for("First")["messages"] == [brief, {"role": "user", "content": "First"}]
    reader.page.locator("#new").click()
    expect(shown).to_have_text("Be brief.")
    reader.set_system("  Speak <b>Latin</b>.\nAlways. ")
    expect(shown).to_have_text("Speak <b>Latin</b>.\nAlways.")
    latin = {"role": "system", "content": "Speak <b>Latin</b>.\nAlways."}
    assert reader.asks_for("Second")["messages"][0] == latin
    reader.set_default("system", "")
    expect(shown).to_have_text(latin["content"])
    open_conversation(reader, "First")
    expect(shown).to_have_text("Be brief.")
    assert reader.asks_for("And")["messages"][0] == brief
    reader.page.locator("#new").click()
    expect(shown).to_be_hidden()
    reader.set_system("Unsaid as yet.")
    assert kept(reader, "New conversation")["system"] == "Unsaid as yet."
    reader.open()
    expect(shown).to_have_text("Unsaid as yet.")
    open_conversation(reader, "Second")
    expect(shown).to_have_text(latin["content"])
    reader.set_system("")
    expect(shown).to_be_hidden()
    assert reader.asks_for("Again")["messages"][0] == {"role": "user", "content": "Second"}


def test_each_conversation_has_its_own_policies_and_sampling(reader):
    answer_with(reader, stream({"content": "Yes."}))
    policy = reader.page.locator("#memory select[data-name=policy]").first
    temperature = reader.page.locator("#memory [data-name=temperature]")
    reader.set("temperature", "0.5")
    policy.select_option("streaming")
    reader.page.locator("#memory input[data-name=recent_size]").fill("8")
    body = reader.asks_for("First")
    assert body["temperature"] == 0.5
    assert body["dms"]["policy_args"] == {"recent_size": "8"}
    reader.page.locator("#new").click()
    expect(policy).to_have_value("")
    expect(temperature).to_have_value("0")
    reader.page.get_by_text("Side by side with another").click()
    body = reader.asks_for("Second")
    assert body["temperature"] == 0
    assert "policy" not in body["dms"]
    open_conversation(reader, "First")
    expect(policy).to_have_value("streaming")
    expect(reader.page.get_by_text("Other policy")).to_have_count(0)
    reader.set("temperature", "0.25")  # where nothing is asked for afterwards it is kept, too
    expect(temperature).to_have_value("0.25")
    open_conversation(reader, "Second")
    expect(reader.page.get_by_text("Other policy")).to_be_visible()
    assert kept(reader, "First")["sampling"]["temperature"] == "0.25"
    reader.open()
    open_conversation(reader, "First")
    expect(temperature).to_have_value("0.25")
    expect(policy).to_have_value("streaming")
    expect(reader.page.locator("#memory input[data-name=recent_size]")).to_have_value("8")


# A conversation as it was kept when all had the same options.
OLDER = """async () => {
  const message = {id: 'm', parent: '', role: 'user', content: 'Hello', reasoning: '', files: []};
  const older = {id: 'c', title: 'Older', updated: 1, messages: {m: message}, chosen: {'': 'm'}};
  const open = indexedDB.open('dms', 1);
  await new Promise((resolve) => (open.onsuccess = resolve));
  const change = open.result.transaction('conversations', 'readwrite');
  change.objectStore('conversations').put(older);
  await new Promise((resolve) => (change.oncomplete = resolve));
  localStorage['dms-settings'] = JSON.stringify({
    theme: 'auto', system: 'Be kind.', sampling: {max_tokens: '7'}, isShaded: false,
    caches: [{policy: 'streaming', args: {recent_size: '9'}}, {policy: 'gone', args: {}}],
    compares: false,
  });
}"""


def test_what_older_pages_kept_is_taken_over(reader):
    answer_with(reader, stream({"content": "Yes."}))
    reader.page.evaluate(OLDER)
    reader.open()
    reader.set_default("system", "Be strict.")
    reader.open()
    expect(reader.page.locator(SYSTEM)).to_have_text("Be kind.")
    body = reader.asks_for("Are you there?")
    assert [message["content"] for message in body["messages"]] == [
        "Be kind.",
        "Hello\n\nAre you there?",
    ]
    assert body["max_tokens"] == 7
    assert body["dms"]["policy_args"] == {"recent_size": "9"}
    reader.page.get_by_text("Side by side with another").click()
    other = reader.page.locator("#memory select[data-name=policy]").nth(1)
    expect(other).to_have_value("gone")  # no policy of this server's
    reader.page.locator("#new").click()
    expect(reader.page.locator(SYSTEM)).to_have_text("Be strict.")


def test_of_two_tabs_the_last_change_holds(reader):
    answer_with(reader, stream({"content": "Yes."}))
    reader.ask("First")
    reader.wait()
    other = Reader(reader.page.context.new_page(), reader.errors).open()
    other.set_system("From the other tab.")
    expect(other.page.locator(SYSTEM)).to_have_text("From the other tab.")
    reader.ask("Second")
    reader.wait()
    expect(reader.page.locator(SYSTEM)).to_have_text("From the other tab.")
    reader.open()
    expect(reader.page.locator(SYSTEM)).to_have_text("From the other tab.")
