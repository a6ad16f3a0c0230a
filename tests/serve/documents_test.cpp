// Which documents are known, and which of them are in memory. Their caches are of a tiny model.

#include "serve/documents.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/document_prompt.h"
#include "serve/facts.h"
#include "serve/slots.h"
#include "support/temp_folder.h"

namespace dms::serve {
namespace {

using dms::testing_support::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::refusal;

constexpr const char* kConfig = R"({
  "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 83,
  "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
  "rope_theta": 10000.0, "hidden_act": "silu"})";

LLM tiny_llm() {
  const TempFolder folder;
  return LLM::with_random_weights(folder.write("config.json", kConfig), 1);
}

class DocumentStore : public testing::Test {
 protected:
  Document make() { return llm_.make_document(std::vector<int32_t>(40, 7)); }

  EntryPointer put(Documents& documents, const std::string& name, bool in_file) {
    const Document document = make();
    const DocumentNote note{.created = 5};
    DocumentEntry entry{.name = name,
                        .note = write_note(note),
                        .created = note.created,
                        .ids = {document.ids().begin(), document.ids().end()},
                        .cache = document.cache(),
                        .held_bytes = document.held_bytes()};
    if (in_file) entry.file_bytes = document.save(documents.file_of(name), entry.note);
    const auto pointer = std::make_shared<const DocumentEntry>(std::move(entry));
    documents.make_room(document.held_bytes(), name);
    documents.put(pointer, document);
    return pointer;
  }

  static std::vector<std::string> in_memory(const Documents& documents) {
    std::vector<std::string> names;
    for (const auto& [entry, is_in_memory] : documents.list()) {
      if (is_in_memory) names.push_back(entry->name);
    }
    return names;
  }

  TempFolder folder_;
  LLM llm_ = tiny_llm();
  const int64_t one_ = make().held_bytes();
};

TEST_F(DocumentStore, TheOnesUsedLongestAgoLeaveMemory) {
  const DocumentSettings settings{.folder = folder_.path(), .most = 4, .memory_bytes = 2 * one_};
  Documents documents(settings);
  const EntryPointer a = put(documents, "a", true);
  const EntryPointer b = put(documents, "b", true);
  EXPECT_TRUE(documents.use(*a));
  const EntryPointer c = put(documents, "c", true);
  EXPECT_THAT(in_memory(documents), ElementsAre("a", "c"));
  EXPECT_FALSE(documents.use(*b));
  documents.make_room(one_, "b");
  documents.hold(b, make());
  EXPECT_THAT(in_memory(documents), ElementsAre("b", "c"));
  // One that is replaced takes its own place.
  put(documents, "c", true);
  EXPECT_THAT(in_memory(documents), ElementsAre("b", "c"));
  EXPECT_FALSE(documents.use(*c)) << "another has its name";
  documents.hold(c, make());
  EXPECT_TRUE(documents.drop_oldest());
  EXPECT_THAT(in_memory(documents), ElementsAre("c"));
  EXPECT_TRUE(documents.drop_oldest());
  EXPECT_FALSE(documents.drop_oldest());
  EXPECT_TRUE(documents.erase("b"));
  EXPECT_FALSE(documents.erase("b"));
  EXPECT_EQ(documents.find("b"), nullptr);
}

TEST_F(DocumentStore, SeesWhatOthersDoToASharedFolder) {
  const DocumentSettings settings{
      .folder = folder_.path(), .is_shared = true, .most = 2, .memory_bytes = 9 * one_};
  Documents here(settings);
  Documents there(settings);
  for (Documents* documents : {&here, &there}) documents->scan(llm_, [](const std::string&) {});
  put(there, "a", true);
  const EntryPointer a = here.find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->ids, std::vector<int32_t>(40, 7));
  EXPECT_EQ(here.find("a"), a) << "it is the same as long as its file is";
  here.hold(a, make());
  EXPECT_TRUE(here.use(*a));
  here.require_place("a");

  put(there, "a", true);
  EXPECT_NE(here.find("a"), a);
  EXPECT_FALSE(here.use(*a)) << "another is in its place";
  EXPECT_THAT(in_memory(here), ElementsAre());
  EXPECT_EQ(there.find("a")->name, "a");
  EXPECT_THAT(in_memory(there), ElementsAre("a")) << "its own is no news";

  put(there, "b", true);
  EXPECT_EQ(here.list().size(), 2u);
  folder_.write("c.dmsdoc", "no document");
  EXPECT_EQ(here.find("c"), nullptr);
  EXPECT_EQ(refusal([&] { here.require_place("c"); }).status(), 409);
  std::filesystem::remove(folder_.path() / "a.dmsdoc");
  EXPECT_EQ(here.list().size(), 1u);
  EXPECT_EQ(there.find("a"), nullptr);
  EXPECT_EQ(here.find("../a"), nullptr);
}

TEST_F(DocumentStore, WhatIsInNoFileStays) {
  const DocumentSettings settings{.most = 2, .memory_bytes = 2 * one_ - 1};
  Documents documents(settings);
  put(documents, "a", false);
  EXPECT_EQ(refusal([&] { documents.make_room(one_, "b"); }).status(), 507);
  EXPECT_EQ(refusal([&] { documents.make_room(2 * one_, "a"); }).status(), 507);
  documents.make_room(one_, "a");
  EXPECT_FALSE(documents.drop_oldest());
  EXPECT_THAT(in_memory(documents), ElementsAre("a"));
}

TEST_F(DocumentStore, HoldsNoMoreThanAreAllowed) {
  const DocumentSettings settings{.most = 1, .memory_bytes = 9 * one_};
  Documents documents(settings);
  documents.require_place("a");
  put(documents, "a", false);
  documents.require_place("a");
  EXPECT_EQ(refusal([&] { documents.require_place("b"); }).status(), 507);
}

TEST_F(DocumentStore, ThoseBeingMadeCount) {
  const DocumentSettings settings{.most = 2, .memory_bytes = 2 * one_};
  Documents documents(settings);
  documents.reserve("a", one_);
  documents.reserve("b", one_);
  EXPECT_EQ(refusal([&] { documents.require_place("c"); }).status(), 507);
  EXPECT_EQ(refusal([&] { documents.reserve("a", one_); }).status(), 507) << "no memory";
  documents.give_up("b", one_);
  documents.require_place("c");
  EXPECT_EQ(refusal([&] { documents.make_room(one_ + 1, "c"); }).status(), 507);
  documents.reserve("c", one_);
  const Document made = make();
  documents.put(std::make_shared<const DocumentEntry>(
                    DocumentEntry{.name = "c", .held_bytes = made.held_bytes()}),
                made);
  EXPECT_EQ(refusal([&] { documents.reserve("b", one_); }).status(), 507) << "no place";
  documents.erase("c");
  documents.reserve("b", one_);
}

TEST_F(DocumentStore, ForeignFilesKeepTheirNames) {
  const DocumentSettings settings{.folder = folder_.path(), .most = 4, .memory_bytes = 9 * one_};
  Documents documents(settings);
  folder_.write("foreign.dmsdoc", "another model's");
  EXPECT_EQ(refusal([&] { documents.require_place("foreign"); }).status(), 409);
  put(documents, "a", true);
  documents.require_place("a");
}

TEST_F(DocumentStore, FindsWhatLiesInItsFolderAndTellsOfTheRest) {
  const DocumentSettings settings{.folder = folder_.path(), .memory_bytes = 9 * one_};
  {
    Documents before(settings);
    put(before, "good", true);
    put(before, "cut", true);
  }
  std::filesystem::resize_file(folder_.path() / "cut.dmsdoc", 100);
  make().save(folder_.path() / "noteless.dmsdoc");
  folder_.write("text.dmsdoc", "no document");
  folder_.write("other.txt", "none of ours");
  folder_.write(".hidden.dmsdoc", "");
  std::filesystem::create_symlink(folder_.path() / "good.dmsdoc", folder_.path() / "link.dmsdoc");
  Documents documents(settings);
  std::string notices;
  documents.scan(llm_, [&](const std::string& text) { notices += text + "\n"; });
  ASSERT_EQ(documents.list().size(), 1u);
  const EntryPointer entry = documents.find("good");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->created, 5);
  EXPECT_EQ(entry->ids, std::vector<int32_t>(40, 7));
  EXPECT_FALSE(documents.use(*entry)) << "its cache is read when it is wanted";
  EXPECT_THAT(notices, HasSubstr("cut.dmsdoc"));
  EXPECT_THAT(notices, HasSubstr("text.dmsdoc"));
  EXPECT_EQ(std::ranges::count(notices, '\n'), 5);
}

TEST_F(DocumentStore, TakesNoMoreFromItsFolderThanAreAllowed) {
  DocumentSettings settings{.folder = folder_.path(), .memory_bytes = 9 * one_};
  {
    Documents before(settings);
    for (const char* name : {"c", "a", "b"}) put(before, name, true);
  }
  settings.most = 2;
  Documents documents(settings);
  std::string notices;
  documents.scan(llm_, [&](const std::string& text) { notices += text; });
  EXPECT_EQ(documents.list().size(), 2u);
  EXPECT_EQ(documents.find("c"), nullptr) << "the last by name";
  EXPECT_THAT(notices, HasSubstr("c.dmsdoc"));
  EXPECT_THAT(notices, HasSubstr("--max-documents"));
}

TEST_F(DocumentStore, SlotsGiveWayToTheNewest) {
  const SlotSettings settings{.count = 3, .memory_bytes = 2 * one_};
  Slots slots(settings);
  EXPECT_TRUE(slots.keep(0, make()));
  EXPECT_TRUE(slots.keep(1, make()));
  EXPECT_TRUE(slots.beginning_of(0, {}));
  EXPECT_FALSE(slots.beginning_of(0, {.policy = "random"})) << "kept in another way";
  EXPECT_TRUE(slots.keep(2, make()));
  EXPECT_TRUE(slots.at(0));
  EXPECT_FALSE(slots.at(1));
  EXPECT_TRUE(slots.keep(2, make()));
  EXPECT_TRUE(slots.at(0)) << "what is replaced makes room";
  const Document large = llm_.make_document(std::vector<int32_t>(2000, 7));
  EXPECT_FALSE(slots.keep(0, large));
  EXPECT_FALSE(slots.at(0));
  EXPECT_TRUE(slots.at(2));
  EXPECT_TRUE(slots.drop_oldest());
  EXPECT_FALSE(slots.at(2));
  EXPECT_FALSE(slots.drop_oldest());
}

}  // namespace
}  // namespace dms::serve
