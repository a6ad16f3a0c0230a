#pragma once
// Calls as statements of Python's between tags, as models write that were shown functions of
// Python's or asked for a block of code:
//   weather = get_weather("Paris", days=[1, 2])
//   print(weather)
// A call's result may have a name, which may be printed, as a call itself may; comments belong to
// the calls. Values are literals, as in PythonCalls. Any other code is text, from there on.

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/python_call.h"

namespace dms::serve {

class CodeCalls final : public CallSyntax {
 public:
  /// `close` outlives this, and is not empty.
  CodeCalls(std::string_view close, Tools tools);

  void begin(bool) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kStatement, kComment, kWord, kBehindWord, kCall, kEndPrint, kAfter, kClose };

  Step go_to(State state);
  Step push_statement(char c);
  Step push_word(char c);
  Step push_behind_word(char c);
  Step push_call(char c, CallSink& sink);
  Step push_after(char c);
  Step push_close(char c);
  Step open();
  Step name_result();

  std::string_view close_;
  Tools tools_;
  PythonCall call_{};
  State state_ = State::kStatement;
  std::string word_{};                          // that is read: a function's, or a result's
  std::set<std::string, std::less<>> names_{};  // of results
  size_t matched_ = 0;                          // bytes of close_
  bool has_call_ = false;
  bool is_list_ = false;     // inside of one of calls
  bool is_named_ = false;    // the statement gives its result a name
  bool is_printed_ = false;  // the statement prints
};

}  // namespace dms::serve
