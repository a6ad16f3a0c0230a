#include "dms/tokenizer.h"

#include <gtest/gtest.h>

#include "dms/llm.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

TEST(Tokenizer, IsOpenedByFolderOrFile) {
  const std::string text = "It was a dark night, \u4e2d\u6587 \U0001F600!";
  const Tokenizer folder(kDemo);
  const Tokenizer file(kDemo / "tokenizer.json");
  EXPECT_EQ(folder.encode(text), file.encode(text));
  EXPECT_EQ(folder.decode(folder.encode(text)), text);
  const ModelSource source(kDemo);
  EXPECT_EQ(source.tokenizer().encode(text), source.encode(text));
  expect_parts(input_error([] { Tokenizer("/nowhere"); }), {"/nowhere"});
}

TEST(Tokenizer, SaysWhatEachTokenIs) {
  const Tokenizer tokenizer(kDemo);
  const std::string text = "It was a dark night, \u4e2d\u6587 \U0001F600!";
  std::string bytes;
  for (const int32_t id : tokenizer.encode(text, false)) {
    const std::optional<TokenInfo> token = tokenizer.token(id);
    ASSERT_TRUE(token);
    EXPECT_EQ(tokenizer.id_of(token->text), id);
    EXPECT_FALSE(token->is_special);
    bytes += token->bytes;
  }
  EXPECT_EQ(bytes, text);
  EXPECT_FALSE(tokenizer.token(-1));
  EXPECT_FALSE(tokenizer.token(static_cast<int32_t>(tokenizer.id_limit())));
  EXPECT_FALSE(tokenizer.id_of("no such token"));
  for (const int32_t id : inspect_model(kDemo).eos_ids) {
    EXPECT_TRUE(tokenizer.token(id)->is_special);
  }
}

TEST(Llm, WithoutATokenizerSaysSo) {
  const ModelSource source = ModelSource::with_random_weights(kDemo / "config.json", 1);
  EXPECT_FALSE(source.has_tokenizer());
  expect_parts(input_error([&] { source.tokenizer(); }), {"tokenizer.json", "token ids"});
}

}  // namespace
}  // namespace dms
