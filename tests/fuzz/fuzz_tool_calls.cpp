// Input: a byte for the form, one for the length of pieces, and an answer's text. However it is cut
// the same comes of it; all of the text is content or a call's; arguments are JSON as far as they
// go.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/json_scanner.h"
#include "serve/tool_parser.h"

namespace {

using namespace dms::serve;

void require(bool condition) {
  if (!condition) std::abort();
}

Tools tools() {
  static const Tools list = std::make_shared<const std::vector<Tool>>(
      std::vector<Tool>{{.name = "a"}, {.name = "ab"}, {.name = "f-1"}});
  return list;
}

struct Answer {
  std::string content{};
  std::vector<CallDelta> calls{};
  size_t call_bytes = 0;

  void add(const ToolParser::Parts& parts) {
    content += parts.content;
    call_bytes += parts.call_bytes;
    for (const CallDelta& delta : parts.calls) {
      const auto index = static_cast<size_t>(delta.index);
      require(delta.name.empty() ? index + 1 == calls.size() : index == calls.size());
      if (!delta.name.empty()) calls.push_back({.index = delta.index, .name = delta.name});
      calls.back().arguments += delta.arguments;
    }
  }
};

Answer parse(const ToolForm& form, std::string_view text, size_t piece_bytes) {
  ToolParser parser(form, tools());
  Answer answer;
  for (size_t at = 0; at < text.size(); at += piece_bytes) {
    answer.add(parser.push(text.substr(at, piece_bytes)));
  }
  answer.add(parser.finish());
  return answer;
}

/// Whole, or the beginning of an object that was cut short.
bool may_be_arguments(std::string_view text) {
  if (!text.starts_with('{') && !is_json_object(text)) return false;
  JsonScanner scanner;
  for (const char c : text) {
    const JsonScanner::Step step = scanner.push(c);
    if (step == JsonScanner::Step::kDone) return is_json_object(text);
    if (step != JsonScanner::Step::kMore) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHead = 2;
  if (size < kHead) return 0;
  const ToolForm& form = tool_forms()[data[0] % tool_forms().size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + kHead, size - kHead);
  const Answer whole = parse(form, text, text.size() + 1);
  const Answer cut = parse(form, text, size_t{1} + data[1]);
  require(whole.content == cut.content && whole.calls.size() == cut.calls.size());
  require(whole.content.size() + whole.call_bytes == text.size());
  if (whole.calls.empty()) require(whole.content == text);
  for (size_t i = 0; i < whole.calls.size(); ++i) {
    require(whole.calls[i].name == cut.calls[i].name);
    require(whole.calls[i].arguments == cut.calls[i].arguments);
    require(find_tool(*tools(), whole.calls[i].name) != nullptr);
    require(may_be_arguments(whole.calls[i].arguments));
  }
  return 0;
}
