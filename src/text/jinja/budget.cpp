#include "text/jinja/budget.h"

#include <algorithm>
#include <limits>

#include "dms/error.h"

namespace dms::text::jinja {
namespace {

// Published templates make at most about a dozen copies of what is said, and look through it as
// often.
constexpr int64_t kBytesPerInputByte = 16;
constexpr int64_t kStepsPerInputByte = 8;
constexpr size_t kMaxInput = size_t{1} << 40;

constexpr size_t kMaxMessage = 1000;

std::string clipped(std::string_view text) {
  if (text.size() <= kMaxMessage) return std::string(text);
  return std::string(text.substr(0, kMaxMessage)) + "...";
}

}  // namespace

Limits limits_for(const Limits& limits, size_t input_bytes) {
  const auto bytes = static_cast<int64_t>(std::min(input_bytes, kMaxInput));
  return {.steps = limits.steps + bytes * kStepsPerInputByte,
          .bytes = limits.bytes + bytes * kBytesPerInputByte,
          .depth = limits.depth};
}

void Origin::fail(int place, std::string what, std::string hint) const {
  throw InputError(
      {.where = where + (is_template ? ": line " : ": column ") + std::to_string(place),
       .what = std::move(what),
       .hint = std::move(hint)});
}

void Budget::fail(std::string_view what, std::string hint) const {
  origin_.fail(place, clipped(what), std::move(hint));
}

void Budget::raise(std::string_view message) const {
  throw InputError({.where = origin_.where, .what = clipped(message)});
}

void Budget::fail_steps() const {
  fail("the " + origin_.kind() + " takes too many steps (expected at most " +
       std::to_string(limits_.steps) + ")");
}

void Budget::fail_bytes() const {
  fail("the " + origin_.kind() + " makes too much text (expected at most " +
       std::to_string(limits_.bytes) + " bytes)");
}

void TextBuilder::repeat(std::string_view text, int64_t count) {
  if (count <= 0 || text.empty()) return;
  const size_t most = std::numeric_limits<size_t>::max() / text.size();
  const bool fits = static_cast<size_t>(count) <= most;
  const size_t bytes = fits ? static_cast<size_t>(count) * text.size() : most;
  budget_->make(bytes);
  text_.reserve(text_.size() + bytes);
  for (int64_t i = 0; i < count && text.size() > 1; ++i) text_ += text;
  if (text.size() == 1) text_.append(bytes, text[0]);
}

}  // namespace dms::text::jinja
