#pragma once
// Data-parallel ranks that are threads of one process: what MPI does, added up in order of rank.

#include <barrier>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "train/communicator.h"

namespace dms::train::fixture {

class ThreadRanks {
 public:
  explicit ThreadRanks(int64_t size) : tensors_(static_cast<size_t>(size)), barrier_(size) {}

  /// Runs body(communicator) on a thread for each rank and rethrows what one of them threw.
  void run(const std::function<void(Communicator&)>& body) {
    std::vector<std::jthread> threads;
    for (size_t rank = 0; rank < tensors_.size(); ++rank) {
      threads.emplace_back([this, &body, rank] { run_rank(body, static_cast<int64_t>(rank)); });
    }
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  class Rank final : public Communicator {
   public:
    Rank(ThreadRanks& group, int64_t rank) : group_(group), rank_(rank) {}
    int64_t rank() const override { return rank_; }
    int64_t size() const override { return std::ssize(group_.tensors_); }
    void all_reduce_sum(at::Tensor& tensor) override { tensor.copy_(group_.sum(rank_, tensor)); }
    void reduce_sum(at::Tensor& tensor, int64_t root) override {
      const at::Tensor sum = group_.sum(rank_, tensor);
      if (rank_ == root) {
        tensor.copy_(sum);
      } else {
        tensor.fill_(std::numeric_limits<double>::quiet_NaN());  // what nobody may use
      }
    }
    void broadcast(at::Tensor& tensor, int64_t root) override {
      const at::Tensor sent = group_.meet(
          rank_, tensor, [&] { return group_.tensors_[static_cast<size_t>(root)].clone(); });
      tensor.copy_(sent);
    }
    void barrier() override { group_.barrier_.arrive_and_wait(); }

   private:
    ThreadRanks& group_;
    int64_t rank_;
  };

  /// Shows every rank's tensor to `read`; nobody changes his before all have read.
  at::Tensor meet(int64_t rank, const at::Tensor& own, const std::function<at::Tensor()>& read) {
    tensors_[static_cast<size_t>(rank)] = own;
    barrier_.arrive_and_wait();
    const at::Tensor result = read();
    barrier_.arrive_and_wait();
    return result;
  }

  at::Tensor sum(int64_t rank, const at::Tensor& own) {
    return meet(rank, own, [this] {
      at::Tensor total = tensors_[0].clone();
      for (size_t i = 1; i < tensors_.size(); ++i) total.add_(tensors_[i]);
      return total;
    });
  }

  void run_rank(const std::function<void(Communicator&)>& body, int64_t rank) {
    const at::NoGradGuard no_grad;
    try {
      Rank communicator(*this, rank);
      body(communicator);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    barrier_.arrive_and_drop();
  }

  std::vector<at::Tensor> tensors_;
  std::barrier<> barrier_;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace dms::train::fixture
