#pragma once
// The calls of one answer as OpenAI's API tells them, whole and piece by piece.

#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/tool_parser.h"

namespace dms::serve {

struct ToolCallOptions {
  const ToolForm* form = nullptr;  // never null
  Tools tools{};
  bool is_parallel = true;  // false: calls behind the first are left out
};

class ToolCalls {
 public:
  explicit ToolCalls(const ToolCallOptions& options);

  struct News {
    std::string content;
    std::vector<OutJson> deltas;  // {"tool_calls": [{index, ...}]}, each of one call
  };

  /// More of the answer's text; its end with the last of it.
  News push(std::string_view text, bool is_end);

  bool empty() const { return calls_.empty(); }
  /// Whether the last call's arguments have not come to their end.
  bool is_open() const;
  /// [{id, type, function: {name, arguments}}]
  OutJson json() const;

 private:
  struct Call {
    std::string id;
    std::string name;
    std::string arguments{};
  };

  void add(const CallDelta& delta, std::vector<OutJson>& deltas);
  std::string new_id() const;

  const ToolForm* form_;
  bool is_parallel_;
  ToolParser parser_;
  std::vector<Call> calls_{};
};

}  // namespace dms::serve
