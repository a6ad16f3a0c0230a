#include "base/dtype.h"

#include <array>

namespace dms {
namespace {

struct Spelling {
  std::string_view text;
  DType type;
};

constexpr std::array kSpellings{
    Spelling{"f32", DType::f32},
    Spelling{"float32", DType::f32},
    Spelling{"F32", DType::f32},
    Spelling{"bf16", DType::bf16},
    Spelling{"bfloat16", DType::bf16},
    Spelling{"BF16", DType::bf16},
    Spelling{"f16", DType::f16},
    Spelling{"float16", DType::f16},
    Spelling{"F16", DType::f16},
    Spelling{"half", DType::f16},
};

}  // namespace

int64_t dtype_bytes(DType type) { return type == DType::f32 ? 4 : 2; }

std::string_view dtype_name(DType type) {
  for (const Spelling& s : kSpellings) {
    if (s.type == type) return s.text;
  }
  return "?";
}

std::optional<DType> parse_dtype(std::string_view name) {
  constexpr std::string_view torch = "torch.";
  if (name.starts_with(torch)) name.remove_prefix(torch.size());
  for (const Spelling& s : kSpellings) {
    if (s.text == name) return s.type;
  }
  return std::nullopt;
}

}  // namespace dms
