// Results survive whatever ends a run, and are not mixed with those of other settings.

#include "eval/store.h"

#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::eval {
namespace {

const Identity kIdentity{{"model", "demo"}, {"text", "0123"}};

Record record(double value) {
  return {.numbers = {{"nll", value}}, .texts = {{"answer", "a\n\"b\""}}};
}

TEST(EvalStore, GoesOnWhereItStopped) {
  const testing_support::TempFolder folder;
  const auto out = folder.path() / "new" / "results";
  {
    Store store(out, kIdentity, false);
    EXPECT_EQ(store.found(), 0u);
    store.put("none 0", record(0.1));
    store.put("dms 0", record(1.0 / 3.0));
  }
  Store store(out, kIdentity, false);
  EXPECT_EQ(store.found(), 2u);
  ASSERT_NE(store.find("dms 0"), nullptr);
  EXPECT_EQ(*store.find("dms 0"), record(1.0 / 3.0));
  EXPECT_EQ(store.find("dms 1"), nullptr);
}

TEST(EvalStore, TakesNothingOfALineThatWasCut) {
  const testing_support::TempFolder folder;
  { Store(folder.path(), kIdentity, false).put("a", record(1)); }
  std::ofstream(folder.path() / "results.jsonl", std::ios::app) << R"({"key": "b", "numb)";
  {
    Store store(folder.path(), kIdentity, false);
    EXPECT_EQ(store.found(), 1u);
    store.put("c", record(2));
  }
  const Store store(folder.path(), kIdentity, false);
  EXPECT_EQ(store.found(), 2u);
  EXPECT_NE(store.find("c"), nullptr);
}

/// What is said of a folder whose third line is this one.
std::string refusal_of(const std::string& line) {
  const testing_support::TempFolder folder;
  { Store(folder.path(), kIdentity, false).put("a", record(1)); }
  std::ofstream(folder.path() / "results.jsonl", std::ios::app) << line << "\n";
  return testing_support::input_error([&] {
    const auto form = std::make_shared<const Record>(record(0));
    Store(folder.path(), kIdentity, false)
        .check({{.policy = "none", .key = "b", .form = form},
                {.policy = "none", .key = "not there", .form = form}});
  });
}

TEST(EvalStore, SaysWhatIsWrongWithWhichLine) {
  const auto expect = [](const std::string& line, std::initializer_list<std::string> parts) {
    testing_support::expect_parts(refusal_of(line), parts);
  };
  expect(R"({"key": "b", "numb)", {"results.jsonl:3: ", "take the line out", "--force"});
  expect(R"({"key": 7})", {"results.jsonl:3: key", "got 7", "take the line out"});
  expect(R"({"key": "b", "numbers": 3})", {"results.jsonl:3: numbers", "got 3", "a JSON object"});
  for (const char* bad : {R"("9")", "true", "1e300", "Infinity"}) {
    expect(fmt::format(R"({{"key": "b", "numbers": {{"nll": {}}}}})", bad),
           {"results.jsonl:3: numbers: nll", "got ", "a number"});
  }
  const std::string texts = R"("texts": {"answer": "x"})";
  expect(R"({"key": "b", "numbers": {"score": 1}, )" + texts + "}",
         {"results.jsonl:3: numbers: nll", "missing", "take the line out"});
  expect(R"({"key": "b", "numbers": {"nll": null}, )" + texts + "}", {"numbers: nll", "missing"});
  expect(R"({"key": "b", "numbers": {"nll": 1}})", {"texts: answer", "missing"});
  expect(R"({"key": "b", "numbers": {"nll": 1}, "texts": {"answer": 2}})",
         {"results.jsonl:3: texts: answer", "got 2"});
}

TEST(EvalStore, KnowsTheLinesOfAFileThatItHasWrittenAnew) {
  const testing_support::TempFolder folder;
  {
    Store store(folder.path(), kIdentity, false);
    store.put("b", record(1));
    store.put("a", record(1));
  }
  Store store(folder.path(), kIdentity, false, {{"trec", "01"}});
  const auto form = std::make_shared<const Record>(Record{.numbers = {{"score", 0}}});
  testing_support::expect_parts(testing_support::input_error([&] {
                                  store.check({{.policy = "none", .key = "b", .form = form}});
                                }),
                                {"results.jsonl:3: numbers: score", "missing"});
  std::ifstream file(folder.path() / "results.jsonl");
  std::string third;
  for (int i = 0; i < 3; ++i) std::getline(file, third);
  EXPECT_NE(third.find(R"("key":"b")"), std::string::npos) << third;
}

TEST(EvalStore, RefusesOtherSettingsUnlessForced) {
  const testing_support::TempFolder folder;
  { Store(folder.path(), kIdentity, false).put("a", record(1)); }
  const Identity other{{"model", "demo"}, {"text", "4567"}};
  const std::string error =
      testing_support::input_error([&] { Store(folder.path(), other, false); });
  testing_support::expect_parts(error, {"results.jsonl: text:", "'0123'", "'4567'", "--force"});
  EXPECT_EQ(Store(folder.path(), other, true).found(), 0u);
  EXPECT_EQ(Store(folder.path(), other, false).found(), 0u);
}

TEST(EvalStore, TakesFilesThatItLacks) {
  const testing_support::TempFolder folder;
  const Identity trec{{"trec", "01"}};
  const Identity both{{"trec", "01"}, {"lcc", "02"}};
  { Store(folder.path(), kIdentity, false, trec).put("a", record(1)); }
  { Store(folder.path(), kIdentity, false, both).put("b", record(2)); }
  // What one run does not ask for, later ones are held to.
  EXPECT_EQ(Store(folder.path(), kIdentity, false).found(), 2u);
  for (const Identity& other : {Identity{{"trec", "03"}}, Identity{{"lcc", "03"}}}) {
    testing_support::expect_parts(
        testing_support::input_error([&] { Store(folder.path(), kIdentity, false, other); }),
        {other.begin()->first + ": holds results of another file", "expected '03'"});
  }
  EXPECT_EQ(Store(folder.path(), kIdentity, false, both).found(), 2u);
}

TEST(EvalStore, ASettingIsNoFileThatMayComeLater) {
  const testing_support::TempFolder folder;
  { Store(folder.path(), kIdentity, false).put("a", record(1)); }
  const Identity more{{"model", "demo"}, {"text", "0123"}, {"adapter", "zap"}};
  EXPECT_THROW(Store(folder.path(), more, false), InputError);
}

TEST(EvalStore, IsWrittenByOneAtATime) {
  const testing_support::TempFolder folder;
  {
    const Store store(folder.path(), kIdentity, false);
    for (const bool force : {false, true}) {
      testing_support::expect_parts(
          testing_support::input_error([&] { Store(folder.path(), kIdentity, force); }),
          {folder.path().string(), "another run is writing there"});
    }
  }
  EXPECT_EQ(Store(folder.path(), kIdentity, false).found(), 0u);
}

TEST(EvalStore, RefusesWhatIsNoStore) {
  const testing_support::TempFolder folder;
  const auto file = folder.path() / "results.jsonl";
  for (const char* text : {"", "no json\n", "[]\n", "{\"evaluation\": 3}\n", "{}\n{}\n"}) {
    std::ofstream(file) << text;
    EXPECT_THROW(Store(folder.path(), kIdentity, false), InputError) << text;
  }
  EXPECT_THROW(Store(file, kIdentity, false), InputError);
}

TEST(EvalStore, ForgetsRecordsForGood) {
  const testing_support::TempFolder folder;
  {
    Store store(folder.path(), kIdentity, false);
    for (const char* key : {"a", "b", "c"}) store.put(key, record(1));
  }
  {
    Store store(folder.path(), kIdentity, false);
    store.forget({"a", "c", "never there"});
    EXPECT_EQ(store.found(), 1u);
    EXPECT_EQ(store.find("a"), nullptr);
    store.put("c", record(2));
  }
  const Store store(folder.path(), kIdentity, false);
  EXPECT_EQ(store.found(), 2u);
  EXPECT_EQ(store.find("a"), nullptr);
  EXPECT_EQ(*store.find("b"), record(1));
  EXPECT_EQ(*store.find("c"), record(2));
}

TEST(EvalStore, LivesInMemoryWithoutAFolder) {
  Store store;
  store.put("a", record(1));
  EXPECT_EQ(*store.find("a"), record(1));
  EXPECT_EQ(store.find("a")->number("nll"), 1.0);
  EXPECT_EQ(store.find("a")->number("kld"), 0.0);
}

}  // namespace
}  // namespace dms::eval
