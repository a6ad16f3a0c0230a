#pragma once
// Checks for our own mistakes and overflow-safe arithmetic for numbers that come from files.

#include <cstdint>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>

namespace dms {

/// A broken invariant is a bug of ours: throws std::logic_error naming the place. On in all builds;
/// keep it out of inner loops.
inline void ensure(bool condition,
                   const char* what,
                   std::source_location at = std::source_location::current()) {
  if (condition) [[likely]]
    return;
  throw std::logic_error(std::string(at.file_name()) + ":" + std::to_string(at.line()) + ": " +
                         what);
}

/// a * b, or nothing where it would overflow or a factor is negative.
inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// a + b, or nothing where it would overflow.
inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace dms
