// Shows the Python tests what the trainer computes. One JSON job a line on standard input, one
// answer a line on standard output, {} or {"error": …}; tensors go to the job's "out", a
// safetensors file. Jobs:
//   {"model": FOLDER, "rows": [[ids]], "dtype": "f32" | "f64", "eviction": "off" | "hard",
//    "window": N, "forced": FATES.npy, "decisions": true}     one forward pass
//   {"config": YAML, "rows": [[ids]], "loss": [[marks]], "dtype": …, "step": N, "micro": N}
//                                                             the objective and its gradients

#include <iostream>
#include <string>

#include "base/json.h"
#include "dms/error.h"
#include "train/probe/forward_job.h"
#include "train/probe/objective_job.h"

namespace dms::train::probe {
namespace {

Json answer(const std::string& line) {
  try {
    const Json job = parse_json(line, "job");
    const Tensors tensors = job.contains("config") ? run_objective(job) : run_forward(job);
    write_tensors(job.at("out").get<std::string>(), tensors);
    return Json::object();
  } catch (const Error& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace
}  // namespace dms::train::probe

int main() {
  at::set_num_threads(1);
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << dms::train::probe::answer(line).dump() << std::endl;
  }
  return 0;
}
