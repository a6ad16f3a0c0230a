#pragma once
// State of the runtime API. All entry points run under one lock. What is asynchronous on a device
// is done when the call returns or, with Options::late, when something waits: that of all streams
// in the order of the calls. Only the rules of order are kept that the API itself checks, those of
// stream capture.

#define __CUDA_INCLUDE_COMPILER_INTERNAL_HEADERS__
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime_api.h>

#include "cuda_emulator/runtime/launch.h"

namespace cuda_emulator::cudart {

/// A step of a graph.
struct Node {
  cudaGraphNodeType type;
  const void* function;  // of a kernel
  std::function<cudaError_t()> run;
};
using Nodes = std::vector<std::shared_ptr<const Node>>;

struct Stream;

/// A capture that has begun: its streams' work in the order of the calls.
struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  Stream* origin;
  bool is_invalid = false;
  Nodes nodes;
  std::set<Stream*> unjoined;  // with work that the origin does not wait for
};

struct Stream {
  bool is_blocking = true;  // waits for the legacy stream
  Capture* capture = nullptr;
};

struct Event {
  std::chrono::steady_clock::time_point time;
  bool is_recorded = false;
  Capture* capture = nullptr;  // where it was recorded in one
  Stream* stream = nullptr;
};

struct Graph {
  Nodes nodes;
};

/// A kernel as the host knows it: nvcc's stub.
struct Function {
  std::string name;
  Kernel* kernel = nullptr;
  int max_dynamic_shared = 48 << 10;
};

class Runtime {
 public:
  std::recursive_mutex mutex;
  cudaError_t sticky = cudaSuccess;  // a kernel failed: all calls do, until the process ends
  std::string message;
  std::set<Stream*> streams;
  std::set<Graph*> graphs, executables;
  std::vector<std::unique_ptr<Capture>> captures;
  Nodes waiting;  // stream-ordered work that is not done yet

  /// Returns null for a handle that is none.
  Stream* find(cudaStream_t handle);
  /// Null where no stream that the legacy one would wait for is in a capture.
  Capture* capture_of_blocking_stream();

 private:
  Stream legacy_;
};

Runtime& runtime();
cudaError_t& last_error();

/// Sets the text that goes with an error.
cudaError_t error(cudaError_t code, std::string message);

/// Runs an entry point and keeps its error for cudaGetLastError().
template <class F>
cudaError_t api(F function) {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t result = function();
  if (result != cudaSuccess) last_error() = result;
  return result;
}

/// Invalidates the captures that forbid a call which synchronises or allocates; returns the error
/// of such a call.
cudaError_t refuse_in_capture(const char* name);

/// Does the work that waits; the first failure in it, or what failed for good before.
cudaError_t finish_work();

/// An entry point that no capture allows.
template <class F>
cudaError_t unsafe_api(const char* name, F function) {
  return api([&] {
    const cudaError_t refused = refuse_in_capture(name);
    return refused != cudaSuccess ? refused : function();
  });
}

/// As unsafe_api(), of one that waits for what streams do.
template <class F>
cudaError_t waiting_api(const char* name, F function) {
  return unsafe_api(name, [&] {
    const cudaError_t failed = finish_work();
    return failed != cudaSuccess ? failed : function();
  });
}

cudaError_t invalidate(Capture& capture, cudaError_t code, const std::string& message);
/// Takes its streams out of a capture and forgets it.
void end_capture(Capture* capture);

/// Runs stream-ordered work or has it wait, or records it where the stream is in a capture.
cudaError_t submit(cudaStream_t stream, Node node);

}  // namespace cuda_emulator::cudart
