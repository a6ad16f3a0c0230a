#pragma once
// The page for browsers: one HTML file without outside resources, in the program itself. Its
// sources are in src/serve/page, put together by assemble.cmake.

#include <string_view>

#include "serve/exchange.h"

namespace dms::serve {

/// What the build made of the sources.
struct Page {
  std::string_view html;
  // SHA-256 of the one script and the one style sheet in it, in base64: all that may run or paint.
  std::string_view script_hash;
  std::string_view style_hash;
};
extern const Page kPage;

HttpResponse page_response();

}  // namespace dms::serve
