#include "train/device.h"

#include <cstdlib>

#include "dms/error.h"

namespace dms::train {
namespace {

constexpr const char* kField = "hf_trainer.device";

void refuse_missing_gpus(const std::string& setting) {
  if (at::hasCUDA()) return;
  throw InputError({.where = kField,
                    .what = "no GPU is usable by this dms-train",
                    .got = setting,
                    .expected = "cpu or auto",
                    .hint =
                        "GPUs need a LibTorch with CUDA at build time and a driver at run time; "
                        "see docs/training.md"});
}

void refuse_one_gpu_for_many(const std::string& setting, const Launch& launch) {
  if (launch.size == 1) return;
  throw InputError({.where = kField,
                    .what = "names one GPU for " + std::to_string(launch.size) + " processes",
                    .got = setting,
                    .expected = "cuda: each process then takes the GPU of its rank"});
}

}  // namespace

at::Device choose_device(const std::string& setting, const Launch& launch) {
  if (setting == "cpu" || (setting == "auto" && !at::hasCUDA())) return at::kCPU;
  refuse_missing_gpus(setting);
  int64_t index = launch.local_rank;
  if (const size_t colon = setting.find(':'); colon != std::string::npos) {
    refuse_one_gpu_for_many(setting, launch);
    index = std::strtoll(setting.c_str() + colon + 1, nullptr, 10);
  }
  const auto gpus = static_cast<int64_t>(at::getNumGPUs());
  // Launchers may show each process a GPU of its own as the only one.
  const bool is_given_its_own = gpus == 1 && std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
  if (is_given_its_own && launch.by != Launch::By::itself) index = 0;
  if (index >= gpus) {
    throw InputError({.where = kField,
                      .what = "no GPU of this number",
                      .got = "cuda:" + std::to_string(index),
                      .expected = "less than " + std::to_string(gpus),
                      .hint = "start at most one process for each GPU of a machine"});
  }
  return {at::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace dms::train
