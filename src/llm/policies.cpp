#include "dms/cache.h"
#include "policy/policy.h"

namespace dms {

std::span<const std::string_view> policy_names() { return policy::policy_names(); }

}  // namespace dms
