#include "serve/auth.h"

#include <gtest/gtest.h>

#include "base/constant_time.h"

namespace dms::serve {
namespace {

TEST(Auth, WithoutKeysEverybodyMayAsk) {
  EXPECT_TRUE(Auth({}, {}).has_key("", ""));
  EXPECT_TRUE(Auth({}, {}).has_key("Bearer whatever", "whatever"));
}

TEST(Auth, AKeyIsABearersAndWhole) {
  const Auth auth({"secret", "other"}, {});
  EXPECT_TRUE(auth.has_key("Bearer secret", ""));
  EXPECT_TRUE(auth.has_key("bearer  other", ""));
  for (const char* wrong : {"",
                            "secret",
                            "Basic secret",
                            "Bearer",
                            "Bearer ",
                            "Bearer secre",
                            "Bearer secrets",
                            "Bearer secretsecret",
                            "Bearer Secret"}) {
    EXPECT_FALSE(auth.has_key(wrong, "")) << wrong;
  }
}

TEST(Auth, AKeyMayHaveAHeaderOfItsOwn) {
  const Auth auth({"secret", "other"}, {});
  EXPECT_TRUE(auth.has_key("", "secret"));
  EXPECT_TRUE(auth.has_key("Bearer of another", "other"));
  EXPECT_FALSE(auth.has_key("", "Bearer secret"));
  EXPECT_FALSE(auth.has_key("secret", "secre"));
}

TEST(Auth, PagesMayAskWhoseOriginIsNamed) {
  EXPECT_TRUE(Auth({}, {}).may_ask(""));
  EXPECT_FALSE(Auth({}, {}).may_ask("https://a.example"));
  EXPECT_TRUE(Auth({}, {"https://a.example"}).may_ask("https://a.example"));
  EXPECT_FALSE(Auth({}, {"https://a.example"}).may_ask("https://a.example.evil.example"));
  EXPECT_TRUE(Auth({}, {"*"}).may_ask("https://b.example"));
}

TEST(ConstantTime, ComparesAsAnyComparisonDoes) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_FALSE(equal_in_constant_time("", "a"));
  EXPECT_FALSE(equal_in_constant_time("a", ""));
  EXPECT_FALSE(equal_in_constant_time("ab", "abab"));
  EXPECT_FALSE(equal_in_constant_time("abab", "ab"));
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
}

TEST(Auth, PagesMaySendWhatTheirLibrariesAdd) {
  const std::string asked =
      "anthropic-beta,anthropic-dangerous-direct-browser-access,x-stainless-os";
  EXPECT_EQ(allowed_headers(asked), asked);
  const std::string usual = allowed_headers("");
  EXPECT_NE(usual.find("X-Api-Key"), std::string::npos);
  for (const std::string& bad :
       {std::string("a\r\nSet-Cookie: b"), std::string("a: b"), std::string(3000, 'a')}) {
    EXPECT_EQ(allowed_headers(bad), usual) << bad;
  }
}

}  // namespace
}  // namespace dms::serve
