#pragma once
// Typed access to one section of a YAML file. What is asked for is what is known: finish()
// then refuses every other key of the section and names the one that was probably meant.

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "yaml/tree.h"

namespace dms::yaml {

/// Bounds of a value, both included.
template <class T>
struct Range {
  T min;
  T max;
};

/// Every getter leaves its target as it is where the key is absent or null, and throws InputError
/// naming file, line and key where the value has another type or lies outside its bounds.
class Fields {
 public:
  /// `node` (a map or null; nullptr: absent) must outlive this view. `path` is the section's name.
  Fields(const Node* node, std::string path, std::string file);

  bool has(std::string_view key);
  void boolean(std::string_view key, bool& target);
  void integer(std::string_view key, int64_t& target, Range<int64_t> range);
  /// One number or a list of them; an empty list is refused.
  void integers(std::string_view key, std::vector<int64_t>& target, Range<int64_t> range);
  void number(std::string_view key, double& target, Range<double> range);
  /// A line of text without control characters.
  void text(std::string_view key, std::string& target);
  void path(std::string_view key, std::filesystem::path& target);
  /// One text or a list of texts; an empty list is refused.
  void texts(std::string_view key, std::vector<std::string>& target);
  /// A mapping as JSON.
  void object(std::string_view key, Json& target);

  template <class T>
  void choice(std::string_view key,
              T& target,
              std::initializer_list<std::pair<std::string_view, T>> values);

  /// The view of a mapping inside this one.
  Fields section(std::string_view key);
  /// The raw value, or nullptr when absent or null.
  const Node* find(std::string_view key);

  /// Accepts keys that mean nothing here; each one present adds a note. A name that ends in '*'
  /// stands for every key that begins so.
  void ignore(std::span<const std::string_view> names, std::vector<std::string>& notes);

  /// "train.yaml:12: dms.tau"; where the key is absent, the line is that of its section.
  std::string where(std::string_view key) const;
  /// "dms.tau"
  std::string name(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view key,
                           const std::string& what,
                           const std::string& expected,
                           const std::string& hint = {}) const;

  /// Throws InputError on the first key that nobody asked for.
  void finish() const;

 private:
  const Node& scalar(std::string_view key, const Node& value, const char* expected) const;
  std::string checked_text(std::string_view key, const Node& value) const;
  /// The index in `names` of the value's text.
  size_t pick(std::string_view key, std::span<const std::string> names) const;

  const Node* node_;
  std::string path_;
  std::string file_;
  std::vector<std::string> known_;
};

template <class T>
void Fields::choice(std::string_view key,
                    T& target,
                    std::initializer_list<std::pair<std::string_view, T>> values) {
  if (find(key) == nullptr) return;
  std::vector<std::string> names;
  for (const auto& [value_name, value] : values) names.emplace_back(value_name);
  target = (values.begin() + static_cast<std::ptrdiff_t>(pick(key, names)))->second;
}

}  // namespace dms::yaml
