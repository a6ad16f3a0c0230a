#include "train/export/adapter_folder.h"

#include <string>

#include "base/json.h"
#include "base/output_file.h"
#include "base/output_folder.h"
#include "base/replaceable.h"
#include "dms/error.h"
#include "model/spec/adapter.h"
#include "train/export/dms_keys.h"
#include "train/export/weight_files.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;

Json adapter_config(const ModelSpec& spec, double tau) {
  Json config{{"format", kAdapterFormat},
              {"version", kAdapterVersion},
              {"model_type", spec.model_type},
              {"hidden_size", spec.hidden},
              {"num_hidden_layers", spec.layers},
              {"num_key_value_heads", spec.kv_heads}};
  add_dms_keys(*spec.dms, tau, config);
  return config;
}

}  // namespace

void check_adapter_output(const fs::path& out) {
  check_replaceable(
      resolve_output(out), kAdapterConfigFile, "an adapter's folder", [](std::string_view name) {
        return name == kAdapterConfigFile || name == kAdapterWeightsFile;
      });
}

void write_adapter_folder(const fs::path& out,
                          const ModelSpec& spec,
                          double tau,
                          const WeightSource& source) {
  if (!spec.dms || spec.dms->source != DmsSource::adapter) {
    throw InputError({.where = "dms.separate_alpha",
                      .what = "the student has no adapter to write",
                      .got = "false",
                      .expected = "true",
                      .hint = "write a student folder instead"});
  }
  check_adapter_output(out);
  const fs::path target = resolve_output(out);
  prepare_parent(target);
  OutputFolder folder(target);
  write_text_file(folder.path() / kAdapterConfigFile, adapter_config(spec, tau).dump(2) + "\n");
  write_weight_file(
      folder.path() / kAdapterWeightsFile, adapter_weight_names(spec), source, DType::f32);
  folder.commit();
}

}  // namespace dms::train
