#include "train/mpi_communicator.h"

#include <algorithm>
#include <exception>
#include <string>

#include <mpi.h>

#include "base/check.h"
#include "dms/error.h"

namespace dms::train {
namespace {

constexpr int64_t kMostAtOnce = int64_t{1} << 28;  // elements of a call: MPI counts in int

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw RunError({.where = call, .what = std::string(text, static_cast<size_t>(length))});
}

MPI_Datatype type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kLong:
      return MPI_INT64_T;
    default:
      throw std::logic_error("reduction of a type that MPI does not add");
  }
}

/// Calls f(pointer, count) on pieces that MPI can count.
template <class F>
void in_pieces(at::Tensor& tensor, int64_t element_bytes, F f) {
  ensure(tensor.is_contiguous(), "MPI needs contiguous tensors");
  auto* bytes = static_cast<std::byte*>(tensor.mutable_data_ptr());
  const int64_t count =
      tensor.numel() * static_cast<int64_t>(tensor.element_size()) / element_bytes;
  for (int64_t begin = 0; begin < count; begin += kMostAtOnce) {
    f(bytes + begin * element_bytes, static_cast<int>(std::min(kMostAtOnce, count - begin)));
  }
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    int is_up = 0;
    MPI_Initialized(&is_up);
    if (is_up == 0) check(MPI_Init(nullptr, nullptr), "MPI_Init");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }

  /// A rank that goes down by an error neither waits for the others, who wait for it, nor aborts,
  /// for its message is still to be printed: it leaves with a failing status, on which mpirun ends
  /// them all.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() == 0 || size_ == 1) MPI_Finalize();
  }

  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }

  void all_reduce_sum(at::Tensor& tensor) override {
    in_pieces(tensor, element_bytes(tensor), [&](void* at, int count) {
      check(MPI_Allreduce(MPI_IN_PLACE, at, count, type_of(tensor), MPI_SUM, MPI_COMM_WORLD),
            "MPI_Allreduce");
    });
  }

  void reduce_sum(at::Tensor& tensor, int64_t root) override {
    const bool is_root = rank_ == root;
    in_pieces(tensor, element_bytes(tensor), [&](void* at, int count) {
      check(MPI_Reduce(is_root ? MPI_IN_PLACE : at,
                       is_root ? at : nullptr,
                       count,
                       type_of(tensor),
                       MPI_SUM,
                       static_cast<int>(root),
                       MPI_COMM_WORLD),
            "MPI_Reduce");
    });
  }

  void broadcast(at::Tensor& tensor, int64_t root) override {
    in_pieces(tensor, 1, [&](void* at, int count) {
      check(MPI_Bcast(at, count, MPI_BYTE, static_cast<int>(root), MPI_COMM_WORLD), "MPI_Bcast");
    });
  }

  void barrier() override { check(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier"); }

 private:
  static int64_t element_bytes(const at::Tensor& tensor) {
    return static_cast<int64_t>(tensor.element_size());
  }

  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator() {
  return std::make_unique<MpiCommunicator>();
}

}  // namespace dms::train
