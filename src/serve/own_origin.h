#pragma once
// By which names a server goes, and which web pages are its own: browsers name the host they ask,
// and the origin of the page that asks where that is another or something is posted.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/settings.h"

namespace dms::serve {

/// Those of a machine called `name`, perhaps with its domain, in its own network: its first label,
/// and that as multicast DNS knows it.
std::vector<std::string> names_of_machine(const std::string& name);

/// Where it listens, this machine's names, and what it is told that others call it.
std::vector<std::string> names_of(const ServerSettings& settings);

/// What else there is in an address (a port, a scheme) would never match. Throws InputError.
void check_host_names(std::span<const std::string> names);

/// Whether the client calls the server, as `host` ("127.0.0.1:8000"), by an address, as localhost,
/// or by one of `names`, in whatever case. Any other name could be pointed at this machine by the
/// owner of a page elsewhere (DNS rebinding).
bool is_own_host(std::string_view host, std::span<const std::string> names);

/// Whether `origin` is a page of the server that the client calls `host`, one of its own names.
bool is_own_origin(std::string_view origin,
                   std::string_view host,
                   std::span<const std::string> names);

}  // namespace dms::serve
