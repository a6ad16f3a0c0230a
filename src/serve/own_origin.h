#pragma once
// Which web pages are the server's own: browsers name the origin of a page with what it asks.

#include <string_view>

namespace dms::serve {

/// Whether `origin` is a page of the server that the client calls `host` ("127.0.0.1:8000"). Only
/// by an address, as localhost, or by the name it listens at: any other name could be pointed at
/// this machine by the owner of a page elsewhere (DNS rebinding), who then had the same two
/// headers.
bool is_own_origin(std::string_view origin, std::string_view host, std::string_view listens_at);

}  // namespace dms::serve
