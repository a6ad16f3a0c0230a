#include "kernels/isa.h"

#include <cstdlib>
#include <string>

#include "base/check.h"
#include "dms/error.h"

namespace dms::kernels {
namespace {

constexpr std::array kBestFirst{Isa::avx512, Isa::avx2, Isa::generic};

std::optional<Isa> forced_isa;  // by ScopedIsa only

Isa best_isa() {
  for (const Isa isa : kBestFirst) {
    if (isa_supported(isa)) return isa;
  }
  return Isa::generic;
}

Isa chosen_isa() {
  const char* wanted = std::getenv("DMS_ISA");
  if (wanted == nullptr || *wanted == '\0') return best_isa();
  for (const Isa isa : kBestFirst) {
    if (isa_name(isa) != wanted) continue;
    if (isa_supported(isa)) return isa;
    throw InputError({.where = "DMS_ISA",
                      .what = "this CPU lacks the instruction set",
                      .got = wanted,
                      .expected = "at most " + std::string(isa_name(best_isa()))});
  }
  throw InputError({.where = "DMS_ISA",
                    .what = "unknown instruction set",
                    .got = wanted,
                    .expected = "generic, avx2 or avx512"});
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::generic:
      break;
  }
  return "generic";
}

bool isa_supported(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::generic:
      break;
  }
  return true;
}

Isa active_isa() {
  if (forced_isa) return *forced_isa;
  static const Isa isa = chosen_isa();
  return isa;
}

ScopedIsa::ScopedIsa(Isa isa) : previous_(forced_isa) {
  ensure(isa_supported(isa), "forced an instruction set that this CPU lacks");
  forced_isa = isa;
}

ScopedIsa::~ScopedIsa() { forced_isa = previous_; }

}  // namespace dms::kernels
