#pragma once
// The part of an LLM that its sessions need for as long as they live.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cpu/options.h"
#include "dms/llm.h"
#include "engine/engine.h"
#include "model/spec/model_spec.h"

namespace dms {

struct Core {
  ModelSpec spec;
  cpu::ResolvedModelOptions options;
  std::optional<Tokenizer> tokenizer;
  std::unique_ptr<engine::GuideMaker> guides;
  std::unique_ptr<engine::Model> model;
  std::unique_ptr<engine::Model> draft_model;  // null: none
  std::unique_ptr<engine::Engine> engine;
  std::string fingerprint;  // the model's

  /// To be called first on every way into a computation.
  void enter() const;
};

struct Session::State {
  std::shared_ptr<Core> core;
  CacheOptions options;
  std::shared_ptr<engine::Sequence> sequence;
  std::vector<float> logits;  // [vocab], after the last token that append() was given
};

}  // namespace dms
