#include "serve/routes.h"

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

TEST(Routes, AreFoundByMethodAndPath) {
  EXPECT_EQ(find_route("GET", "/v1/models").route->endpoint, Endpoint::kModels);
  EXPECT_EQ(find_route("POST", "/v1/completions").route->endpoint, Endpoint::kCompletions);
  EXPECT_EQ(find_route("POST", "/v1/responses").route->endpoint, Endpoint::kResponses);
  EXPECT_EQ(find_route("POST", "/v1/messages").route->endpoint, Endpoint::kMessages);
  EXPECT_EQ(find_route("POST", "/v1/messages/count_tokens").route->endpoint,
            Endpoint::kCountTokens);
  EXPECT_EQ(find_route("GET", "/").route->endpoint, Endpoint::kPage);
  EXPECT_EQ(find_route("GET", "/index.html").route->endpoint, Endpoint::kPage);
  EXPECT_TRUE(find_route("POST", "/").is_method_wrong);
  const RouteMatch model = find_route("GET", "/v1/models/org/name");
  EXPECT_EQ(model.route->endpoint, Endpoint::kModel);
  EXPECT_EQ(model.argument, "org/name");
  EXPECT_TRUE(find_route("DELETE", "/v1/models/a").is_method_wrong);
  for (const char* path : {"",
                           "//",
                           "/index",
                           "/index.html/",
                           "/v1",
                           "/v1/models/",
                           "/health/",
                           "/v1/completions/x",
                           "//health"}) {
    EXPECT_EQ(find_route("GET", path).route, nullptr) << path;
  }
}

TEST(Routes, ErrorsLookAsThePathsClientsKnowThem) {
  for (const char* path : {"/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"}) {
    EXPECT_EQ(error_form_of(path), ErrorForm::kAnthropic) << path;
  }
  for (const char* path : {"", "/v1/messagesx", "/v1/responses", "/v1/chat/completions"}) {
    EXPECT_EQ(error_form_of(path), ErrorForm::kOpenAi) << path;
  }
}

TEST(Routes, OnePathMayAnswerSeveralMethods) {
  EXPECT_EQ(find_route("GET", "/documents").route->endpoint, Endpoint::kDocuments);
  EXPECT_EQ(find_route("GET", "/documents/a").route->endpoint, Endpoint::kDocument);
  EXPECT_EQ(find_route("PUT", "/documents/a").route->endpoint, Endpoint::kPutDocument);
  const RouteMatch deleted = find_route("DELETE", "/documents/a/b");
  EXPECT_EQ(deleted.route->endpoint, Endpoint::kDeleteDocument);
  EXPECT_FALSE(deleted.is_method_wrong);
  EXPECT_EQ(deleted.argument, "a/b");
  EXPECT_TRUE(find_route("POST", "/documents/a").is_method_wrong);
  EXPECT_EQ(methods_of("/documents/a"), "GET, HEAD, PUT, DELETE");
  EXPECT_EQ(methods_of("/health"), "GET, HEAD");
}

TEST(Routes, WhatAnswersGetAnswersHead) {
  for (const char* path : {"/", "/health", "/v1/models", "/documents/a"}) {
    const RouteMatch match = find_route("HEAD", path);
    EXPECT_EQ(match.route, find_route("GET", path).route) << path;
    EXPECT_FALSE(match.is_method_wrong) << path;
  }
  EXPECT_TRUE(find_route("HEAD", "/v1/completions").is_method_wrong);
}

TEST(Routes, AQueryHasValues) {
  EXPECT_EQ(query_of("/slots/0?action=save"), "action=save");
  EXPECT_EQ(query_of("/slots/0"), "");
  EXPECT_EQ(query_value("a=1&action=s%61ve&b", "action"), "save");
  EXPECT_EQ(query_value("b&action", "action"), "");
  EXPECT_EQ(query_value("xaction=1&&=", "action"), "");
}

TEST(Routes, APathEndsWhereTheQueryBegins) {
  EXPECT_EQ(path_of("/health?a=/b"), "/health");
  EXPECT_EQ(path_of("/v1/models/org%2Fna%20me"), "/v1/models/org/na me");
  EXPECT_EQ(path_of("/%"), "/%");
  EXPECT_EQ(path_of("/%4"), "/%4");
  EXPECT_EQ(path_of("/%zz%41"), "/%zzA");
  EXPECT_EQ(path_of("/a%41"), "/aA");
}

}  // namespace
}  // namespace dms::serve
