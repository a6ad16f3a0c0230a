#include "cli/flags.h"

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

std::string told(const ErrorParts& parts) { return in_flags(InputError(parts)); }

TEST(Flags, NameTheOptionOfAField) {
  EXPECT_EQ(told({.field = "window_tokens", .what = "out of range", .got = "-1"}),
            "--window: out of range (got -1)");
  EXPECT_EQ(told({.field = "policy_args.cr", .what = "bad value"}), "--policy-args: cr: bad value");
  EXPECT_EQ(told({.field = "stop", .what = "empty", .hint = "use stop_ids"}),
            "--stop: empty; use --stop-id");
  EXPECT_EQ(told({.field = "max_step_tokens", .what = "out of range"}),
            "--max-batch-tokens: out of range");
  EXPECT_EQ(told({.field = "swap_bytes", .what = "out of range"}), "swap_bytes: out of range");
}

TEST(Flags, LeaveFilesAndValuesAlone) {
  EXPECT_EQ(told({.where = "policy", .what = "no such model folder"}),
            "policy: no such model folder");
  EXPECT_EQ(told({.where = "x/window_tokens", .what = "bad", .got = "top_k"}),
            "x/window_tokens: bad (got top_k)");
  EXPECT_EQ(in_flags("a policy of /tmp/top_k/x, top_k/y, -top_k and my_top_k"),
            "a policy of /tmp/top_k/x, top_k/y, -top_k and my_top_k");
  EXPECT_EQ(told({.what = "1 policy was refused: snapkv:budget=20%:kv_dtype=int8"}),
            "1 policy was refused: snapkv:budget=20%:kv_dtype=int8");
}

TEST(Flags, TranslateWordsInSentences) {
  EXPECT_EQ(in_flags("limit reached; raise kv_memory_bytes, or set top_k."),
            "limit reached; raise --kv-memory, or set --top-k.");
  EXPECT_EQ(in_flags(""), "");
}

}  // namespace
}  // namespace dms::cli
