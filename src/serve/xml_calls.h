#pragma once
// Calls as Qwen3-Coder and Seed-OSS write them between their tags:
//   <function=NAME>
//   <parameter=KEY>
//   VALUE
//   </parameter>
//   </function>
// Values have no types. What the function's schema has as text stays as it is; anything else is
// JSON where it is well-formed.

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "serve/call_syntax.h"

namespace dms::serve {

class XmlCalls final : public CallSyntax {
 public:
  /// `close` outlives this.
  XmlCalls(std::string_view close, Tools tools);

  void begin(bool) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink& sink) override;

 private:
  enum class State { kFunction, kName, kBody, kKey, kValue, kClose };

  Step push_name(char c, CallSink& sink);
  Step push_body(char c, CallSink& sink);
  Step push_key(char c);
  Step push_value(char c, CallSink& sink);
  Step push_close(char c);
  void add_argument(CallSink& sink);
  std::string argument() const;

  std::string_view close_;
  Tools tools_;
  const Tool* tool_ = nullptr;
  State state_ = State::kFunction;
  std::string tag_{};  // what has come of one
  std::string name_{};
  std::string key_{};
  std::string value_{};
  std::set<std::string, std::less<>> keys_{};  // of arguments that the sink has
};

}  // namespace dms::serve
