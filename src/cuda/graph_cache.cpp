#include "cuda/graph_cache.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace dms::cuda {
namespace {

constexpr const char* kCapturing = "capturing a step";

}  // namespace

GraphCache::~GraphCache() { clear(); }

void GraphCache::clear() {
  while (!entries_.empty()) drop(entries_.begin());
}

void GraphCache::drop(std::list<Entry>::iterator entry) {
  if (entry->graph != nullptr) cudaGraphExecDestroy(entry->graph);
  entries_.erase(entry);
}

/// Those of banks that are gone, and what is beyond one for each number of rows and bank: a graph
/// of a model of 36 layers has some 500 nodes, about a megabyte of the host's memory.
void GraphCache::drop_unused() {
  std::set<const SlotBank*> banks;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (const auto bank = entry->bank.lock()) {
      banks.insert(bank.get());
    } else {
      drop(entry);
    }
    entry = next;
  }
  const int64_t most = most_rows_ * std::ssize(banks);
  while (std::ssize(entries_) > most) drop(std::prev(entries_.end()));
}

GraphCache::Entry* GraphCache::find(const StepWork& work) {
  const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
    return entry.bank.lock().get() == work.bank && entry.rows == work.rows() &&
           is_one_rule(entry.fate, work.fate);
  });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

void GraphCache::add(const StepWork& work) {
  entries_.push_front({.bank = work.bank->weak_from_this(),
                       .fate = work.fate,
                       .rows = work.rows(),
                       .graph = nullptr});
  drop_unused();
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
