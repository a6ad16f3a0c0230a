#pragma once
// Calls as JSON: <tool_call>{"name": ...}</tool_call>, a list of them between the tags, or what
// only begins with a tag and ends with the JSON.

#include <string_view>

#include "serve/call_object.h"

namespace dms::serve {

class JsonCalls final : public CallSyntax {
 public:
  /// `close` outlives this. Empty: the calls end with the object or the list.
  JsonCalls(std::string_view close, Tools tools);

  void begin(bool is_bare) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kStart, kElement, kObject, kAfter, kClose };

  Step begin_object(char c, CallSink& sink);
  Step push_element(char c, CallSink& sink);
  Step push_object(char c, CallSink& sink);
  Step push_after(char c, CallSink& sink);
  Step push_close(char c);
  Step end_of_json();

  std::string_view close_;
  Tools tools_;
  CallObject object_;
  State state_ = State::kStart;
  size_t matched_ = 0;     // bytes of close_
  bool is_list_ = false;   // inside of one
  bool has_call_ = false;  // of the list
  bool is_bare_ = false;
};

}  // namespace dms::serve
