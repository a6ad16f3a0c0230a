#include "serve/task_queue.h"

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::serve {
namespace {

using ::testing::ElementsAre;

TEST(TaskQueue, GivesTasksInOrder) {
  TaskQueue queue;
  std::vector<int> done;
  for (int i = 0; i < 4; ++i) queue.post([&done, i] { done.push_back(i); });
  queue.next()();
  for (const TaskQueue::Task& task : queue.all()) task();
  EXPECT_THAT(done, ElementsAre(0, 1, 2, 3));
}

TEST(TaskQueue, LetsGoOfWhatIsLeftWhenItIsClosed) {
  TaskQueue queue;
  const auto held = std::make_shared<int>();
  queue.post([held] {});
  queue.close();
  queue.post([held] {});
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(queue.next());
  EXPECT_TRUE(queue.all().empty());
}

TEST(TaskQueue, WakesWhoWaits) {
  TaskQueue queue;
  auto waiting = std::async(std::launch::async, [&] { return queue.next() == nullptr; });
  queue.close();
  EXPECT_TRUE(waiting.get());
}

TEST(Workers, LetThoseEndThatHaveBegunAndDropTheRest) {
  Workers workers(1);
  std::promise<void> has_begun;
  std::promise<void> may_end;
  bool has_ended = false;
  bool is_second_begun = false;
  workers.post([&] {
    has_begun.set_value();
    may_end.get_future().wait();
    has_ended = true;
  });
  workers.post([&] { is_second_begun = true; });
  has_begun.get_future().wait();
  auto stopping = std::async(std::launch::async, [&] { workers.stop(); });
  // Once it is closed, nothing is kept that is posted.
  const auto held = std::make_shared<int>();
  do {
    workers.post([held] {});
    std::this_thread::yield();
  } while (held.use_count() > 1);
  may_end.set_value();
  stopping.get();
  EXPECT_TRUE(has_ended);
  EXPECT_FALSE(is_second_begun);
}

}  // namespace
}  // namespace dms::serve
