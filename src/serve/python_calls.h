#pragma once
// Calls as expressions of Python's, with literals as keyword arguments:
//   [get_weather(city="Paris", days=[1, 2]), get_time()]
// Between tags the list's brackets may be missing and calls stand one after another. What is no
// such call is text: arguments by position, names and operators for values, one keyword twice.

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/literal_scanner.h"

namespace dms::serve {

class PythonCalls final : public CallSyntax {
 public:
  /// `close` outlives this, and is not empty.
  PythonCalls(std::string_view close, Tools tools);

  void begin(bool is_bare) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kStart, kName, kOpen, kKey, kValue, kNextArgument, kAfter, kClose };

  Step go_to(State state);
  Step push_start(char c);
  Step push_name(char c);
  Step push_key(char c, CallSink& sink);
  Step push_value(char c, CallSink& sink);
  Step push_next_argument(char c, CallSink& sink);
  Step push_after(char c);
  Step push_close(char c);
  Step end_call(CallSink& sink);
  Step end_of_calls();
  Step begin_name();
  void begin_call(CallSink& sink);

  std::string_view close_;
  Tools tools_;
  LiteralScanner value_;
  State state_ = State::kStart;
  std::string name_{};
  std::string key_{};
  std::string before_{};  // the value that is read
  std::set<std::string, std::less<>> keys_{};
  size_t matched_ = 0;  // bytes of close_
  bool is_bare_ = false;
  bool is_list_ = false;    // inside of one
  bool has_call_ = false;   // of the list, or between the tags
  bool has_begun_ = false;  // the sink knows of the call
};

}  // namespace dms::serve
