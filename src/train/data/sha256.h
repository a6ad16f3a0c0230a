#pragma once
// SHA-256, by libcrypto: names a stage of the cache by what it depends on.

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace dms::train::data {

/// Of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  /// 64 hexadecimal digits; once.
  std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string sha256(std::string_view bytes);

}  // namespace dms::train::data
