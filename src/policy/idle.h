#pragma once
// Arguments that a policy knows and that have no effect beside others.

#include <initializer_list>
#include <string>

#include "policy/policy.h"

namespace dms::policy {

/// Throws InputError where one of `keys` is given. `expected`: what it takes, "only with budget".
void refuse_idle(ArgReader& args,
                 std::initializer_list<const char*> keys,
                 const std::string& expected);

}  // namespace dms::policy
