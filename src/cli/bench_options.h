#pragma once
// What `dms bench` is asked to measure.

#include <cstdint>
#include <string>
#include <vector>

#include "dms/llm.h"

namespace CLI {
class App;
}

namespace dms::cli {

struct BenchOptions {
  std::string model;
  std::string config;
  bool random_weights = false;
  ModelOptions model_options;
  CacheOptions cache;
  std::string policies;
  std::string methods;  // the same, to be compared by a needle in each prompt; empty: not asked for
  std::vector<int64_t> prompt_lens{512};
  std::vector<int64_t> concurrencies{1};
  bool serves = false;    // requests are measured too (settle_bench_options)
  bool sessions = false;  // those that fit are counted, and nothing else
  int64_t gen_tokens = 32;
  int64_t context_tokens = 0;
  int64_t repeats = 3;
  uint64_t seed = 0;
  bool json = false;
  // Of `methods`.
  std::string out;  // what is measured is kept there, and not measured again; empty: nowhere
  bool force = false;
  std::string csv;
  std::string html;
};

void add_bench_options(CLI::App& app, BenchOptions& options);
/// When the options have been read: throws InputError where they do not go together, notes those
/// that have no effect, and decides what they leave open.
void settle_bench_options(const CLI::App& app, BenchOptions& options);

}  // namespace dms::cli
