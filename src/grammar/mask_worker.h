#pragma once
// A thread that finds out what may come next while the engine computes. What it has not begun when
// it is needed, the one who needs it does.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace dms::grammar {

/// Thread-safe.
class MaskWorker {
 public:
  class Task;

  MaskWorker() = default;
  ~MaskWorker();
  MaskWorker(const MaskWorker&) = delete;
  MaskWorker& operator=(const MaskWorker&) = delete;

  /// `work` is done soon, or by finish(). One of the two must follow.
  std::shared_ptr<Task> post(std::function<void()> work);
  /// Returns once it is done. Throws what it threw.
  void finish(Task& task);
  /// It is not done, or done to its end, when this returns.
  void drop(Task& task);

 private:
  void run();
  static void execute(Task& task);

  std::mutex mutex_;  // guards what follows, and the tasks' states
  std::condition_variable has_work_;
  std::condition_variable has_done_;
  std::deque<std::shared_ptr<Task>> queue_;
  bool is_over_ = false;
  std::thread thread_;  // begins with the first task
};

}  // namespace dms::grammar
