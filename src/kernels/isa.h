#pragma once
// Which instruction set the kernels use: the best this CPU has, or DMS_ISA=generic|avx2|avx512.

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace dms::kernels {

/// avx2 needs FMA and F16C; avx512 F, BW, DQ, VL, BF16 and VNNI, which came together.
enum class Isa { generic, avx2, avx512 };

std::string_view isa_name(Isa isa);
bool isa_supported(Isa isa);

/// The chosen ISA, fixed at first use. Throws InputError when DMS_ISA names none or one that this
/// CPU lacks.
Isa active_isa();

/// Tests only: forces an ISA for calls made while it lives. Not thread-safe.
class ScopedIsa {
 public:
  explicit ScopedIsa(Isa isa);
  ~ScopedIsa();
  ScopedIsa(const ScopedIsa&) = delete;
  ScopedIsa& operator=(const ScopedIsa&) = delete;

 private:
  std::optional<Isa> previous_;
};

}  // namespace dms::kernels
