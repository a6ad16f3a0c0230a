#include "llm/device.h"

#include <deque>
#include <string_view>
#include <utility>

#include "cpu/cpu_model.h"
#include "dms/error.h"

namespace dms::llm {
namespace {

std::unique_ptr<engine::Model> open_on_cpu(ModelSpec spec,
                                           std::unique_ptr<WeightSource> source,
                                           const cpu::ResolvedModelOptions& options) {
  model::DecoderWeights weights = model::load_weights(
      spec, *source, {.format = options.weight_format, .as_stored = options.weights_as_stored});
  source.reset();
  return std::make_unique<cpu::CpuModel>(std::move(spec), std::move(weights), options);
}

std::deque<Device>& devices() {
  static std::deque<Device> all{{.name = "cpu",
                                 .check = [](const ModelSpec&, const auto&) {},
                                 .plan = cpu::make_plan,
                                 .open = open_on_cpu}};
  return all;
}

}  // namespace

void add_device(const Device& device) { devices().push_back(device); }

const Device& find_device(const std::string& name) {
  std::string known;
  for (const Device& device : devices()) {
    if (device.name == name) return device;
    known += (known.empty() ? "" : " or ") + std::string(device.name);
  }
  const bool is_left_out = name == "cuda";
  throw InputError({.field = "device",
                    .what = is_left_out ? "not built in" : "unknown device",
                    .got = name,
                    .expected = known,
                    .hint = is_left_out ? "this program was built without -DDMS_CUDA=ON" : ""});
}

}  // namespace dms::llm
