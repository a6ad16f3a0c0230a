#include "serve/own_origin.h"

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

TEST(OwnOrigin, IsTheServersAddressOrTheNameItListensAt) {
  EXPECT_TRUE(is_own_origin("http://127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_TRUE(is_own_origin("http://localhost:8000", "localhost:8000", "127.0.0.1"));
  EXPECT_TRUE(is_own_origin("https://10.1.2.3", "10.1.2.3", "0.0.0.0"));
  EXPECT_TRUE(is_own_origin("http://[::1]:8000", "[::1]:8000", "::1"));
  EXPECT_TRUE(is_own_origin("http://box:8000", "box:8000", "box"));
}

TEST(OwnOrigin, IsNoPageFromElsewhere) {
  EXPECT_FALSE(is_own_origin("", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("null", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("http://", "", ""));
  EXPECT_FALSE(is_own_origin("https://evil.example", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("http://127.0.0.1:3000", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("ftp://127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1"));
}

// The page of a name that its owner points at this machine.
TEST(OwnOrigin, IsNoNameThatTheServerDoesNotGoBy) {
  EXPECT_FALSE(is_own_origin("http://evil.example:8000", "evil.example:8000", "127.0.0.1"));
  EXPECT_FALSE(is_own_origin("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", "0.0.0.0"));
  EXPECT_FALSE(is_own_origin("http://localhost.evil.example", "localhost.evil.example", "::1"));
  EXPECT_FALSE(is_own_origin("http://[evil]:8000", "[evil]:8000", "::1"));
}

}  // namespace
}  // namespace dms::serve
