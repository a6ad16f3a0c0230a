#pragma once
// What is known of a policy before it is made. It stands beside the policy's name in policies.cpp;
// dms/policy_traits.h and dms/kept_tokens.h say what follows from it.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "dms/policy_traits.h"

namespace dms::policy {

/// When a policy evicts.
enum class Cuts {
  never,
  leaving,    // as tokens leave its window
  intervals,  // at the multiples of `interval` tokens
  answers,    // likewise, of answers alone
  prompts,    // where prompts end; under a budget, and by chunks, in between as well
};

/// A setting whose tokens stay whatever the text.
struct KeptSetting {
  std::string_view name{};      // empty: there is none
  int64_t least = 0;            // that it may be
  int64_t divisor = 1;          // of so many tokens one stays
  bool is_beside_last = false;  // of a row of such, and of the one before it, the largest counts
};

struct Traits {
  Cuts cuts = Cuts::never;
  std::array<KeptSetting, 4> kept{};  // what they keep adds up
  int64_t chunk_length = 0;           // by default; 0: prompts are cut where they end
  AdapterPart adapter_part = AdapterPart::none;
};

using PolicyArgs = std::map<std::string, std::string>;

/// Of the policy of this name with these arguments.
Traits traits_of(std::string_view policy, const PolicyArgs& args);

/// A setting where it is given, and a whole number.
std::optional<int64_t> given_integer(const PolicyArgs& args, std::string_view name);

/// Whether triattention's budget is of prompts too.
bool counts_prompts(const PolicyArgs& args);

}  // namespace dms::policy
