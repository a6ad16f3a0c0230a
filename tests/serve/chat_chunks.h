#pragma once
// Chunks of chat completions as OpenAI documents them, and the events that an API makes of them.

#include <string>
#include <string_view>
#include <vector>

#include "serve/answer_writer.h"

namespace dms::serve::testing_support {

inline OutJson chunk(OutJson delta, const OutJson& finish_reason = nullptr) {
  return {{"id", "chatcmpl-1a"},
          {"object", "chat.completion.chunk"},
          {"created", 7},
          {"model", "demo"},
          {"choices",
           OutJson::array({{{"index", 0},
                            {"delta", std::move(delta)},
                            {"logprobs", nullptr},
                            {"finish_reason", finish_reason}}})},
          {"usage", nullptr}};
}

inline OutJson call_chunk(int index, const OutJson& id, const OutJson& function) {
  OutJson call{{"index", index}, {"function", function}};
  if (!id.is_null()) call.update({{"id", id}, {"type", "function"}});
  return chunk({{"tool_calls", OutJson::array({call})}});
}

inline OutJson chat_usage() {
  return {{"prompt_tokens", 10},
          {"completion_tokens", 5},
          {"total_tokens", 15},
          {"prompt_tokens_details", {{"cached_tokens", 4}}},
          {"completion_tokens_details", {{"reasoning_tokens", 2}}},
          {"dms", {{"held_tokens", 3}}}};
}

inline OutJson usage_chunk() {
  OutJson out = chunk({});
  out["choices"] = OutJson::array();
  out["usage"] = chat_usage();
  return out;
}

struct NamedEvent {
  std::string name;
  OutJson data;
};

/// Server-sent events, each with a name.
inline std::vector<NamedEvent> parse_events(std::string_view text) {
  constexpr std::string_view kName = "event: ";
  constexpr std::string_view kData = "\ndata: ";
  std::vector<NamedEvent> events;
  while (!text.empty()) {
    const std::string_view event = text.substr(0, text.find("\n\n"));
    const size_t data = event.find(kData);
    if (!event.starts_with(kName) || data == std::string_view::npos) {
      return {{.name = "malformed", .data = std::string(event)}};
    }
    events.push_back({.name = std::string(event.substr(kName.size(), data - kName.size())),
                      .data = OutJson::parse(event.substr(data + kData.size()))});
    text.remove_prefix(std::min(event.size() + 2, text.size()));
  }
  return events;
}

/// Those of a whole stream: a role comes first, usage last.
inline std::vector<NamedEvent> stream(AnswerWriter& writer, const std::vector<OutJson>& chunks) {
  std::string text = writer.chunk(chunk({{"role", "assistant"}, {"content", ""}}));
  for (const OutJson& each : chunks) text += writer.chunk(each);
  text += writer.chunk(usage_chunk());
  return parse_events(text += writer.done());
}

/// The answer of a request that is not streamed.
inline OutJson whole(AnswerWriter&& writer, const std::vector<OutJson>& chunks) {
  for (const OutJson& each : chunks) writer.gather(each);
  return writer.whole({{"usage", chat_usage()}});
}

inline std::vector<std::string> names_of(const std::vector<NamedEvent>& events) {
  std::vector<std::string> names;
  for (const NamedEvent& event : events) names.push_back(event.name);
  return names;
}

}  // namespace dms::serve::testing_support
