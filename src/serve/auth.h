#pragma once
// Who may ask: keys, and which web pages.

#include <string>
#include <string_view>
#include <vector>

namespace dms::serve {

class Auth {
 public:
  /// No keys: everybody who reaches the port may ask. "*" among the origins: any web page may.
  Auth(std::vector<std::string> keys, std::vector<std::string> origins);

  /// The values of two headers, either of which may hold it: Authorization ("Bearer KEY"), and
  /// x-api-key (the key).
  bool has_key(std::string_view authorization, std::string_view api_key) const;
  /// A browser names the page that asks (Origin); other clients name none.
  bool may_ask(std::string_view origin) const;

 private:
  bool is_known(std::string_view offered) const;

  std::vector<std::string> keys_;
  std::vector<std::string> origins_;
};

/// Which headers a page may send that asks for `asked` (Access-Control-Request-Headers): those,
/// because libraries add their own, unless they are no list of names.
std::string allowed_headers(std::string_view asked);

}  // namespace dms::serve
