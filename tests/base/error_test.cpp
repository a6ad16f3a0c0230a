#include "dms/error.h"

#include <gtest/gtest.h>

namespace dms {
namespace {

TEST(Error, IsOneLineInAFixedOrder) {
  const InputError error({.where = "file: key",
                          .what = "bad value",
                          .got = "3",
                          .expected = "1 or 2",
                          .hint = "take 1"});
  EXPECT_STREQ(error.what(), "file: key: bad value (got 3, expected 1 or 2); take 1");
  EXPECT_EQ(error.parts().where, "file: key");
  EXPECT_EQ(error.parts().hint, "take 1");
  EXPECT_STREQ(InputError({.field = "top_p", .what = "out of range"}).what(),
               "top_p: out of range");
  EXPECT_STREQ(RunError({.what = "bad", .expected = "good"}).what(), "bad (expected good)");
}

TEST(Error, ShowsNothingThatATerminalObeys) {
  const InputError error({.where = "a\x1b[2J\nb",
                          .what = "c\x7f"
                                  "d\xc2\x9b"
                                  "31m",
                          .got = "\xff-\x9b"});
  EXPECT_STREQ(error.what(), "a [2J b: c d 31m (got ?-?)");
}

}  // namespace
}  // namespace dms
