#include "yaml/fields.h"

#include <algorithm>

#include "base/bounds.h"
#include "base/suggest.h"
#include "dms/error.h"
#include "yaml/scalar.h"

namespace dms::yaml {
namespace {

std::string join(std::span<const std::string> names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string did_you_mean(const std::string& name, std::span<const std::string> candidates) {
  const std::string nearest = nearest_name(name, candidates);
  return nearest.empty() ? "" : "did you mean '" + nearest + "'?";
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool matches(std::string_view name, std::string_view key) {
  return name.ends_with('*') ? key.starts_with(name.substr(0, name.size() - 1)) : key == name;
}

}  // namespace

Fields::Fields(const Node* node, std::string path, std::string file)
    : node_(node), path_(std::move(path)), file_(std::move(file)) {
  if (node_ == nullptr || node_->is_map() || node_->is_null()) return;
  throw InputError({.where = node_->where + (path_.empty() ? "" : ": " + path_),
                    .what = "bad value",
                    .got = describe(*node_),
                    .expected = "a mapping of keys to values"});
}

std::string Fields::name(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

std::string Fields::where(std::string_view key) const {
  const Node* const value = node_ == nullptr ? nullptr : node_->find(key);
  const bool has_line = node_ != nullptr && !path_.empty();
  const std::string& place = value != nullptr ? value->where : has_line ? node_->where : file_;
  return place + ": " + name(key);
}

void Fields::refuse(std::string_view key,
                    const std::string& what,
                    const std::string& expected,
                    const std::string& hint) const {
  const Node* const value = node_ == nullptr ? nullptr : node_->find(key);
  throw InputError({.where = where(key),
                    .what = what,
                    .got = value == nullptr ? "" : describe(*value),
                    .expected = expected,
                    .hint = hint});
}

const Node* Fields::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const Node* const value = node_ == nullptr ? nullptr : node_->find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

bool Fields::has(std::string_view key) { return find(key) != nullptr; }

void Fields::boolean(std::string_view key, bool& target) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  const std::optional<bool> read = as_boolean(*value);
  if (!read) refuse(key, "bad value", "true or false");
  target = *read;
}

void Fields::integer(std::string_view key, int64_t& target, Range<int64_t> range) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  const std::optional<int64_t> read = as_integer(*value);
  if (!read || *read < range.min || *read > range.max) {
    refuse(key, "bad value", integer_in(range.min, range.max));
  }
  target = *read;
}

void Fields::integers(std::string_view key, std::vector<int64_t>& target, Range<int64_t> range) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  std::vector<Node> items = value->is_sequence() ? value->children : std::vector<Node>{*value};
  if (items.empty()) refuse(key, "an empty list", "at least one");
  target.clear();
  for (const Node& item : items) {
    const std::optional<int64_t> read = as_integer(item);
    if (!read || *read < range.min || *read > range.max) {
      throw InputError({.where = where(key),
                        .what = "bad value",
                        .got = describe(item),
                        .expected = integer_in(range.min, range.max)});
    }
    target.push_back(*read);
  }
}

void Fields::number(std::string_view key, double& target, Range<double> range) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  const std::optional<double> read = as_number(*value);
  if (!read || *read < range.min || *read > range.max) {
    refuse(key, "bad value", number_in(range.min, range.max));
  }
  target = *read;
}

const Node& Fields::scalar(std::string_view key, const Node& value, const char* expected) const {
  if (value.is_scalar()) return value;
  throw InputError(
      {.where = where(key), .what = "bad value", .got = describe(value), .expected = expected});
}

std::string Fields::checked_text(std::string_view key, const Node& value) const {
  const std::string& read = scalar(key, value, "text").text;
  if (read.empty() || std::ranges::any_of(read, is_control)) {
    throw InputError({.where = where(key),
                      .what = read.empty() ? "empty" : "holds control characters",
                      .expected = "one line of text"});
  }
  return read;
}

void Fields::text(std::string_view key, std::string& target) {
  if (const Node* const value = find(key)) target = checked_text(key, *value);
}

void Fields::path(std::string_view key, std::filesystem::path& target) {
  if (const Node* const value = find(key)) target = checked_text(key, *value);
}

void Fields::texts(std::string_view key, std::vector<std::string>& target) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  if (!value->is_sequence()) {
    target = {checked_text(key, *value)};
    return;
  }
  if (value->children.empty()) refuse(key, "an empty list", "at least one");
  target.clear();
  for (const Node& item : value->children) target.push_back(checked_text(key, item));
}

void Fields::object(std::string_view key, Json& target) {
  const Node* const value = find(key);
  if (value == nullptr) return;
  if (!value->is_map()) refuse(key, "bad value", "a mapping of keys to values");
  target = as_json(*value);
}

size_t Fields::pick(std::string_view key, std::span<const std::string> names) const {
  const std::string& read = scalar(key, *node_->find(key), "a name").text;
  const auto found = std::ranges::find(names, read);
  if (found == names.end()) {
    refuse(key, "bad value", "one of " + join(names), did_you_mean(read, names));
  }
  return static_cast<size_t>(found - names.begin());
}

Fields Fields::section(std::string_view key) { return Fields(find(key), name(key), file_); }

void Fields::ignore(std::span<const std::string_view> names, std::vector<std::string>& notes) {
  if (node_ == nullptr) return;
  for (const Node& value : node_->children) {
    const bool is_ignored = std::ranges::any_of(
        names, [&](std::string_view pattern) { return matches(pattern, value.key); });
    if (!is_ignored) continue;
    known_.push_back(value.key);
    notes.push_back(name(value.key) + " has no meaning here and is ignored");
  }
}

void Fields::finish() const {
  if (node_ == nullptr) return;
  for (const Node& value : node_->children) {
    if (std::ranges::find(known_, value.key) != known_.end()) continue;
    throw InputError({.where = where(value.key),
                      .what = "unknown key",
                      .expected = path_.empty() ? "one of " + join(known_) : "",
                      .hint = did_you_mean(value.key, known_)});
  }
}

}  // namespace dms::yaml
