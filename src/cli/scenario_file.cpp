#include "cli/scenario_file.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/input.h"
#include "cli/parse.h"
#include "cli/scenario_fields.h"
#include "dms/error.h"
#include "yaml/fields.h"

namespace dms::cli {
namespace {

void add_scenario(std::vector<Scenario>& scenarios, Scenario scenario, const std::string& where) {
  if (std::ranges::find(scenarios, scenario.name, &Scenario::name) != scenarios.end()) {
    throw InputError({.where = where, .what = "two of the same name", .got = scenario.name});
  }
  scenarios.push_back(std::move(scenario));
}

std::vector<Scenario> read_scenarios(yaml::Fields& root, const std::string& file) {
  const yaml::Node* const list = root.find("scenarios");
  if (list == nullptr || (list->is_sequence() && list->children.empty())) {
    throw InputError({.where = file,
                      .what = "no scenarios",
                      .expected = "scenarios: a list of mappings with name, model and measure"});
  }
  if (!list->is_sequence()) root.refuse("scenarios", "bad value", "a list of mappings");
  const yaml::Node* const defaults = root.find("defaults");
  if (defaults != nullptr && !defaults->is_map()) {
    root.refuse("defaults", "bad value", "a mapping of keys to values");
  }
  std::vector<Scenario> scenarios;
  for (const yaml::Node& node : list->children) {
    add_scenario(
        scenarios, read_scenario(node, defaults, file), fmt::format("{}: scenarios", node.where));
  }
  return scenarios;
}

/// A profile of a built-in one's name takes its place.
std::vector<Profile> read_profiles(yaml::Fields& root) {
  std::vector<Profile> profiles = built_in_profiles();
  const yaml::Node* const own = root.find("profiles");
  if (own == nullptr) return profiles;
  if (!own->is_map()) root.refuse("profiles", "bad value", "a mapping of names to policies");
  for (const yaml::Node& node : own->children) {
    std::erase_if(profiles, [&node](const Profile& one) { return one.name == node.key; });
    profiles.push_back(read_profile(node));
  }
  return profiles;
}

template <class T>
std::vector<T> choose(const std::vector<T>& all,
                      const std::vector<std::string>& names,
                      const std::string& where) {
  if (names.empty()) return all;
  std::vector<std::string> known;
  for (const T& one : all) known.push_back(one.name);
  std::vector<T> chosen;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(all, name, &T::name);
    if (found == all.end()) {
      throw InputError({.where = where,
                        .what = "unknown",
                        .got = name,
                        .expected = fmt::format("{}", fmt::join(known, ", ")),
                        .hint = did_you_mean(name, known)});
    }
    if (std::ranges::find(chosen, name, &T::name) != chosen.end()) {
      throw InputError({.where = where, .what = "stands there twice", .got = name});
    }
    chosen.push_back(*found);
  }
  return chosen;
}

/// "a,b": a list; "a": a text.
yaml::Node value_node(const std::string& key, const std::string& text, const std::string& where) {
  yaml::Node node{.kind = yaml::Node::Kind::scalar, .key = key, .where = where, .text = text};
  if (text.find(',') == std::string::npos) return node;
  node.kind = yaml::Node::Kind::sequence;
  for (std::string& part : parse_list(where, text)) {
    node.children.push_back(
        {.kind = yaml::Node::Kind::scalar, .where = where, .text = std::move(part)});
  }
  return node;
}

constexpr size_t kMostQuoted = 60;  // of a text, in an error
constexpr const char* kBlanks = " \t\r";

yaml::Node scenario_node(const std::string& line, const std::string& where) {
  yaml::Node node{.kind = yaml::Node::Kind::map, .where = where};
  size_t begin = line.find_first_not_of(kBlanks);
  while (begin != std::string::npos) {
    const size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    const std::string word = line.substr(begin, end - begin);
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw InputError({.where = where, .what = "bad value", .got = word, .expected = "key=value"});
    }
    const std::string key = word.substr(0, equals);
    if (node.find(key) != nullptr) {
      throw InputError({.where = where, .what = fmt::format("key '{}' stands here twice", key)});
    }
    node.children.push_back(value_node(key, word.substr(equals + 1), where));
    begin = line.find_first_not_of(kBlanks, end);
  }
  return node;
}

/// What stands between the brackets of a bash array as it was written; nothing where there are
/// none.
std::optional<std::string> array_of(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  const size_t end = text.find_last_not_of(kSpace);
  if (begin == end || text[begin] != '(' || text[end] != ')') return std::nullopt;
  return text.substr(begin + 1, end - begin - 1);
}

/// A line for each of an array's texts: "…" or '…', where a word may begin.
std::string lines_of_array(const std::string& array, const std::string& where) {
  std::string lines;
  bool begins_word = true;
  for (size_t at = 0; at < array.size(); ++at) {
    const char c = array[at];
    if (begins_word && (c == '"' || c == '\'')) {
      const size_t end = array.find(c, at + 1);
      if (end == std::string::npos) {
        throw InputError({.where = where,
                          .what = "a quote without its end",
                          .got = array.substr(at, kMostQuoted)});
      }
      lines += fmt::format("\n{}\n", array.substr(at + 1, end - at - 1));
      at = end;
      continue;
    }
    lines += c;
    begins_word = std::string_view(" \t\r\n;").find(c) != std::string_view::npos;
  }
  return lines;
}

}  // namespace

std::vector<Profile> built_in_profiles() {
  return {{.name = "balanced",
           .policies = "none,streaming:recent_size=12.5%,random:cr=8,snapkv:budget=12.5%,"
                       "expected_attention:budget=12.5%,keydiff:budget=12.5%",
           .adds_trained = true},
          {.name = "quality",
           .policies = "none,none:kv_dtype=int8,streaming:recent_size=25%,random:cr=4,"
                       "snapkv:budget=25%,expected_attention:budget=25%,keydiff:budget=25%",
           .adds_trained = true}};
}

ScenarioFile read_scenario_file(const std::string& path) {
  const std::string name = input_name(path);
  const yaml::Node tree = yaml::parse(read_text(path), name);
  if (tree.is_null()) {
    throw InputError({.where = name,
                      .what = "empty",
                      .expected = "scenarios: a list of mappings with name, model and measure"});
  }
  yaml::Fields root(&tree, "", name);
  ScenarioFile file;
  root.text("title", file.title);
  root.text("output", file.output);
  for (const char* key : {"defaults", "profiles", "scenarios"}) root.find(key);
  root.finish();
  file.profiles = read_profiles(root);
  file.scenarios = read_scenarios(root, name);
  for (const Scenario& scenario : file.scenarios) {
    choose_profiles(
        file.profiles, scenario.profiles, fmt::format("{}: {}.profiles", name, scenario.name));
  }
  return file;
}

std::vector<Scenario> parse_scenarios(const std::string& text, const std::string& where) {
  const std::optional<std::string> array = array_of(text);
  std::string lines = array ? lines_of_array(*array, where) : text;
  std::ranges::replace(lines, ';', '\n');
  std::vector<Scenario> scenarios;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const std::string line = lines.substr(begin, end - begin);
    if (line.find_first_not_of(kBlanks) != std::string::npos) {
      add_scenario(scenarios, read_scenario(scenario_node(line, where), nullptr, where), where);
    }
    begin = end + 1;
  }
  return scenarios;
}

std::vector<Profile> choose_profiles(const std::vector<Profile>& profiles,
                                     const std::vector<std::string>& names,
                                     const std::string& where) {
  return choose(profiles, names, where);
}

std::vector<Scenario> choose_scenarios(const std::vector<Scenario>& scenarios,
                                       const std::vector<std::string>& names,
                                       const std::string& where) {
  return choose(scenarios, names, where);
}

}  // namespace dms::cli
