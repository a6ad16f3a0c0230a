#pragma once
// Calls as expressions of Python's, with literals as keyword arguments:
//   [get_weather(city="Paris", days=[1, 2]), get_time()]
// Between tags the list's brackets may be missing and calls stand one after another. What is no
// such call is text: arguments by position, names and operators for values, one keyword twice.

#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/python_call.h"

namespace dms::serve {

class PythonCalls final : public CallSyntax {
 public:
  /// `close` outlives this, and is not empty.
  PythonCalls(std::string_view close, Tools tools);

  void begin(bool is_bare) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kStart, kName, kOpen, kCall, kAfter, kClose };

  Step go_to(State state);
  Step push_start(char c);
  Step push_name(char c);
  Step push_call(char c, CallSink& sink);
  Step push_after(char c);
  Step push_close(char c);
  Step open_call();
  Step end_of_calls();
  Step begin_name();

  std::string_view close_;
  Tools tools_;
  PythonCall call_{};
  State state_ = State::kStart;
  std::string name_{};
  size_t matched_ = 0;  // bytes of close_
  bool is_bare_ = false;
  bool is_list_ = false;   // inside of one
  bool has_call_ = false;  // of the list, or between the tags
};

}  // namespace dms::serve
