#include "client/server_url.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::client {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

void expect_url(const std::string& text,
                const std::string& host,
                const std::string& port,
                const std::string& base) {
  const ServerUrl url = parse_server_url(text, "--url");
  EXPECT_EQ(url.host, host) << text;
  EXPECT_EQ(url.port, port) << text;
  EXPECT_EQ(url.base, base) << text;
}

TEST(ServerUrl, HasTheUsualPortAndBaseWhereItNamesNone) {
  expect_url("http://localhost", "localhost", "80", "/v1");
  expect_url("http://127.0.0.1:8000", "127.0.0.1", "8000", "/v1");
  expect_url("http://127.0.0.1:8000/", "127.0.0.1", "8000", "/v1");
  expect_url("http://a-b.example:65535/v1", "a-b.example", "65535", "/v1");
  expect_url("HTTP://host:1/openai/v1//", "host", "1", "/openai/v1");
}

TEST(ServerUrl, TakesAddressesInBrackets) {
  expect_url("http://[::1]", "::1", "80", "/v1");
  expect_url("http://[::1]:8000/x", "::1", "8000", "/x");
  EXPECT_EQ(parse_server_url("http://[::1]:8000", "--url").authority(), "[::1]:8000");
}

TEST(ServerUrl, SaysWhereTheApiIs) {
  const ServerUrl url = parse_server_url("http://host:8000/api", "--url");
  EXPECT_EQ(url.target("/models"), "/api/models");
  EXPECT_EQ(url.text(), "http://host:8000/api");
}

TEST(ServerUrl, IsNotHttps) {
  for (const char* text : {"https://host", "HTTPS://host:443/v1"}) {
    expect_parts(input_error([&] { parse_server_url(text, "--url"); }),
                 {"--url: https is not spoken here", "put a proxy"});
  }
}

TEST(ServerUrl, RefusesEverythingElse) {
  const std::string long_host(300, 'a');
  const std::string long_path(3000, 'a');
  for (const std::string& text : {std::string(),
                                  std::string("localhost:8000"),
                                  std::string("http:/host"),
                                  std::string("http://"),
                                  std::string("http:///v1"),
                                  std::string("http://:8000"),
                                  std::string("http://host:"),
                                  std::string("http://host:0"),
                                  std::string("http://host:65536"),
                                  std::string("http://host:80x"),
                                  std::string("http://host:-1"),
                                  std::string("http://user:word@host"),
                                  std::string("http://host?x=1"),
                                  std::string("http://host/v1?x=1"),
                                  std::string("http://host/v1#top"),
                                  std::string("http://ho st/"),
                                  std::string("http://host/a b"),
                                  std::string("http://host/\r\nX: y"),
                                  std::string("http://ho\nst"),
                                  std::string("http://h\0st", 11),
                                  std::string("http://[::1"),
                                  std::string("http://[]"),
                                  std::string("http://[::1]8000"),
                                  std::string("http://::1"),
                                  std::string("ftp://host"),
                                  "http://" + long_host,
                                  "http://host/" + long_path}) {
    expect_parts(input_error([&] { parse_server_url(text, "--url"); }), {"--url: "});
  }
}

}  // namespace
}  // namespace dms::client
