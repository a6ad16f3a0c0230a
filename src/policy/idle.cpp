#include "policy/idle.h"

#include "dms/error.h"

namespace dms::policy {

void refuse_idle(ArgReader& args,
                 std::initializer_list<const char*> keys,
                 const std::string& expected) {
  const char* first = nullptr;
  for (const char* const key : keys) {  // all of them: an error elsewhere lists what is known
    if (args.has(key) && first == nullptr) first = key;
  }
  if (first == nullptr) return;
  throw InputError({.field = std::string("policy_args.") + first,
                    .what = "has no effect here",
                    .got = args.text(first),
                    .expected = expected});
}

}  // namespace dms::policy
