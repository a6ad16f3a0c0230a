#include "grammar/mask_worker.h"

#include <atomic>
#include <latch>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace dms::grammar {
namespace {

TEST(MaskWorker, DoesEverythingOnce) {
  MaskWorker worker;
  constexpr int kTasks = 500;
  std::vector<std::atomic<int>> done(kTasks);
  std::vector<std::shared_ptr<MaskWorker::Task>> tasks;
  for (auto& each : done) tasks.push_back(worker.post([&each] { ++each; }));
  for (const auto& task : tasks) worker.finish(*task);
  for (const auto& each : done) EXPECT_EQ(each, 1);
}

TEST(MaskWorker, WhoNeedsWhatWaitsDoesItHimself) {
  MaskWorker worker;
  std::latch may_end(1);
  const auto first = worker.post([&] { may_end.wait(); });
  bool is_done = false;
  const auto second = worker.post([&] { is_done = true; });
  worker.finish(*second);
  EXPECT_TRUE(is_done);
  may_end.count_down();
  worker.finish(*first);
}

TEST(MaskWorker, WhatIsDroppedIsNotBegun) {
  MaskWorker worker;
  std::latch may_end(1);
  const auto first = worker.post([&] { may_end.wait(); });
  const auto second = worker.post([] { FAIL() << "it was dropped"; });
  worker.drop(*second);
  may_end.count_down();
  worker.drop(*first);
}

TEST(MaskWorker, WhatFailsFailsWhoWaits) {
  MaskWorker worker;
  const auto task = worker.post([] { throw std::runtime_error("no"); });
  EXPECT_THROW(worker.finish(*task), std::runtime_error);
  worker.finish(*worker.post([] {}));
}

}  // namespace
}  // namespace dms::grammar
