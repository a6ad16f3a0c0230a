#pragma once
// How the next token is chosen: what the command line says, and where it is silent the model's
// folder.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "dms/llm.h"

namespace CLI {
class App;
}

namespace dms::cli {

class SamplingOptions {
 public:
  /// The model's recommendation with the options given over it. Throws InputError where these
  /// contradict each other; notes those that have no effect.
  SamplingParams resolve(const ModelInfo& model) const { return resolve(model.sampling); }
  SamplingParams resolve(const SamplingParams& recommended) const;
  bool is_given(const std::string& option) const { return names_.contains(option); }

  /// An option was given. Of several for one field the last one counts.
  template <class T>
  void set(const std::string& option, T SamplingParams::*field, T value) {
    names_.insert(option);
    given_.push_back([field, value](SamplingParams& params) { params.*field = value; });
  }
  /// The same of an option that greedy choice leaves aside.
  template <class T>
  void set_of_sampling(const std::string& option, T SamplingParams::*field, T value) {
    set(option, field, value);
    of_sampling_.push_back(option);
  }
  void be_greedy() {
    names_.insert("--greedy");
    is_greedy_ = true;
  }

 private:
  std::vector<std::function<void(SamplingParams&)>> given_;
  std::set<std::string> names_;  // of the options given
  std::vector<std::string> of_sampling_;
  bool is_greedy_ = false;
};

/// --max-new-tokens, where an answer ends, and how tokens are chosen
void add_sampling_options(CLI::App& app, SamplingOptions& options);

}  // namespace dms::cli
