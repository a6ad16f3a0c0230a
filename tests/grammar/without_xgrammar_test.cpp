// A build without xgrammar holds no answer to a form, and says so.

#include <gtest/gtest.h>

#include "grammar/guides.h"
#include "support/errors.h"

namespace dms::grammar {
namespace {

TEST(WithoutXgrammar, AFormIsRefused) {
  EXPECT_FALSE(has_structures());
  const auto guides = make_guides(nullptr, 10);
  const std::string error = testing_support::input_error([&] {
    guides->compile({.kind = Structure::Kind::regex, .text = "a", .field = "guided_regex"}, {});
  });
  testing_support::expect_parts(error, {"guided_regex", "setup_xgrammar"});
}

}  // namespace
}  // namespace dms::grammar
