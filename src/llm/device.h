#pragma once
// On what a model computes, by the name that ModelOptions::device has. The CPU is always there;
// programs add the others that they were built with.

#include <memory>
#include <string>

#include "cpu/options.h"
#include "dms/cache.h"
#include "engine/model.h"
#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms::llm {

struct Device {
  const char* name = "";
  /// Throws InputError naming what of a model or its options the device does not have, before any
  /// weights are read.
  void (*check)(const ModelSpec& spec, const cpu::ResolvedModelOptions& options) = nullptr;
  /// CacheOptions for a model, without its weights. Throws InputError.
  std::shared_ptr<const engine::SequencePlan> (*plan)(const ModelSpec& spec,
                                                      const cpu::ResolvedModelOptions& options,
                                                      const CacheOptions& cache) = nullptr;
  /// Reads the weights, and lets go of where they come from. Uses the caller's threads.
  std::unique_ptr<engine::Model> (*open)(ModelSpec spec,
                                         std::unique_ptr<WeightSource> source,
                                         const cpu::ResolvedModelOptions& options) = nullptr;
};

/// Before the first model is opened.
void add_device(const Device& device);

/// Throws InputError where there is none of this name.
const Device& find_device(const std::string& name);

}  // namespace dms::llm
