#pragma once
// How an engine shares a model between requests.

#include <cstdint>
#include <filesystem>

namespace dms::engine {

class Model;

struct EngineOptions {
  int64_t chunk_tokens = 256;     // a prompt is computed in pieces of so many tokens
  int64_t max_step_tokens = 512;  // prompt tokens of one pass together
  int64_t max_sequences = 64;     // answers computed side by side; other requests wait
  bool prefix_cache = false;
  int64_t swap_bytes = 0;
  std::filesystem::path swap_folder{};  // empty: swapped in memory
  Model* draft_model = nullptr;  // of the same tokens, that guesses ahead; outlives the engine
  double draft_cost = 0;         // of a pass of it, as a share of one of the model's
};

}  // namespace dms::engine
