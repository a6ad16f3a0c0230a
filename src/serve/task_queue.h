#pragma once
// Functions to be called on another thread, in order.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace dms::serve {

/// Thread-safe.
class TaskQueue {
 public:
  using Task = std::function<void()>;

  /// After close(): lets go of it at once.
  void post(Task task);
  /// Waits for one. Null: the queue is closed.
  Task next();
  /// Waits for one, and takes all that there are. None: the queue is closed.
  std::deque<Task> all();
  /// Lets go of what nobody has begun, on this thread; from now on nothing is called.
  void close();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool is_closed_ = false;
};

/// Threads of their own that do what is posted.
class Workers {
 public:
  explicit Workers(int threads);
  ~Workers() { stop(); }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void post(TaskQueue::Task task) { queue_.post(std::move(task)); }
  /// Lets those end that have begun, and lets go of the rest.
  void stop();

 private:
  TaskQueue queue_;
  std::vector<std::thread> threads_;
};

}  // namespace dms::serve
