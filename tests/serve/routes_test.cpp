#include "serve/routes.h"

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

TEST(Routes, AreFoundByMethodAndPath) {
  EXPECT_EQ(find_route("GET", "/v1/models").route->endpoint, Endpoint::kModels);
  EXPECT_EQ(find_route("POST", "/v1/completions").route->endpoint, Endpoint::kCompletions);
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
