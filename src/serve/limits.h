#pragma once
// What one request may ask for at most.

#include <cstddef>
#include <cstdint>

namespace dms::serve {

struct RequestLimits {
  int64_t json_values = int64_t{1}
                        << 21;  // of any kind in a body: a tree takes 16 to 120 bytes each
  int json_depth = 64;          // arrays and objects inside one another: a schema of 48 has room
  int64_t answers = 16;         // n
  int64_t prompts = 256;        // in one request for completions
  size_t messages = 4096;
  size_t tools = 128;
  size_t stops = 16;
  size_t stop_bytes = 1024;  // of one of them
  size_t stop_ids = 64;
  size_t logit_biases = 1024;
  int64_t log_probabilities = 20;
};

}  // namespace dms::serve
