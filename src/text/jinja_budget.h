#pragma once
// What one rendering may cost. Templates come from strangers: everything that takes time or memory
// in proportion to what a template or its values hold is charged here, before it is done, and ends
// in an InputError that names the template and the line. Counts, never clocks.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace dms::text::jinja {

/// About a second, and what a second can fill. Rendering a long conversation stays far below.
struct Limits {
  int64_t steps = 10'000'000;         // expressions evaluated, elements walked, text looked through
  int64_t bytes = int64_t{64} << 20;  // texts, lists and variables made, all together
  int64_t depth = 400;                // nested evaluations and macro calls
};

/// `limits`, with room in addition for messages and arguments of this size.
Limits limits_for(const Limits& limits, size_t input_bytes);

class Budget {
 public:
  Budget(std::string where, const Limits& limits) : where_(std::move(where)), limits_(limits) {}
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

  /// Throws InputError "WHERE: line N: what".
  [[noreturn]] void fail(std::string_view what) const;
  /// The template's own raise_exception(message).
  [[noreturn]] void raise(std::string_view message) const;

  int64_t steps() const { return steps_; }
  int64_t bytes() const { return bytes_; }

  int line = 1;  // being rendered

 protected:
  const Limits& limits() const { return limits_; }

 private:
  static constexpr size_t kBytesPerStep = 16;

  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_bytes() const;

  std::string where_;
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
