#include <algorithm>
#include <array>

#include "train/config/sections.h"

namespace dms::train::config {
namespace {

/// What published configurations name without declaring it: only its path has to be given.
struct KnownDataset {
  std::string_view name;
  const char* prompt;
  const char* response;
  const char* filter;
};

constexpr KnownDataset kOpenR1{.name = "OpenR1Math220k",
                               .prompt = "problem",
                               .response = "generations[correctness_math_verify]",
                               .filter = "any(correctness_math_verify)"};

bool is_bare(yaml::Fields& fields) {
  constexpr std::array keys{"type", "text", "conversation", "prompt", "response", "generator"};
  return std::ranges::none_of(keys, [&](const char* key) { return fields.has(key); });
}

/// The kind follows from the fields that are named; `type` may say it too.
DatasetKind read_kind(yaml::Fields& fields) {
  const bool has_text = fields.has("text");
  const bool has_messages =
      fields.has("conversation") || fields.has("prompt") || fields.has("response");
  if (has_text && has_messages) {
    fields.refuse("text", "beside conversation, prompt or response", "the fields of one kind");
  }
  DatasetKind kind = has_messages ? DatasetKind::conversation : DatasetKind::text;
  const DatasetKind inferred = kind;
  fields.choice(
      "type", kind, {{"text", DatasetKind::text}, {"conversation", DatasetKind::conversation}});
  if (kind != inferred && (has_text || has_messages)) {
    fields.refuse("type", "contradicts the fields given", has_text ? "text" : "conversation");
  }
  return kind;
}

void read_field_names(yaml::Fields& fields, DatasetSection& dataset) {
  if (dataset.kind == DatasetKind::text) {
    dataset.field = "text";
    fields.text("text", dataset.field);
    return;
  }
  fields.text("conversation", dataset.field);
  fields.text("prompt", dataset.prompt_field);
  fields.text("response", dataset.response_field);
  const bool has_pair = !dataset.prompt_field.empty() || !dataset.response_field.empty();
  if (!has_pair && dataset.field.empty()) dataset.field = "conversation";
}

void read_source(yaml::Fields& fields, DatasetSection& dataset) {
  std::vector<std::string> paths;
  fields.texts("path", paths);
  dataset.paths.assign(paths.begin(), paths.end());
  if (fields.has("generator")) fields.object("generator", dataset.generator.emplace());
  fields.text("filter", dataset.filter);
}

void check_field_names(const yaml::Fields& fields, const DatasetSection& dataset) {
  if (dataset.prompt_field.empty() != dataset.response_field.empty()) {
    const char* const given = dataset.prompt_field.empty() ? "response" : "prompt";
    fields.refuse(given, "only one of prompt and response", "both");
  }
  if (!dataset.prompt_field.empty() && !dataset.field.empty()) {
    fields.refuse("conversation", "beside prompt and response", "one of the two forms");
  }
}

void check_source(const yaml::Fields& fields, const DatasetSection& dataset) {
  if (dataset.generator && !dataset.paths.empty()) {
    fields.refuse("path", "beside a generator", "one of the two");
  }
  if (!dataset.generator && dataset.paths.empty()) {
    fields.refuse("path", "missing", "a file, a folder, or a list of them");
  }
}

void check_split(const yaml::Fields& fields, const DatasetSection& dataset) {
  if (!dataset.split.empty() && dataset.valid_fraction <= 0) {
    fields.refuse("split", "valid_fraction is missing", "", "valid_fraction: 0.01 keeps 1 % apart");
  }
  if (dataset.split.empty() && dataset.valid_fraction > 0) {
    fields.refuse("valid_fraction", "split is missing", "split: train or split: valid beside it");
  }
}

}  // namespace

DatasetSection read_dataset(yaml::Fields fields, const std::string& name) {
  DatasetSection dataset;
  dataset.name = name;
  if (name == kOpenR1.name && is_bare(fields)) {
    dataset.kind = DatasetKind::conversation;
    dataset.prompt_field = kOpenR1.prompt;
    dataset.response_field = kOpenR1.response;
    dataset.filter = kOpenR1.filter;
  } else {
    dataset.kind = read_kind(fields);
    read_field_names(fields, dataset);
  }
  read_source(fields, dataset);
  fields.choice<std::string>("split", dataset.split, {{"train", "train"}, {"valid", "valid"}});
  fields.number("valid_fraction", dataset.valid_fraction, {0.0, 0.99});
  fields.finish();
  check_field_names(fields, dataset);
  check_source(fields, dataset);
  check_split(fields, dataset);
  return dataset;
}

}  // namespace dms::train::config
