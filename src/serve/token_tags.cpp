#include "serve/token_tags.h"

#include <string>
#include <utility>

#include "serve/format_parts.h"

namespace dms::serve {
namespace {

using format_parts::constant;
using format_parts::sequence;

OutJson token(const TokenTag& tag) { return {{"type", "token"}, {"token", tag.id}}; }

bool is_token(const OutJson& part) { return part["type"] == "token"; }

/// The first of them in `text`; null: none is.
const TokenTag* first_in(std::string_view text, const std::vector<TokenTag>& tags) {
  const TokenTag* first = nullptr;
  size_t at = std::string_view::npos;
  for (const TokenTag& tag : tags) {
    const size_t found = text.find(tag.spelling);
    if (found >= at) continue;
    at = found;
    first = &tag;
  }
  return first;
}

std::vector<OutJson> split(std::string_view text, const std::vector<TokenTag>& tags) {
  std::vector<OutJson> parts;
  while (const TokenTag* tag = first_in(text, tags)) {
    const size_t at = text.find(tag->spelling);
    if (at > 0) parts.push_back(constant(text.substr(0, at)));
    parts.push_back(token(*tag));
    text.remove_prefix(at + tag->spelling.size());
  }
  if (!text.empty() || parts.empty()) parts.push_back(constant(text));
  return parts;
}

/// A tag begins and ends with one text or token: what stands beyond goes to its content. The first
/// `kept` bytes of it stay a text.
void split_tag(OutJson& tag, const std::vector<TokenTag>& tags, size_t kept = 0) {
  const auto text = tag["begin"].get<std::string>();
  std::vector<OutJson> begin = split(std::string_view(text).substr(kept), tags);
  std::vector<OutJson> end = split(tag["end"].get<std::string>(), tags);
  std::vector<OutJson> content;
  if (kept > 0 && is_token(begin.front())) {
    tag["begin"] = text.substr(0, kept);
    content = std::move(begin);
  } else {
    content.assign(begin.begin() + 1, begin.end());
    if (is_token(begin.front()))
      tag["begin"] = std::move(begin.front());
    else
      tag["begin"] = text.substr(0, kept) + begin.front()["value"].get<std::string>();
  }
  content.push_back(std::move(tag["content"]));
  if (is_token(end.back())) {
    tag["end"] = std::move(end.back());
    end.pop_back();
    content.insert(content.end(), end.begin(), end.end());
  } else if (end.size() > 1) {
    tag["end"] = "";
    content.insert(content.end(), end.begin(), end.end());
  }
  tag["content"] = sequence(std::move(content));
}

/// Of those that it begins with.
size_t trigger_bytes(const OutJson& triggers, std::string_view begin) {
  for (const OutJson& trigger : triggers) {
    const auto& text = trigger.get_ref<const std::string&>();
    if (begin.starts_with(text)) return text.size();
  }
  return 0;
}

}  // namespace

OutJson with_tokens(OutJson format, const std::vector<TokenTag>& tags) {
  if (tags.empty() || !format.is_structured()) return format;
  const std::string type = format.is_object() ? format.value("type", "") : "";
  if (type == "json_schema") return format;
  if (type == "const_string") return sequence(split(format["value"].get<std::string>(), tags));
  for (OutJson& part : format) part = with_tokens(std::move(part), tags);
  if (type == "tag") split_tag(format, tags);
  return format;
}

OutJson with_tokens_behind_triggers(OutJson format, const std::vector<TokenTag>& tags) {
  if (tags.empty()) return format;
  for (OutJson& tag : format["tags"]) {
    tag["content"] = with_tokens(std::move(tag["content"]), tags);
    split_tag(tag, tags, trigger_bytes(format["triggers"], tag["begin"].get<std::string>()));
  }
  return format;
}

OutJson named_tokens(const std::vector<TokenTag>& tags) {
  OutJson named = OutJson::array();
  for (const TokenTag& tag : tags) named.push_back(token(tag));
  return named;
}

}  // namespace dms::serve
