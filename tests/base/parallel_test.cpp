// Every iteration once, whoever is there to run it, and errors that reach the caller.

#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/threads.h"
#include "dms/error.h"

namespace dms {
namespace {

using testing::Each;

/// How often each iteration of a loop ran.
std::vector<int> runs_of(int64_t count, int64_t grain) {
  std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
  parallel_for(count, grain, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
  return {runs.begin(), runs.end()};
}

TEST(ParallelFor, RunsEveryIterationOnce) {
  for (const int64_t threads : {1, 2, 3, 4, 7}) {
    const ScopedThreads scoped(threads);
    for (const int64_t count : {0, 1, 2, 3, 5, 8, 63, 64, 1000}) {
      for (const int64_t grain : {1, 2, 3, 10, 500, 5000}) {
        EXPECT_THAT(runs_of(count, grain), Each(1))
            << threads << " threads, " << count << " iterations by " << grain;
      }
    }
  }
}

TEST(ParallelFor, RunsManyTinyRegions) {
  const ScopedThreads scoped(3);
  std::atomic<int64_t> total = 0;
  for (int region = 0; region < 20'000; ++region) {
    parallel_for(4, 1, [&](int64_t i) { total.fetch_add(i, std::memory_order_relaxed); });
  }
  EXPECT_EQ(total, 20'000 * 6);
}

TEST(ParallelFor, KeepsSmallWorkOnItsThread) {
  const ScopedThreads scoped(4);
  std::set<std::thread::id> threads;
  for (int region = 0; region < 100; ++region) {
    parallel_for(7, 4, [&](int64_t) { threads.insert(std::this_thread::get_id()); });
  }
  EXPECT_THAT(threads, testing::ElementsAre(std::this_thread::get_id()));
}

/// Waits until `arrivals` threads have called it: none can go on alone.
class Meeting {
 public:
  explicit Meeting(int arrivals) : missing_(arrivals) {}
  void wait() {
    --missing_;
    while (missing_ > 0) std::this_thread::yield();
  }

 private:
  std::atomic<int> missing_;
};

/// On a thread of its own, whose workers are new: to its first region they all come.
void on_new_thread(int64_t threads, const std::function<void()>& test) {
  std::thread([&] {
    use_threads(threads);
    test();
  }).join();
}

TEST(ParallelFor, UsesAsManyThreadsAsAsked) {
  for (const int threads : {1, 2, 4}) {
    on_new_thread(threads, [&] {
      Meeting meeting(threads);
      parallel_for(threads, 1, [&](int64_t) { meeting.wait(); });
    });
  }
}

TEST(ParallelFor, WakesWorkersThatSleep) {
  on_new_thread(3, [] {
    for (int region = 0; region < 5; ++region) {
      Meeting meeting(3);
      parallel_for(3, 1, [&](int64_t) { meeting.wait(); });
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
}

TEST(ParallelFor, TakesOverTheSharesOfThreadsThatAreLate) {
  std::atomic<int> left = 63;
  // Whoever begins first is held until the other thread has run all the rest.
  std::atomic<bool> is_first = true;
  on_new_thread(2, [&] {
    parallel_for(64, 1, [&](int64_t) {
      if (is_first.exchange(false)) {
        while (left > 0) std::this_thread::yield();
      } else {
        --left;
      }
    });
  });
  EXPECT_EQ(left, 0);
}

TEST(ParallelFor, RunsNestedLoopsWhereTheyAre) {
  const ScopedThreads scoped(3);
  std::atomic<int> strangers = 0;
  std::atomic<int> total = 0;
  parallel_for(6, 1, [&](int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    parallel_for(50, 1, [&](int64_t) {
      ++total;
      if (std::this_thread::get_id() != outer) ++strangers;
    });
  });
  EXPECT_EQ(total, 300);
  EXPECT_EQ(strangers, 0);
}

TEST(ParallelFor, ThrowsWhatAnIterationThrew) {
  for (const int64_t threads : {1, 2, 4}) {
    const ScopedThreads scoped(threads);
    for (const int64_t bad : {0, 1, 50, 99}) {
      const auto fail_at = [&](int64_t i) {
        if (i == bad) throw RunError({.where = "iteration", .what = std::to_string(i)});
      };
      try {
        parallel_for(100, 1, fail_at);
        ADD_FAILURE() << "no exception";
      } catch (const RunError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(bad)));
      }
      EXPECT_THAT(runs_of(100, 1), Each(1)) << "after an exception";
    }
  }
}

TEST(ParallelFor, ThrowsOneOfManyExceptions) {
  const ScopedThreads scoped(4);
  for (int region = 0; region < 200; ++region) {
    EXPECT_THROW(parallel_for(64, 1, [](int64_t) { throw std::runtime_error("each"); }),
                 std::runtime_error);
  }
}

TEST(ParallelFor, ThrowsFromANestedLoop) {
  const ScopedThreads scoped(2);
  const auto nested = [](int64_t i) {
    parallel_for(4, 1, [i](int64_t j) {
      if (i == 5 && j == 3) throw std::runtime_error("inner");
    });
  };
  EXPECT_THROW(parallel_for(8, 1, nested), std::runtime_error);
}

TEST(ParallelFor, ServesSeveralCallersAtOnce) {
  std::vector<std::thread> callers;
  std::atomic<int64_t> total = 0;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      use_threads(1 + caller);
      for (int region = 0; region < 500; ++region) {
        parallel_for(10, 1, [&](int64_t) { ++total; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total, 4 * 500 * 10);
}

TEST(ParallelFor, MakesWorkersAnewAfterFork) {
  const ScopedThreads scoped(2);
  // The worker is past its start: a child inherits the locks that the address sanitizer holds then.
  Meeting before(2);
  parallel_for(2, 1, [&](int64_t) { before.wait(); });
  EXPECT_THAT(runs_of(10, 1), Each(1));
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Meeting meeting(2);
    parallel_for(2, 1, [&](int64_t) { meeting.wait(); });
    on_new_thread(3, [] { EXPECT_THAT(runs_of(10, 1), Each(1)); });
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(UseThreads, IsEachThreadsOwn) {
  const ScopedThreads scoped(3);
  int64_t other = 0;
  std::thread([&] { other = used_threads(); }).join();
  EXPECT_EQ(used_threads(), 3);
  EXPECT_EQ(other, available_cores());
  use_threads(0);
  EXPECT_EQ(used_threads(), available_cores());
}

}  // namespace
}  // namespace dms
