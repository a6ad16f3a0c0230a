#include "serve/access_log.h"

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

const std::chrono::system_clock::time_point kNow{std::chrono::seconds(1'767'182'400)};

TEST(AccessLog, TellsWhoWhatAndHowLong) {
  const AccessEntry entry{.client = "127.0.0.1",
                          .method = "POST",
                          .path = "/v1/completions",
                          .status = 200,
                          .took = std::chrono::milliseconds(35),
                          .prompt_tokens = 12,
                          .generated_tokens = 16};
  EXPECT_EQ(access_line(entry, kNow),
            "2025-12-31T12:00:00Z 127.0.0.1 POST /v1/completions 200 35 ms, 12 + 16 tokens");
}

TEST(AccessLog, IsOneLineOfPrintableTextWhateverThePathHolds) {
  const AccessEntry entry{.client = "::1",
                          .method = "GET",
                          .path = "/\x1b[2J\n\xff 200 " + std::string(1000, 'x'),
                          .status = 404};
  const std::string line = access_line(entry, kNow);
  EXPECT_LT(line.size(), 250U);
  for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
  EXPECT_EQ(line.find("/\\u001b[2J?"), line.find('/')) << line;
}

}  // namespace
}  // namespace dms::serve
