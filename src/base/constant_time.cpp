#include "base/constant_time.h"

namespace dms {

bool equal_in_constant_time(std::string_view secret, std::string_view offered) {
  // Volatile: a compiler must not see that the loop could end at the first difference.
  volatile unsigned difference = secret.size() == offered.size() ? 0U : 1U;
  const std::string_view other = secret.empty() ? offered : secret;
  for (size_t i = 0; i < offered.size(); ++i) {
    const auto a = static_cast<unsigned char>(other[i % other.size()]);
    const auto b = static_cast<unsigned char>(offered[i]);
    difference = difference | static_cast<unsigned>(a ^ b);
  }
  return difference == 0;
}

}  // namespace dms
