#include "text/normal_form.h"

#include <fstream>

#include <gtest/gtest.h>

#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

std::string to_nfc(std::string_view text) { return to_normal_form(NormalForm::nfc, text); }

TEST(NormalForm, ComposesAcrossMarksOfOtherClasses) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");  // reordered, nothing to compose
  EXPECT_EQ(to_nfc("a\u0323\u0302"), "\u1ead");         // both marks join
  EXPECT_EQ(to_nfc("a\u0308\u0301"), "\u00e4\u0301");   // same class: the second stays
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");                // singleton
  EXPECT_EQ(to_nfc("\u0915\u093c"), "\u0915\u093c");    // excluded from composition
}

TEST(NormalForm, ComposesHangulByArithmetic) {
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(to_nfc("\ud558\u11ab"), "\ud55c");
  EXPECT_EQ(to_nfc("\ud55c\u11ab"), "\ud55c\u11ab");
}

TEST(NormalForm, TakesMarksNewerThanItsTablesForClassZero) {
  EXPECT_EQ(to_nfc("a\U0001E4EC\u0323"), "a\U0001E4EC\u0323");
}

TEST(NormalForm, EqualsRecordedPairs) {
  const auto data = testing_support::tokenizer_data();
  if (!data) GTEST_SKIP() << "DMS_TEST_DATA is not set";
  std::ifstream file(*data / "unicode" / "nfc.jsonl");
  int64_t pairs = 0;
  for (std::string line; std::getline(file, line); ++pairs) {
    const Json pair = Json::parse(line);
    EXPECT_EQ(to_nfc(pair["text"].get<std::string>()), pair["nfc"].get<std::string>()) << line;
  }
  EXPECT_GE(pairs, 400);
}

}  // namespace
}  // namespace dms::text
