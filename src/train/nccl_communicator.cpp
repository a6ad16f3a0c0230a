#include "train/nccl_communicator.h"

#include <cstring>
#include <exception>
#include <utility>

#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include "base/check.h"
#include "dms/error.h"

namespace dms::train {
namespace {

void check(ncclResult_t status, const char* call) {
  if (status == ncclSuccess) return;
  throw RunError({.where = call,
                  .what = ncclGetErrorString(status),
                  .hint = "NCCL_DEBUG=WARN in the environment shows more"});
}

ncclDataType_t type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kLong:
      return ncclInt64;
    default:
      throw std::logic_error("reduction of a type that is not summed");
  }
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(int64_t rank, int64_t size, at::Device device, ShareBytes share)
      : rank_(rank), size_(size), device_(device), share_(std::move(share)) {
    ncclUniqueId id{};
    if (rank == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    const std::string bytes = share_({id.internal, sizeof id.internal});
    ensure(bytes.size() == sizeof id.internal, "size of NCCL's identity");
    std::memcpy(id.internal, bytes.data(), bytes.size());
    check(ncclCommInitRank(&comm_, static_cast<int>(size), id, static_cast<int>(rank)),
          "ncclCommInitRank");
  }

  /// After an error the others may never come to what is under way.
  ~NcclCommunicator() override {
    if (std::uncaught_exceptions() == 0) {
      ncclCommDestroy(comm_);
    } else {
      ncclCommAbort(comm_);
    }
  }

  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }

  void all_reduce_sum(at::Tensor& tensor) override {
    on_device(tensor, [&](const at::Tensor& x) {
      void* at = x.mutable_data_ptr();
      check(ncclAllReduce(at, at, count(x), type_of(x), ncclSum, comm_, stream()), "ncclAllReduce");
    });
  }

  void reduce_sum(at::Tensor& tensor, int64_t root) override {
    on_device(tensor, [&](const at::Tensor& x) {
      void* at = x.mutable_data_ptr();
      const int to = static_cast<int>(root);
      check(ncclReduce(at, at, count(x), type_of(x), ncclSum, to, comm_, stream()), "ncclReduce");
    });
  }

  void broadcast(at::Tensor& tensor, int64_t root) override {
    on_device(tensor, [&](const at::Tensor& x) {
      void* at = x.mutable_data_ptr();
      const int from = static_cast<int>(root);
      check(ncclBroadcast(at, at, x.nbytes(), ncclInt8, from, comm_, stream()), "ncclBroadcast");
    });
  }

  void barrier() override {
    at::Tensor one = at::ones({1}, at::kLong);
    all_reduce_sum(one);  // its way back to the CPU waits
  }

 private:
  template <class F>
  void on_device(at::Tensor& tensor, F f) {
    ensure(tensor.is_contiguous(), "NCCL needs contiguous tensors");
    if (tensor.device() == device_) {
      f(tensor);
    } else {
      const at::Tensor copy = tensor.to(device_);
      f(copy);
      tensor.copy_(copy);
    }
  }

  static size_t count(const at::Tensor& x) { return static_cast<size_t>(x.numel()); }
  cudaStream_t stream() const { return c10::cuda::getCurrentCUDAStream(device_.index()).stream(); }

  int64_t rank_;
  int64_t size_;
  at::Device device_;
  ShareBytes share_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(int64_t rank,
                                                     int64_t size,
                                                     at::Device device,
                                                     ShareBytes share) {
  return std::make_unique<NcclCommunicator>(rank, size, device, std::move(share));
}

}  // namespace dms::train
