#pragma once
// What one rendering may cost. Templates come from strangers: everything that takes time or memory
// in proportion to what a template or its values hold is charged here, before it is done, and ends
// in an InputError that names the place. Counts, never clocks.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "text/jinja/jinja.h"

namespace dms::text::jinja {

/// What errors name: a template and its line, or an expression and its column.
struct Origin {
  std::string where;
  bool is_template = true;

  std::string kind() const { return is_template ? "template" : "expression"; }
  /// Throws InputError "WHERE: line N: what", or "WHERE: column N: what".
  [[noreturn]] void fail(int place, std::string what, std::string hint = {}) const;
};

/// `limits`, with room in addition for messages and arguments of this size.
Limits limits_for(const Limits& limits, size_t input_bytes);

class Budget {
 public:
  Budget(Origin origin, const Limits& limits) : origin_(std::move(origin)), limits_(limits) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// An expression evaluated, an element walked, a pair compared.
  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) fail_steps();
  }
  /// Text looked through, a character at a time.
  void scan(size_t bytes) { step(static_cast<int64_t>(bytes / kBytesPerStep)); }
  /// Memory taken. It is not given back: what a template makes in all is bounded, so what it holds
  /// at any time is.
  void make(size_t bytes) {
    if (bytes > static_cast<size_t>(limits_.bytes - bytes_)) fail_bytes();
    bytes_ += static_cast<int64_t>(bytes);
  }

  [[noreturn]] void fail(std::string_view what, std::string hint = {}) const;
  /// The template's own raise_exception(message).
  [[noreturn]] void raise(std::string_view message) const;

  int64_t steps() const { return steps_; }
  int64_t bytes() const { return bytes_; }

  int place = 1;  // being evaluated

 protected:
  const Limits& limits() const { return limits_; }
  const Origin& origin() const { return origin_; }

 private:
  static constexpr size_t kBytesPerStep = 16;

  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_bytes() const;

  Origin origin_;
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

/// What a small object on the heap takes beside its contents.
constexpr size_t kObjectBytes = 64;

/// A text that is charged as it grows.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(&budget) { budget.make(kObjectBytes); }

  void add(std::string_view text) {
    budget_->make(text.size());
    text_ += text;
  }
  void add(char c) { add(std::string_view(&c, 1)); }
  /// `text`, `count` times; nothing where that is negative.
  void repeat(std::string_view text, int64_t count);

  bool empty() const { return text_.empty(); }
  std::string take() { return std::move(text_); }

 private:
  Budget* budget_;
  std::string text_;
};

}  // namespace dms::text::jinja
