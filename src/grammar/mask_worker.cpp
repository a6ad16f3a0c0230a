#include "grammar/mask_worker.h"

#include <algorithm>
#include <utility>

namespace dms::grammar {

class MaskWorker::Task {
 public:
  enum class State { waits, runs, done };

  std::function<void()> work;
  State state = State::waits;
  std::exception_ptr failure{};
};

MaskWorker::~MaskWorker() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    has_work_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<MaskWorker::Task> MaskWorker::post(std::function<void()> work) {
  auto task = std::make_shared<Task>();
  task->work = std::move(work);
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  queue_.push_back(task);
  has_work_.notify_one();
  return task;
}

void MaskWorker::execute(Task& task) {
  try {
    task.work();
  } catch (...) {
    task.failure = std::current_exception();
  }
}

void MaskWorker::finish(Task& task) {
  std::unique_lock lock(mutex_);
  if (task.state == Task::State::waits) {
    std::erase_if(queue_, [&](const auto& other) { return other.get() == &task; });
    lock.unlock();
    execute(task);
    task.state = Task::State::done;
  } else {
    has_done_.wait(lock, [&] { return task.state == Task::State::done; });
  }
  if (task.failure) std::rethrow_exception(task.failure);
}

void MaskWorker::drop(Task& task) {
  std::unique_lock lock(mutex_);
  std::erase_if(queue_, [&](const auto& other) { return other.get() == &task; });
  has_done_.wait(lock, [&] { return task.state != Task::State::runs; });
}

void MaskWorker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    has_work_.wait(lock, [&] { return is_over_ || !queue_.empty(); });
    if (is_over_) return;
    const std::shared_ptr<Task> task = std::move(queue_.front());
    queue_.pop_front();
    task->state = Task::State::runs;
    lock.unlock();
    execute(*task);
    lock.lock();
    task->state = Task::State::done;
    has_done_.notify_all();
  }
}

}  // namespace dms::grammar
