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

  /// `authorization` is the header's value: "Bearer KEY".
  bool has_key(std::string_view authorization) const;
  /// A browser names the page that asks (Origin); other clients name none.
  bool may_ask(std::string_view origin) const;

 private:
  std::vector<std::string> keys_;
  std::vector<std::string> origins_;
};

}  // namespace dms::serve
