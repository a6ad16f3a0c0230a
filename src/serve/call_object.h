#pragma once
// Reads a call that is a JSON object: {"name": "f", "arguments": {...}}, as `parameters` too, in
// any order, with other keys beside them. A function of the request's it must be; arguments may be
// the text of an object, null or missing.

#include <string>
#include <utility>

#include "serve/call_syntax.h"
#include "serve/json_scanner.h"

namespace dms::serve {

class CallObject {
 public:
  /// `needs_arguments`: without such a key it is no call.
  CallObject(Tools tools, bool needs_arguments)
      : tools_(std::move(tools)), needs_arguments_(needs_arguments) {}

  /// The next character, the first being '{'. kEnd: the object is complete. Its arguments go to the
  /// sink as they come, once the name is known.
  CallSyntax::Step push(char c, CallSink& sink);

 private:
  enum class State { kOpen, kKey, kInKey, kColon, kValue, kName, kArguments, kOther, kNext };
  using Step = CallSyntax::Step;

  Step go_to(State state);
  Step push_key(char c);
  Step push_value(char c, CallSink& sink);
  Step push_name(char c, CallSink& sink);
  Step push_arguments(char c, CallSink& sink);
  Step push_other(char c, CallSink& sink);
  Step push_next(char c, CallSink& sink);
  Step end_arguments(CallSink& sink);
  Step begin_call(CallSink& sink);

  Tools tools_;
  bool needs_arguments_;
  State state_ = State::kOpen;
  std::string key_{};
  std::string name_{};
  std::string arguments_{};  // what has not gone to the sink
  JsonScanner scanner_{};
  bool has_name_ = false;       // all of it
  bool has_arguments_ = false;  // all of them
  bool are_object_ = false;     // as they stand there: they may go on as they come
  bool has_begun_ = false;      // the sink knows of the call
};

}  // namespace dms::serve
