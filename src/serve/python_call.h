#pragma once
// Reads the arguments of one call of Python's: city="Paris", days=[1, 2]). Values are literals, as
// keyword arguments; where code is read, those that come first may have no names.

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/literal_scanner.h"

namespace dms::serve {

class PythonCall {
 public:
  PythonCall();

  /// `tool` outlives the call. `has_positions`: arguments without names are those of the function's
  /// parameters, in their order.
  void begin(const Tool& tool, bool has_positions);
  /// The next character from behind '('. kEnd: the call ends with it.
  CallSyntax::Step push(char c, CallSink& sink);

 private:
  enum class State { kKey, kValue, kNext };
  using Step = CallSyntax::Step;

  Step push_key(char c, CallSink& sink);
  Step push_value(char c, CallSink& sink);
  Step push_next(char c, CallSink& sink);
  Step begin_position(CallSink& sink);
  bool begin_value(std::string key);
  Step end(CallSink& sink);
  void begin_call(CallSink& sink);

  LiteralScanner value_;
  const Tool* tool_ = nullptr;
  State state_ = State::kKey;
  std::string key_{};
  std::string before_{};  // the value that is read
  std::set<std::string, std::less<>> keys_{};
  bool has_positions_ = false;  // and no keyword has come
  bool has_begun_ = false;      // the sink knows of the call
};

}  // namespace dms::serve
