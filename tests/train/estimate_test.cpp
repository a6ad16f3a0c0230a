// The estimate against what the trainer really holds.

#include "train/estimate.h"

#include <algorithm>
#include <mutex>

#include <gtest/gtest.h>

#include "train/models.h"
#include "train/optimizer.h"
#include "train/thread_ranks.h"

namespace dms::train {
namespace {

TrainConfig demo_config(const std::string& train) {
  return parse_train_config("model: {name: " DMS_SOURCE_DIR
                            "/models/demo}\n"
                            "dms: {train: " +
                                train +
                                "}\n"
                                "data: {blend: 'a:1', datasets: {a: {path: a.jsonl}}}\n"
                                "hf_trainer: {output_dir: out}\n",
                            "test",
                            {});
}

int64_t bytes_of(const std::vector<NamedTensor>& tensors) {
  int64_t bytes = 0;
  for (const NamedTensor& tensor : tensors) bytes += static_cast<int64_t>(tensor.value.nbytes());
  return bytes;
}

TEST(Estimate, CountsWhatTheOptimizerHolds) {
  for (const char* train : {"adapter", "all"}) {
    for (const int64_t ranks : {1, 3}) {
      const TrainConfig config = demo_config(train);
      Student student = load_student(config);
      int64_t most = 0;
      std::mutex mutex;
      fixture::ThreadRanks(ranks).run([&](Communicator& rank) {
        const Optimizer optimizer(student.parameters(), config.trainer, rank);
        const int64_t masters = bytes_of(optimizer.masters());
        const int64_t sums = masters;
        const std::lock_guard lock(mutex);
        most = std::max(most, sums + masters + bytes_of(optimizer.moments()));
      });
      EXPECT_EQ(estimate(config, ranks).optimizer_bytes, most) << train << " " << ranks;
    }
  }
}

TEST(Estimate, CountsTheWeights) {
  const TrainConfig config = demo_config("all");
  const Student student = load_student(config);
  int64_t bytes = 0;
  for (const Parameter& parameter : student.parameters().all()) {
    bytes += static_cast<int64_t>(parameter.value.nbytes());
  }
  const Estimate counted = estimate(config, 1);
  EXPECT_EQ(counted.weight_bytes, bytes);
  EXPECT_EQ(counted.gradient_bytes, bytes);
  EXPECT_GE(counted.teacher_bytes, bytes / 2);
}

}  // namespace
}  // namespace dms::train
