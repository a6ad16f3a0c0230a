#pragma once
// Parts the calls of functions that a model writes from the text around them. Text comes in pieces
// whose borders may lie anywhere and do not matter. What may be a call is held back until that is
// certain: a function of the request's and the beginning of its arguments. These go on as they
// come. What is no call stays text, as it was written; blanks beside calls belong to them.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/call_syntax.h"
#include "serve/tool_form.h"

namespace dms::serve {

/// More of a call.
struct CallDelta {
  int64_t index = 0;   // of the answer's calls
  std::string name{};  // where it begins; else empty
  std::string arguments{};
};

class ToolParser final : private CallSink {
 public:
  static constexpr size_t kMostHeldBytes = size_t{1} << 16;

  struct Parts {
    std::string content{};
    std::vector<CallDelta> calls{};
    size_t call_bytes = 0;  // that calls are written with: the text before the content is theirs
  };

  /// `form` outlives this.
  ToolParser(const ToolForm& form, Tools tools);

  /// What is certain with this piece.
  Parts push(std::string_view piece);
  /// What was held back, at the end.
  Parts finish();

 private:
  /// What opens calls.
  struct Opening {
    std::string_view tag;
    std::unique_ptr<CallSyntax> syntax;
  };

  void step(char c);
  void step_text(char c);
  void step_call(char c);
  void enter(CallSyntax& syntax, bool is_bare);
  void take();
  void shorten_tag();
  void release(size_t bytes);
  std::string_view tag() const;
  bool begins_tag() const;
  bool is_between(char c) const;
  void begin_call(std::string_view name) override;
  void add_arguments(std::string_view text) override;

  const ToolForm* form_;
  std::vector<Opening> openings_{};
  CallSyntax* inside_ = nullptr;  // what is read behind a tag; null: text
  Parts out_{};
  std::string held_{};
  size_t matched_ = 0;  // bytes of a tag at the end of held_; blanks and separators are before them
  int64_t calls_ = 0;
  bool is_call_ = false;        // a call has begun behind the tag
  bool may_begin_bare_;         // nothing but blanks and calls has come
  bool is_after_call_ = false;  // nothing but blanks since
};

}  // namespace dms::serve
