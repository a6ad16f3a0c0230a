#include "cli/run.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/utf8.h"

namespace dms::cli {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kDemo = std::string(DMS_SOURCE_DIR) + "/models/demo";

struct Outcome {
  int status;
  std::string out;
  std::string error;
};

Outcome call(const std::vector<std::string>& arguments) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = run(arguments);
  return {.status = status,
          .out = testing::internal::GetCapturedStdout(),
          .error = testing::internal::GetCapturedStderr()};
}

void expect_refused(const std::vector<std::string>& arguments, const std::string& message) {
  const Outcome outcome = call(arguments);
  EXPECT_EQ(outcome.status, 2) << outcome.error;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.error, AllOf(StartsWith("dms: error: "), HasSubstr(message)));
  EXPECT_EQ(outcome.error.find('\n'), outcome.error.size() - 1) << outcome.error;
  EXPECT_TRUE(is_well_formed(outcome.error)) << outcome.error;
}

TEST(Run, ExplainsWrongUsageInOneLine) {
  expect_refused({}, "command: missing");
  expect_refused({"genrate"}, "did you mean generate?");
  expect_refused({"gen\xff\nx"}, "'gen");
  expect_refused({"frobnicate"}, "'frobnicate'");
  expect_refused({"generate"}, "MODEL: missing");
  expect_refused({"generate", kDemo}, "prompt: missing");
  expect_refused({"generate", kDemo, "-p", "a", "--ids", "b"}, "given more than once");
  expect_refused({"generate", kDemo, "--max-tokens", "3"}, "did you mean --max-new-tokens?");
  expect_refused({"generate", kDemo, "--zzz=1"}, "--zzz: unknown option");
  expect_refused({"generate", kDemo, "--threads"}, "--threads: needs a value");
  expect_refused({"generate", kDemo, "-n", "-3"}, "--max-new-tokens: bad value (got '-3'");
  expect_refused({"generate", kDemo, "-p", "a", "--device", "cuda"}, "--device: not built in");
  expect_refused({"inspect", kDemo, "extra"}, "'extra'");
  expect_refused({"inspect", kDemo, "--config", "x"}, "given beside --config");
  expect_refused({"bench", "--random-weights"}, "--config");
  expect_refused({"score", kDemo, "--text-file", "/nowhere.txt"}, "/nowhere.txt");
  expect_refused({"generate", kDemo, "-p", "a", "--keep-newline"}, "--keep-newline");
}

TEST(Run, StandardInputIsReadByOneOption) {
  expect_refused({"generate", kDemo, "--prompt-file", "-", "--decisions", "/dev/stdin"},
                 "--decisions: standard input can be read once (got --prompt-file reads it too)");
  expect_refused({"score", kDemo, "--ids", "-", "--text-file", "-"}, "standard input");
}

TEST(Run, HelpAndVersionSucceed) {
  for (const char* command : {"inspect", "tokenize", "generate", "chat", "score", "bench"}) {
    const Outcome outcome = call({command, "--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.out, HasSubstr(std::string("  dms ") + command + " ")) << "an example";
    EXPECT_THAT(call({"--help"}).out, HasSubstr(command));
  }
  EXPECT_THAT(call({"--version"}).out, AllOf(StartsWith("dms "), EndsWith("\n")));
}

TEST(Run, InspectPrintsOneJsonObject) {
  const Outcome outcome = call({"inspect", kDemo, "--json"});
  EXPECT_EQ(outcome.status, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("\"kv_bytes_per_token\":3072"));
}

}  // namespace
}  // namespace dms::cli
