#include "serve/own_origin.h"

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::serve {
namespace {

std::vector<std::string> names(const std::string& listens_at) { return {listens_at}; }

TEST(OwnOrigin, IsTheServersAddressOrTheNameItListensAt) {
  EXPECT_TRUE(is_own_origin("http://127.0.0.1:8000", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_TRUE(is_own_origin("http://localhost:8000", "localhost:8000", names("127.0.0.1")));
  EXPECT_TRUE(is_own_origin("https://10.1.2.3", "10.1.2.3", names("0.0.0.0")));
  EXPECT_TRUE(is_own_origin("http://[::1]:8000", "[::1]:8000", names("::1")));
  EXPECT_TRUE(is_own_origin("http://box:8000", "box:8000", names("box")));
}

TEST(OwnOrigin, IsNoPageFromElsewhere) {
  EXPECT_FALSE(is_own_origin("", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_FALSE(is_own_origin("null", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_FALSE(is_own_origin("http://", "", names("")));
  EXPECT_FALSE(is_own_origin("https://evil.example", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_FALSE(is_own_origin("http://127.0.0.1:3000", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_FALSE(
      is_own_origin("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000", names("127.0.0.1")));
  EXPECT_FALSE(is_own_origin("ftp://127.0.0.1:8000", "127.0.0.1:8000", names("127.0.0.1")));
}

// The page of a name that its owner points at this machine.
TEST(OwnOrigin, IsNoNameThatTheServerDoesNotGoBy) {
  EXPECT_FALSE(is_own_origin("http://evil.example:8000", "evil.example:8000", names("127.0.0.1")));
  EXPECT_FALSE(
      is_own_origin("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", names("0.0.0.0")));
  EXPECT_FALSE(
      is_own_origin("http://localhost.evil.example", "localhost.evil.example", names("::1")));
  EXPECT_FALSE(is_own_origin("http://[evil]:8000", "[evil]:8000", names("::1")));
}

TEST(OwnHost, IsAnAddressLocalhostOrAnOwnName) {
  const std::vector<std::string> own = names_of({.host = "box", .allowed_hosts = {"llm.example"}});
  for (const char* host : {"127.0.0.1:8000",
                           "192.168.1.7",
                           "[::1]:8000",
                           "localhost",
                           "LocalHost:8000",
                           "box:8000",
                           "llm.example",
                           "LLM.Example:443"}) {
    EXPECT_TRUE(is_own_host(host, own)) << host;
  }
  for (const char* host : {"",
                           ":8000",
                           "evil.example",
                           "localhost.evil.example",
                           "llm.example.evil.example",
                           "127.0.0.1.evil.example:8000",
                           "[evil]:8000"}) {
    EXPECT_FALSE(is_own_host(host, own)) << host;
  }
}

TEST(OwnHost, IsNamedWithoutSchemeAndPort) {
  EXPECT_NO_THROW(check_host_names(std::vector<std::string>{"llm.example", "box", "*", "[::1]"}));
  for (const char* name : {"llm.example:8443", "https://llm.example", "llm.example/", "::1", ""}) {
    EXPECT_THROW(check_host_names(std::vector<std::string>{name}), InputError) << name;
  }
}

TEST(OwnHost, MayBeThisMachinesName) {
  const std::vector<std::string> own = names_of({});
  ASSERT_FALSE(own.back().empty());
  EXPECT_TRUE(is_own_host(own.back() + ":8000", own));
}

TEST(OwnHost, MayBeThisMachinesNameAsItsNetworkKnowsIt) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of_machine("box"), (Names{"box", "box", "box.local"}));
  EXPECT_EQ(names_of_machine("box.lan.example"), (Names{"box.lan.example", "box", "box.local"}));
  EXPECT_EQ(names_of_machine(""), Names());
}

}  // namespace
}  // namespace dms::serve
