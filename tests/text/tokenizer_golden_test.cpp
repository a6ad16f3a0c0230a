// Equality with Hugging Face's tokenizers on recorded cases of five vocabularies.

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

std::string quoted(const std::string& path) { return "'" + path + "'"; }

// The text of a tokenizer.json, packed or not.
std::string read_packed(const std::filesystem::path& folder) {
  const std::filesystem::path plain = folder / "tokenizer.json";
  if (std::filesystem::exists(plain)) return read_text_file(plain, int64_t{1} << 28);
  const std::string command = "xz -dc " + quoted((folder / "tokenizer.json.xz").string());
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  std::vector<char> buffer(1 << 16);
  for (size_t got = 1; got > 0;) {
    got = std::fread(buffer.data(), 1, buffer.size(), pipe);
    text.append(buffer.data(), got);
  }
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

std::vector<int32_t> read_ids(const Json& json) {
  std::vector<int32_t> ids;
  for (const Json& id : json) {
    const auto value = id.get<int64_t>();
    ids.push_back(value > INT32_MAX ? -1 : static_cast<int32_t>(value));  // outside either way
  }
  return ids;
}

Json streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamDecoder decoder(tokenizer, false);
  Json pieces = Json::array();
  for (const int32_t id : ids) {
    const std::string piece = decoder.push(id);
    pieces.push_back(piece.empty() ? Json() : Json(piece));
  }
  return pieces;
}

// A text that was said up to a split goes on to the whole, wherever it is split.
void check_continuations(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  constexpr size_t kSplits = 12;
  for (const bool skip : {true, false}) {
    const std::string whole = tokenizer.decode(ids, skip);
    for (size_t i = 0; i <= kSplits; ++i) {
      const auto before = std::span(ids).first(ids.size() * i / kSplits);
      StreamDecoder prompt(tokenizer, skip);
      std::string text;
      for (const int32_t id : before) text += prompt.push(id);
      StreamDecoder rest(tokenizer, skip, before);
      for (const int32_t id : std::span(ids).subspan(before.size())) text += rest.push(id);
      EXPECT_EQ(text + rest.finish(), whole) << "split at " << before.size() << ", skip " << skip;
    }
  }
}

// The bytes of the tokens, one by one, make the text, but for a space that its start drops.
void check_bytes(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id);
  const std::string whole = tokenizer.decode(ids, false);
  EXPECT_TRUE(bytes == whole || bytes == " " + whole) << bytes;
}

void check_case(const Tokenizer& tokenizer, const Json& golden) {
  SCOPED_TRACE(golden["case"].get<std::string>());
  const std::vector<int32_t> ids = read_ids(golden["ids"]);
  if (golden.contains("text")) {
    const auto text = golden["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, golden["add_special_tokens"].get<bool>()), ids) << text;
  }
  EXPECT_EQ(tokenizer.decode(ids, false), golden["decoded"].get<std::string>());
  EXPECT_EQ(tokenizer.decode(ids, true), golden["decoded_skip_special"].get<std::string>());
  if (golden.contains("stream")) {
    EXPECT_EQ(streamed(tokenizer, ids), golden["stream"]);
  }
  // Ids that no text has may hold byte runs that break after whole characters.
  if (golden.contains("text") && ids.size() < 600) check_continuations(tokenizer, ids);
  if (golden.contains("text")) check_bytes(tokenizer, ids);
}

class TokenizerGolden : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerGolden, GivesTheIdsAndTextOfTokenizers) {
  const auto data = testing_support::tokenizer_data();
  if (!data) GTEST_SKIP() << "DMS_TEST_DATA is not set";
  const Tokenizer tokenizer = Tokenizer::parse(read_packed(*data / GetParam()), GetParam());
  std::ifstream goldens(*data / "goldens" / (GetParam() + ".jsonl"));
  int64_t cases = 0;
  for (std::string line; std::getline(goldens, line); ++cases) {
    check_case(tokenizer, Json::parse(line));
  }
  EXPECT_GT(cases, 400) << "goldens missing in " << *data;
}

INSTANTIATE_TEST_SUITE_P(All,
                         TokenizerGolden,
                         testing::Values("llama3", "qwen3", "llama2", "gpt-neox", "tiny8k"),
                         [](const auto& case_info) {
                           std::string name = case_info.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace dms::text
