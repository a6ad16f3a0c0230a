#include "serve/page.h"

#include <string>

namespace dms::serve {
namespace {

/// Nothing but the script and the style sheet of the page itself, no connection but to this server,
/// and no way to make markup of text (Trusted Types without any policy).
std::string content_security_policy() {
  return "default-src 'none'; script-src 'sha256-" + std::string(kPage.script_hash) +
         "'; style-src 'sha256-" + std::string(kPage.style_hash) +
         "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
}

}  // namespace

HttpResponse page_response() {
  return {.content_type = "text/html; charset=utf-8",
          .body = std::string(kPage.html),
          .headers = {{"Content-Security-Policy", content_security_policy()},
                      {"X-Content-Type-Options", "nosniff"},
                      {"X-Frame-Options", "DENY"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cache-Control", "no-cache"}}};
}

}  // namespace dms::serve
