#include "serve/api_error.h"

#include <gtest/gtest.h>

#include "serve/responses.h"
#include "serve/sse.h"

namespace dms::serve {
namespace {

TEST(ApiError, HasOpenAisForm) {
  const ApiError error(404, "no such model", "model", "model_not_found");
  EXPECT_EQ(json_text(error.body()),
            R"({"error":{"message":"no such model","type":"not_found_error","param":"model",)"
            R"("code":"model_not_found"}})");
  EXPECT_EQ(json_text(ApiError(500, "x").body()),
            R"({"error":{"message":"x","type":"server_error","param":null,"code":null}})");
}

TEST(ApiError, HasAnthropicsFormWhereItsClientsAsk) {
  const auto text = [](int status) {
    return json_text(ApiError(status, "x", "model", "code").body(ErrorForm::kAnthropic));
  };
  EXPECT_EQ(text(404), R"({"type":"error","error":{"type":"not_found_error","message":"x"}})");
  EXPECT_EQ(text(413), R"({"type":"error","error":{"type":"request_too_large","message":"x"}})");
  EXPECT_EQ(text(503), R"({"type":"error","error":{"type":"overloaded_error","message":"x"}})");
}

TEST(ApiError, HasDetailsForProgramsWhereTheFormHasAPlaceForThem) {
  const ApiError error = ApiError(400, "x").with_details({{"error_code", "c"}});
  EXPECT_EQ(json_text(error.body(ErrorForm::kAnthropic)),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"x",)"
            R"("details":{"error_code":"c"}}})");
  EXPECT_EQ(json_text(error.body()), json_text(ApiError(400, "x").body()));
}

TEST(ApiError, SpeaksOfTheFieldsOfTheRequest) {
  const ApiError error = ApiError::from(
      InputError({.field = "policy_args.cr", .what = "bad value", .got = "0", .expected = "more"}));
  EXPECT_EQ(error.status(), 400);
  EXPECT_EQ(error.param(), "dms.policy_args.cr");
  EXPECT_STREQ(error.what(), "dms.policy_args.cr: bad value (got 0, expected more)");
  EXPECT_EQ(ApiError::from(InputError({.field = "prompt[3]"})).param(), "prompt[3]");
}

TEST(Responses, SayWhenToComeAgain) {
  const auto header = [](int status) {
    const Headers headers = error_response(ApiError(status, "x")).headers;
    return headers.empty() ? "" : headers.front().first;
  };
  EXPECT_EQ(header(429), "Retry-After");
  EXPECT_EQ(header(503), "Retry-After");
  EXPECT_EQ(header(401), "WWW-Authenticate");
  EXPECT_EQ(header(400), "");
}

TEST(Sse, AnEventMayHaveAName) {
  EXPECT_EQ(sse_event("ping", {{"a", 1}}), "event: ping\ndata: {\"a\":1}\n\n");
}

TEST(Sse, AnEventIsOneLineWhateverItsTextHolds) {
  EXPECT_EQ(sse_event({{"text", "a\n\ndata: b\r\n"}}),
            "data: {\"text\":\"a\\n\\ndata: b\\r\\n\"}\n\n");
  EXPECT_EQ(sse_event({{"text", "\xff"}}), "data: {\"text\":\"\xef\xbf\xbd\"}\n\n");
}

}  // namespace
}  // namespace dms::serve
