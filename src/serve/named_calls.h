#pragma once
// Calls as newer models of Mistral write them: a name, [ARGS], and the arguments as a JSON object.
// Between the first two may stand [CALL_ID] and an id, which is left out.

#include <string>
#include <string_view>

#include "serve/call_syntax.h"
#include "serve/json_scanner.h"

namespace dms::serve {

class NamedCalls final : public CallSyntax {
 public:
  static constexpr std::string_view kArguments = "[ARGS]";
  static constexpr std::string_view kId = "[CALL_ID]";

  explicit NamedCalls(Tools tools);

  void begin(bool) override;
  Step push(char c, CallSink& sink) override;
  void finish(CallSink&) override {}

 private:
  enum class State { kName, kMark, kId, kBeforeArguments, kArguments };

  Step push_name(char c);
  Step push_mark(char c);
  Step push_id(char c);
  Step push_arguments(char c, CallSink& sink);

  Tools tools_;
  State state_ = State::kName;
  std::string name_{};
  std::string mark_{};  // what has come of one
  size_t id_bytes_ = 0;
  JsonScanner scanner_{};
};

}  // namespace dms::serve
