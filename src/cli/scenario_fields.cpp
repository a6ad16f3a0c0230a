#include "cli/scenario_fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/suggest.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "dms/error.h"
#include "yaml/fields.h"

namespace dms::cli {
namespace {

const std::array<std::string, 4> kMeasures{"ppl", "kld", "needle", "ruler"};
constexpr std::string_view kText = "ppl kld";
constexpr std::string_view kTasks = "needle ruler";

/// Keys that only some measures have.
struct OwnKey {
  std::string_view name;
  std::string_view measures;
};
constexpr std::array kOwnKeys{
    OwnKey{"text", kText},
    OwnKey{"ids", kText},
    OwnKey{"max_tokens", kText},
    OwnKey{"stride", kText},
    OwnKey{"first_scored", kText},
    OwnKey{"decode", kText},
    OwnKey{"samples", kTasks},
    OwnKey{"seed", kTasks},
    OwnKey{"haystack", kTasks},
    OwnKey{"hide_question", kTasks},
    OwnKey{"chat", kTasks},
    OwnKey{"depths", "needle"},
    OwnKey{"digits", "needle"},
    OwnKey{"tasks", "ruler"},
    OwnKey{"squad", "ruler"},
    OwnKey{"hotpotqa", "ruler"},
};

/// What is written beside the folders of the scenarios.
constexpr std::array<std::string_view, 3> kReportFiles{"report.csv", "report.html", "report.md"};

constexpr int64_t kMaxSamples = 100'000;
constexpr int64_t kMaxDigits = 18;
constexpr int64_t kMaxThreads = 1024;

/// Whether one of the measures has this key; every one has those that are not listed.
bool is_used(std::string_view key, const std::vector<std::string>& measures) {
  const auto own = std::ranges::find(kOwnKeys, key, &OwnKey::name);
  if (own == kOwnKeys.end()) return true;
  return std::ranges::any_of(measures, [own](const std::string& measure) {
    return own->measures.find(measure) != std::string_view::npos;
  });
}

bool is_folder_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

template <class T>
void refuse_twice(const yaml::Fields& fields, std::string_view key, std::vector<T> values) {
  std::ranges::sort(values);
  const auto twice = std::ranges::adjacent_find(values);
  if (twice != values.end()) {
    fields.refuse(key, fmt::format("{} stands there twice", *twice), "each once");
  }
}

/// A key that is there and looks like the one that is missing is the fault.
[[noreturn]] void refuse_missing(const yaml::Fields& fields,
                                 const yaml::Node& node,
                                 const std::string& key,
                                 const std::string& expected) {
  for (const yaml::Node& value : node.children) {
    const std::string hint = did_you_mean(value.key, std::array{key});
    if (!hint.empty()) fields.refuse(value.key, "unknown key", "", hint);
  }
  fields.refuse(key, "missing", expected);
}

std::vector<std::string> measures_of(yaml::Fields& fields, const yaml::Node& node) {
  std::vector<std::string> measures;
  fields.texts("measure", measures);
  if (measures.empty()) {
    refuse_missing(fields, node, "measure", "ppl, kld, needle, ruler or several");
  }
  for (const std::string& measure : measures) {
    if (std::ranges::find(kMeasures, measure) != kMeasures.end()) continue;
    fields.refuse("measure",
                  fmt::format("unknown measure '{}'", measure),
                  "ppl, kld, needle, ruler or several",
                  did_you_mean(measure, kMeasures));
  }
  refuse_twice(fields, "measure", measures);
  return measures;
}

bool is_text_source(std::string_view key) { return key == "text" || key == "ids"; }

/// The scenario's keys, and of the defaults' those that it does not have and has a use for.
yaml::Node with_defaults(yaml::Node node, const yaml::Node* defaults) {
  if (defaults == nullptr) return node;
  const yaml::Node* const measure =
      node.find("measure") != nullptr ? node.find("measure") : defaults->find("measure");
  std::vector<std::string> measures;
  if (measure != nullptr && measure->is_scalar()) measures = {measure->text};
  if (measure != nullptr) {
    for (const yaml::Node& item : measure->children) measures.push_back(item.text);
  }
  const bool has_text = node.find("text") != nullptr || node.find("ids") != nullptr;
  for (const yaml::Node& value : defaults->children) {
    if (has_text && is_text_source(value.key)) continue;
    if (node.find(value.key) == nullptr && is_used(value.key, measures)) {
      node.children.push_back(value);
    }
  }
  return node;
}

void optional_count(yaml::Fields& fields,
                    std::string_view key,
                    std::optional<int64_t>& target,
                    int64_t min) {
  if (!fields.has(key)) return;
  int64_t value = 0;
  fields.integer(key, value, {min, kMaxTokens});
  target = value;
}

void read_model(yaml::Fields& fields, const yaml::Node& node, EvalOptions& options) {
  fields.text("model", options.model);
  if (options.model.empty()) {
    refuse_missing(fields, node, "model", "a model's folder or GGUF file");
  }
  fields.path("adapter", options.model_options.adapter);
  fields.text("dtype", options.model_options.dtype);
  fields.text("weights", options.model_options.weights);
  fields.text("kv_dtype", options.cache.kv_dtype);
  int64_t& threads = options.model_options.threads;
  fields.integer("threads", threads, {1, kMaxThreads});
}

/// Each evaluation reads it; standard input would be empty for the second one.
void read_file_name(yaml::Fields& fields, std::string_view key, std::string& target) {
  fields.text(key, target);
  if (is_standard_input(target)) fields.refuse(key, "standard input", "a file");
}

void read_text_fields(yaml::Fields& fields, EvalOptions& options) {
  read_file_name(fields, "text", options.text.text_file);
  read_file_name(fields, "ids", options.text.ids_file);
  if (!options.text.text_file.empty() && !options.text.ids_file.empty()) {
    fields.refuse("ids", "stands beside text", "one of the two");
  }
  optional_count(fields, "max_tokens", options.max_tokens, 2);
  optional_count(fields, "stride", options.stride, 1);
  optional_count(fields, "first_scored", options.first_scored, 1);
  fields.integer("decode", options.decode_tokens, {0, kMaxTokens});
}

void read_task_fields(yaml::Fields& fields, EvalOptions& options) {
  fields.integer("samples", options.samples, {1, kMaxSamples});
  int64_t seed = static_cast<int64_t>(options.seed);
  fields.integer("seed", seed, {0, std::numeric_limits<int64_t>::max()});
  options.seed = static_cast<uint64_t>(seed);
  read_file_name(fields, "haystack", options.haystack);
  fields.boolean("hide_question", options.hides_question);
  fields.boolean("chat", options.is_chat);
  fields.integers("depths", options.depths, {0, 100});
  fields.integer("digits", options.digits, {1, kMaxDigits});
  fields.texts("tasks", options.tasks);
  read_file_name(fields, "squad", options.squad);
  read_file_name(fields, "hotpotqa", options.hotpot);
}

/// Of a text each length is an evaluation; of tasks all lengths are one.
void add_parts(const EvalOptions& options, const std::string& measure, Scenario& scenario) {
  EvalOptions part = options;
  part.action = measure;
  if (!part.is_text()) {
    scenario.parts.push_back(std::move(part));
    return;
  }
  part.lengths.clear();
  if (options.lengths.empty()) scenario.parts.push_back(part);
  for (const int64_t length : options.lengths) {
    part.context = length;
    part.is_filled = true;  // or several lengths would be the same evaluation
    scenario.parts.push_back(part);
  }
}

/// "snapkv:budget=256" of {policy: snapkv, budget: 256}.
std::string policy_text(const yaml::Node& node) {
  if (node.is_scalar()) return node.text;
  yaml::Fields fields(&node, "policy", node.where);
  std::string text;
  fields.text("policy", text);
  if (text.empty()) refuse_missing(fields, node, "policy", "a policy's name");
  for (const yaml::Node& value : node.children) {
    if (value.key == "policy") continue;
    if (!value.is_scalar()) fields.refuse(value.key, "bad value", "a number or text");
    std::string argument = value.text;
    std::ranges::replace(argument, ',', ';');
    text += fmt::format(":{}={}", value.key, argument);
  }
  return text;
}

}  // namespace

Scenario read_scenario(const yaml::Node& node,
                       const yaml::Node* defaults,
                       const std::string& file) {
  const yaml::Node whole = with_defaults(node, defaults);
  const yaml::Node* const named = whole.find("name");
  const std::string path = named == nullptr ? "scenario" : named->text;
  yaml::Fields fields(&whole, path, file);
  Scenario scenario;
  constexpr const char* kName = "letters, digits, '_', '-' and '.'";
  fields.text("name", scenario.name);
  if (named == nullptr) refuse_missing(fields, whole, "name", kName);
  if (!is_folder_name(scenario.name)) fields.refuse("name", "bad value", kName);
  if (std::ranges::find(kReportFiles, scenario.name) != kReportFiles.end()) {
    fields.refuse("name", "the name of a file of the report", "another name");
  }
  const std::vector<std::string> measures = measures_of(fields, whole);
  fields.texts("profiles", scenario.profiles);
  EvalOptions options;
  fields.integers("lengths", options.lengths, {2, kMaxTokens});
  refuse_twice(fields, "lengths", options.lengths);
  read_model(fields, whole, options);
  read_text_fields(fields, options);
  read_task_fields(fields, options);
  refuse_twice(fields, "depths", options.depths);
  fields.finish();
  for (const yaml::Node& value : whole.children) {
    if (is_used(value.key, measures)) continue;
    fields.refuse(value.key, fmt::format("no key of {}", fmt::join(measures, ", ")), "");
  }
  const bool has_text = !options.text.text_file.empty() || !options.text.ids_file.empty();
  if (is_used("text", measures) && !has_text) fields.refuse("text", "missing", "a text file");
  for (const std::string& measure : measures) add_parts(options, measure, scenario);
  return scenario;
}

Profile read_profile(const yaml::Node& node) {
  const std::string place = fmt::format("{}: profiles.{}", node.where, node.key);
  if (!node.is_sequence() || node.children.empty()) {
    throw InputError({.where = place,
                      .what = node.is_sequence() ? "an empty list" : "bad value",
                      .got = node.is_sequence() ? "" : yaml::describe(node),
                      .expected = "a list of policies, '- snapkv:budget=12.5%' each"});
  }
  Profile profile{.name = node.key, .policies = {}, .where = place};
  std::vector<std::string> policies;
  for (const yaml::Node& item : node.children) {
    if (!item.is_scalar() && !item.is_map()) {
      throw InputError({.where = fmt::format("{}: profiles.{}", item.where, node.key),
                        .what = "bad value",
                        .got = yaml::describe(item),
                        .expected = "a policy, or a mapping with the key policy"});
    }
    const std::string here = fmt::format("{}: profiles.{}", item.where, node.key);
    for (const std::string& policy : parse_list(here, policy_text(item))) {
      if (std::ranges::find(policies, policy) != policies.end()) {
        throw InputError(
            {.where = here, .what = policy + " stands there twice", .expected = "each once"});
      }
      policies.push_back(policy);
    }
  }
  profile.policies = fmt::format("{}", fmt::join(policies, ","));
  return profile;
}

}  // namespace dms::cli
