#include "serve/task_queue.h"

#include <utility>

namespace dms::serve {

void TaskQueue::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (is_closed_) return;
    tasks_.push_back(std::move(task));
  }
  changed_.notify_one();
}

TaskQueue::Task TaskQueue::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_closed_ || !tasks_.empty(); });
  if (is_closed_) return {};
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

std::deque<TaskQueue::Task> TaskQueue::all() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_closed_ || !tasks_.empty(); });
  return std::exchange(tasks_, {});
}

void TaskQueue::close() {
  std::deque<Task> unwanted;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    std::swap(unwanted, tasks_);
  }
  changed_.notify_all();
}

Workers::Workers(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (const TaskQueue::Task task = queue_.next()) task();
    });
  }
}

void Workers::stop() {
  queue_.close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace dms::serve
