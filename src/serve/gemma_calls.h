#pragma once
// Calls as FunctionGemma writes them between its tags: call:NAME{key:<escape>text<escape>,n:1},
// with lists and objects of the same kind for values.

#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/literal_scanner.h"

namespace dms::serve {

class GemmaCalls final : public CallSyntax {
 public:
  static constexpr std::string_view kCall = "call:";

  /// `close` outlives this, and is not empty.
  GemmaCalls(std::string_view close, Tools tools);

  void begin(bool) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kCall, kName, kArguments, kClose };

  Step push_call(char c);
  Step push_name(char c, CallSink& sink);
  Step push_arguments(char c, CallSink& sink);
  Step push_close(char c);

  std::string_view close_;
  Tools tools_;
  LiteralScanner arguments_;
  State state_ = State::kCall;
  std::string name_{};
  size_t matched_ = 0;  // bytes of kCall, then of close_
};

}  // namespace dms::serve
