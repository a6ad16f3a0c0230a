#include "cuda/graph_cache.h"

#include <algorithm>

namespace dms::cuda {
namespace {

// A graph of a model of 36 layers has some 500 nodes, about a megabyte of the host's memory.
constexpr size_t kMostGraphs = 64;

constexpr const char* kCapturing = "capturing a step";

}  // namespace

GraphCache::~GraphCache() { clear(); }

void GraphCache::clear() {
  for (const Entry& entry : entries_) {
    if (entry.graph != nullptr) cudaGraphExecDestroy(entry.graph);
  }
  entries_.clear();
}

GraphCache::Entry* GraphCache::find(const StepWork& work) {
  const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
    return entry.bank == work.bank && entry.rows == work.rows() &&
           is_one_rule(entry.fate, work.fate);
  });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

void GraphCache::add(const StepWork& work) {
  entries_.push_front(
      {.bank = work.bank, .fate = work.fate, .rows = work.rows(), .graph = nullptr});
  if (entries_.size() <= kMostGraphs) return;
  if (entries_.back().graph != nullptr) cudaGraphExecDestroy(entries_.back().graph);
  entries_.pop_back();
}

cudaGraphExec_t GraphCache::capture(const Stream& stream, const std::function<void()>& launch) {
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), kCapturing);
  cudaGraph_t graph = nullptr;
  try {
    launch();
  } catch (...) {  // the stream is not to stay in the capture
    cudaStreamEndCapture(stream.get(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(stream.get(), &graph), kCapturing);
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, kCapturing);
  return executable;
}

void GraphCache::run(const StepWork& work,
                     const Stream& stream,
                     const std::function<void()>& launch) {
  if (!is_used_) return launch();
  Entry* entry = find(work);
  if (entry == nullptr) {
    launch();
    return add(work);  // what failed has chosen no kernels
  }
  if (entry->graph == nullptr) entry->graph = capture(stream, launch);
  check(cudaGraphLaunch(entry->graph, stream.get()), "launching a step");
  ++replays_;
}

}  // namespace dms::cuda
