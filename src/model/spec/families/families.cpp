#include <algorithm>
#include <array>

#include "model/spec/families/family.h"
#include "model/spec/load.h"

namespace dms {
namespace families {
namespace {

constexpr std::array kFamilies{
    Family{"llama", make_llama},
    Family{"mistral", make_mistral},
    Family{"qwen2", make_qwen2},
    Family{"qwen3", make_qwen3},
    Family{"seed_oss", make_seed_oss},
    Family{"smollm3", make_smollm3},
    Family{"phi3", make_phi3},
    Family{"gemma2", make_gemma2},
    Family{"gemma3_text", make_gemma3},
    Family{"gpt_neox", make_gpt_neox},
    Family{"opt", make_opt},
    Family{"falcon", make_falcon},
    Family{"mpt", make_mpt},
};

constexpr auto kModelTypes = [] {
  std::array<std::string_view, kFamilies.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kFamilies[i].model_type;
  return names;
}();

}  // namespace

std::span<const Family> all() { return kFamilies; }

const Family* find(std::string_view model_type) {
  const auto* it = std::ranges::find(kFamilies, model_type, &Family::model_type);
  return it == kFamilies.end() ? nullptr : it;
}

}  // namespace families

std::span<const std::string_view> supported_model_types() { return families::kModelTypes; }

}  // namespace dms
