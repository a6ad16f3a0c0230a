// Stream capture and graphs. A captured graph runs its nodes in the order of the calls, which is
// one of those that the captured streams allow.

#include <utility>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/cudart/runtime.h"

namespace cuda_emulator::cudart {
namespace {

Graph* graph_of(cudaGraph_t handle) {
  auto* const graph = reinterpret_cast<Graph*>(handle);
  return runtime().graphs.contains(graph) ? graph : nullptr;
}

Graph* executable_of(cudaGraphExec_t handle) {
  auto* const graph = reinterpret_cast<Graph*>(handle);
  return runtime().executables.contains(graph) ? graph : nullptr;
}

bool forbids_here(const Capture& capture) {
  if (capture.mode == cudaStreamCaptureModeRelaxed) return false;
  return capture.mode == cudaStreamCaptureModeGlobal ||
         capture.thread == std::this_thread::get_id();
}

cudaError_t run_all(const Nodes& nodes) {
  for (const auto& node : nodes) {
    if (const cudaError_t result = node->run(); result != cudaSuccess) return result;
  }
  return cudaSuccess;
}

/// Whether an executable graph can take the nodes of another without being made anew.
bool has_same_shape(const Nodes& a, const Nodes& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++) {
    if (a[i]->type != b[i]->type || a[i]->function != b[i]->function) return false;
  }
  return true;
}

cudaError_t destroy(std::set<Graph*>& graphs, Graph* graph) {
  if (!graph) return error(cudaErrorInvalidValue, "no such graph");
  graphs.erase(graph);
  delete graph;
  return cudaSuccess;
}

}  // namespace

void end_capture(Capture* capture) {
  Runtime& rt = runtime();
  for (Stream* stream : rt.streams) {
    if (stream->capture == capture) stream->capture = nullptr;
  }
  std::erase_if(rt.captures, [&](const auto& other) { return other.get() == capture; });
}

cudaError_t invalidate(Capture& capture, cudaError_t code, const std::string& message) {
  capture.is_invalid = true;
  return error(code, message);
}

cudaError_t refuse_in_capture(const char* name) {
  bool is_refused = false;
  for (const auto& capture : runtime().captures) {
    if (!forbids_here(*capture)) continue;
    capture->is_invalid = true;
    is_refused = true;
  }
  if (!is_refused) return cudaSuccess;
  return error(cudaErrorStreamCaptureUnsupported,
               std::string(name) + " is not permitted while a stream is in a capture");
}

cudaError_t submit(cudaStream_t handle, Node node) {
  Runtime& rt = runtime();
  Stream* const stream = rt.find(handle);
  if (!stream) return error(cudaErrorInvalidResourceHandle, "no such stream");
  if (Capture* const capture = stream->capture) {
    if (capture->is_invalid) {
      return error(cudaErrorStreamCaptureInvalidated, "the capture has failed before");
    }
    capture->nodes.push_back(std::make_shared<const Node>(std::move(node)));
    if (stream != capture->origin) capture->unjoined.insert(stream);
    return cudaSuccess;
  }
  const bool is_legacy = !rt.streams.contains(stream);
  if (Capture* const capture = is_legacy ? rt.capture_of_blocking_stream() : nullptr) {
    return invalidate(*capture,
                      cudaErrorStreamCaptureImplicit,
                      "work in the legacy stream would wait for a stream in a capture");
  }
  if (rt.sticky != cudaSuccess) return rt.sticky;
  if (!options().late) return node.run();
  rt.waiting.push_back(std::make_shared<const Node>(std::move(node)));
  return cudaSuccess;
}

cudaError_t finish_work() {
  Runtime& rt = runtime();
  const cudaError_t result = run_all(std::exchange(rt.waiting, {}));
  return result != cudaSuccess ? result : rt.sticky;
}

}  // namespace cuda_emulator::cudart

using namespace cuda_emulator::cudart;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return api([&] {
    Runtime& rt = runtime();
    Stream* const stream = rt.find(handle);
    if (!stream) return error(cudaErrorInvalidResourceHandle, "no such stream");
    if (!rt.streams.contains(stream)) {
      return error(cudaErrorStreamCaptureUnsupported, "the legacy stream cannot be captured");
    }
    if (stream->capture) return error(cudaErrorIllegalState, "the stream is in a capture");
    auto capture = std::make_unique<Capture>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = stream;
    stream->capture = capture.get();
    rt.captures.push_back(std::move(capture));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* out) {
  return api([&] {
    *out = nullptr;
    Stream* const stream = runtime().find(handle);
    if (!stream) return error(cudaErrorInvalidResourceHandle, "no such stream");
    Capture* const capture = stream->capture;
    if (!capture) return error(cudaErrorIllegalState, "the stream is in no capture");
    if (capture->origin != stream) {
      return invalidate(*capture, cudaErrorStreamCaptureUnmatched, "begun by another stream");
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id()) {
      return invalidate(*capture, cudaErrorStreamCaptureWrongThread, "begun by another thread");
    }
    const bool is_invalid = capture->is_invalid, is_joined = capture->unjoined.empty();
    auto graph = std::make_unique<Graph>(Graph{std::move(capture->nodes)});
    end_capture(capture);
    if (is_invalid) {
      return error(cudaErrorStreamCaptureInvalidated, "the capture has failed before");
    }
    if (!is_joined) {
      return error(cudaErrorStreamCaptureUnjoined, "the origin does not wait for other streams");
    }
    runtime().graphs.insert(graph.get());
    *out = reinterpret_cast<cudaGraph_t>(graph.release());
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return api([&] {
    Runtime& rt = runtime();
    Stream* const stream = rt.find(handle);
    if (!stream) return error(cudaErrorInvalidResourceHandle, "no such stream");
    if (!rt.streams.contains(stream) && rt.capture_of_blocking_stream()) {
      return error(cudaErrorStreamCaptureImplicit, "the legacy stream waits for a captured one");
    }
    const Capture* const capture = stream->capture;
    *status = !capture              ? cudaStreamCaptureStatusNone
              : capture->is_invalid ? cudaStreamCaptureStatusInvalidated
                                    : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  // The least strict mode wins on a device; here captures keep the one they began with.
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(*mode, current);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t handle, unsigned long long) {
  return api([&] {
    const Graph* const graph = graph_of(handle);
    if (!graph) return error(cudaErrorInvalidValue, "no such graph");
    auto copy = std::make_unique<Graph>(*graph);
    runtime().executables.insert(copy.get());
    *out = reinterpret_cast<cudaGraphExec_t>(copy.release());
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* out,
                                          cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(out, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t) {
  return api([&] {
    return executable_of(handle) ? cudaSuccess : error(cudaErrorInvalidValue, "no such graph");
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  return api([&] {
    const Graph* const graph = executable_of(handle);
    if (!graph) return error(cudaErrorInvalidValue, "no such graph");
    return submit(stream, {cudaGraphNodeTypeGraph, nullptr, [nodes = graph->nodes] {
                             return run_all(nodes);
                           }});
  });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t handle,
                                cudaGraph_t source,
                                cudaGraphExecUpdateResultInfo* info) {
  return api([&] {
    Graph* const target = executable_of(handle);
    const Graph* const graph = graph_of(source);
    if (!target || !graph) return error(cudaErrorInvalidValue, "no such graph");
    *info = {};
    if (!has_same_shape(target->nodes, graph->nodes)) {
      info->result = cudaGraphExecUpdateErrorTopologyChanged;
      return error(cudaErrorGraphExecUpdateFailure, "the graphs differ in their nodes");
    }
    target->nodes = graph->nodes;
    info->result = cudaGraphExecUpdateSuccess;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  return api([&] {
    const Graph* const graph = graph_of(handle);
    if (!graph) return error(cudaErrorInvalidValue, "no such graph");
    for (size_t i = 0; nodes && i < *count && i < graph->nodes.size(); i++) {
      nodes[i] = reinterpret_cast<cudaGraphNode_t>(const_cast<Node*>(graph->nodes[i].get()));
    }
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = reinterpret_cast<const Node*>(node)->type;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return api([&] { return destroy(runtime().executables, executable_of(handle)); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return api([&] { return destroy(runtime().graphs, graph_of(handle)); });
}

}  // extern "C"
