#include "serve/tool_calls.h"

#include <random>
#include <utility>

#include "serve/json_scanner.h"

namespace dms::serve {
namespace {

OutJson function_json(const std::string& name, const std::string& arguments) {
  return {{"name", name}, {"arguments", arguments}};
}

OutJson delta_json(OutJson call) { return {{"tool_calls", OutJson::array({std::move(call)})}}; }

}  // namespace

ToolCalls::ToolCalls(const ToolCallOptions& options)
    : form_(options.form),
      is_parallel_(options.is_parallel),
      parser_(*options.form, options.tools) {}

ToolCalls::News ToolCalls::push(std::string_view text, bool is_end) {
  ToolParser::Parts parts = parser_.push(text);
  News news{.content = std::move(parts.content), .deltas = {}};
  for (const CallDelta& delta : parts.calls) add(delta, news.deltas);
  if (!is_end) return news;
  parts = parser_.finish();
  news.content += parts.content;
  for (const CallDelta& delta : parts.calls) add(delta, news.deltas);
  return news;
}

void ToolCalls::add(const CallDelta& delta, std::vector<OutJson>& deltas) {
  if (!is_parallel_ && delta.index > 0) return;
  if (!delta.name.empty()) {
    calls_.push_back({.id = new_id(), .name = delta.name});
    deltas.push_back(delta_json({{"index", delta.index},
                                 {"id", calls_.back().id},
                                 {"type", "function"},
                                 {"function", function_json(delta.name, "")}}));
  }
  if (delta.arguments.empty()) return;
  calls_.back().arguments += delta.arguments;
  deltas.push_back(
      delta_json({{"index", delta.index}, {"function", {{"arguments", delta.arguments}}}}));
}

/// Letters of their own for each call; some templates take no other ids than nine of them.
std::string ToolCalls::new_id() const {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr size_t kShort = 9;
  constexpr size_t kLong = 24;
  std::random_device source;
  std::string id = form_->has_short_ids ? "" : "call_";
  const size_t bytes = id.size() + (form_->has_short_ids ? kShort : kLong);
  while (id.size() < bytes) id += kDigits[source() % kDigits.size()];
  return id;
}

bool ToolCalls::is_open() const {
  return !calls_.empty() && !is_json_object(calls_.back().arguments);
}

OutJson ToolCalls::json() const {
  OutJson out = OutJson::array();
  for (const Call& call : calls_) {
    out.push_back({{"id", call.id},
                   {"type", "function"},
                   {"function", function_json(call.name, call.arguments)}});
  }
  return out;
}

}  // namespace dms::serve
