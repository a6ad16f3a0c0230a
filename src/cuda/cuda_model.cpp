#include "cuda/cuda_model.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "cpu/fingerprint.h"
#include "engine/kv_ratios.h"

namespace dms::cuda {
namespace {

constexpr int64_t kHeadRows = 64;  // logits that are computed at a time, unless more rows decode

const char* name_of(MatrixFormat format) {
  switch (format) {
    case MatrixFormat::fp8:
      return "fp8";
    case MatrixFormat::int4:
      return "int4";
    case MatrixFormat::bf16:
      break;
  }
  return "bf16";
}

StepLimits limits_of(const cpu::ResolvedModelOptions& options, int32_t attention_blocks) {
  const int64_t rows = options.max_step_tokens + options.max_sequences;
  return {.rows = static_cast<int32_t>(rows),
          .decode_rows = static_cast<int32_t>(options.max_sequences),
          .logit_rows = static_cast<int32_t>(std::max(options.max_sequences, kHeadRows)),
          .attention_blocks = attention_blocks};
}

StoreShape store_shape(const ModelSpec& spec, const StepLimits& limits, int64_t bytes) {
  return {.layers = static_cast<int32_t>(spec.layers),
          .kv_heads = static_cast<int32_t>(spec.kv_heads),
          .head_dim = static_cast<int32_t>(spec.head_dim),
          .context = spec.context,
          .slots = limits.decode_rows,
          .step_tokens = limits.rows,
          .bytes = bytes};
}

std::shared_ptr<const CudaPlan> ours(const std::shared_ptr<const engine::SequencePlan>& plan) {
  auto cuda_plan = std::dynamic_pointer_cast<const CudaPlan>(plan);
  ensure(cuda_plan != nullptr, "a plan of this model");
  return cuda_plan;
}

/// What parts take together at most.
struct Demand {
  PageDemand pages{};
  std::map<SlotBank*, int64_t> ahead{};

  void add(const CudaSequence& sequence, int64_t count, Rows rows) {
    const SequenceDemand more = sequence.demand(count, rows);
    const BankShape& shape = sequence.bank().shape();
    pages[shape.window_page_bytes()] += more.window_pages;
    pages[shape.survivor_page_bytes()] += more.survivor_pages;
    ahead[&sequence.bank()] += more.ahead;
  }
};

/// `rows`: of a step at most. Pieces of a prompt that more than one step computes may take, or be,
/// what rows that decode do.
Demand demand_of(std::span<const engine::Part> parts, int64_t rows) {
  int64_t all = 0;
  for (const engine::Part& part : parts) all += std::ssize(part.ids);
  Demand demand;
  for (const engine::Part& part : parts) {
    const int64_t count = std::ssize(part.ids);
    demand.add(sequence_of(part), count, all > rows ? Rows::decoded : rows_of(count));
  }
  return demand;
}

}  // namespace

CudaModel::CudaModel(ModelSpec spec,
                     DeviceWeights weights,
                     const cpu::ResolvedModelOptions& options,
                     CudaModelOptions device)
    : spec_(std::move(spec)),
      weights_(std::move(weights)),
      weight_format_(device.weight_format),
      weight_sum_(device.weight_sum),
      options_(options),
      matmul_(std::move(device.matmul)),
      stream_(std::make_shared<Stream>()),
      step_(spec_,
            weights_,
            *matmul_,
            device.attend_prompt,
            limits_of(options, device.attention_blocks),
            *stream_),
      store_(
          std::make_shared<KvStore>(store_shape(spec_, step_.limits(), device.kv_bytes), stream_)),
      graphs_(device.uses_graphs, options.max_sequences) {}

CudaModel::~CudaModel() = default;

int64_t CudaModel::length_border(int64_t /*length*/) const {
  return std::numeric_limits<int32_t>::max();  // no RoPE here depends on it
}

std::shared_ptr<const engine::SequencePlan> CudaModel::plan(const CacheOptions& options) const {
  return make_plan(spec(), options_, options);
}

std::unique_ptr<engine::SequenceState> CudaModel::new_sequence(
    std::shared_ptr<const engine::SequencePlan> plan) {
  if (store_.use_count() == 1) store_->forget_peak();
  return std::make_unique<CudaSequence>(store_, ours(plan));
}

std::unique_ptr<engine::SequenceState> CudaModel::read_sequence(
    std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) {
  auto sequence = std::make_unique<CudaSequence>(store_, ours(plan));
  sequence->read(in, tokens);
  return sequence;
}

std::string CudaModel::fingerprint() const {
  return fmt::format("cuda {} {}x{} heads {}/{}x{} vocab {} weights {} sums {:08x} {:08x}",
                     spec().model_type,
                     spec().layers,
                     spec().hidden,
                     spec().q_heads,
                     spec().kv_heads,
                     spec().head_dim,
                     spec().vocab,
                     name_of(weight_format_),
                     cpu::sum_of(spec()),
                     weight_sum_);
}

bool CudaModel::reserve(std::span<const engine::Part> parts) {
  const Demand demand = demand_of(parts, step_.limits().rows);
  return store_->fits(demand.pages, demand.ahead);
}

engine::KvMemory CudaModel::memory() const {
  return {.limit_bytes = store_->limit_bytes(),
          .used_bytes = store_->used_bytes(),
          .peak_bytes = store_->peak_bytes()};
}

/// With what each takes as it grows on by a page: a first page of a size is not found later, where
/// others hold all slabs.
bool CudaModel::can_place(std::span<const engine::Expectation> expected) const {
  PageDemand demand;
  for (const engine::Expectation& one : expected) {
    const auto& plan = static_cast<const CudaPlan&>(*one.plan);
    const PageDemand there = plan.expected_pages(one.from_tokens);
    for (const auto& [bytes, pages] : plan.expected_pages(one.to_tokens + kPageTokens)) {
      const auto added = static_cast<double>(std::max<int64_t>(pages - there.at(bytes), 0));
      demand[bytes] += static_cast<int64_t>(std::ceil(added * one.ratio));
    }
  }
  return store_->has(demand);
}

MemoryShortage CudaModel::shortage(std::span<const engine::Part> parts) const {
  const Demand demand = demand_of(parts, step_.limits().rows);
  int64_t needed = store_->used_bytes();
  for (const auto& [bytes, pages] : demand.pages) needed += bytes * pages;
  for (const auto& [bank, pages] : demand.ahead) {
    needed += bank->shape().survivor_page_bytes() * pages;
  }
  int64_t tokens = 0;
  for (const engine::Part& part : parts) tokens += part.sequence->tokens();
  return shortage_of({.sequences = std::ssize(parts),
                      .tokens = tokens,
                      .bytes = needed,
                      .limit_bytes = store_->limit_bytes()});
}

std::span<const float> CudaModel::forward(std::span<const engine::Part> parts) {
  if (!reserve(parts)) throw shortage(parts);
  Pass pass(parts);
  const auto values = static_cast<size_t>(pass.logit_rows() * vocab());
  if (logits_.bytes() < values * sizeof(float)) {
    logits_ = {};  // before, so that there is never room for both
    logits_ = PinnedBuffer(values * sizeof(float), "logits");
  }
  PassStep step;
  while (pass.next(step_.limits(), step)) run(step);
  store_->note_peak();
  return {logits_.at<float>(), values};
}

void CudaModel::run(PassStep& step) {
  try {
    seat(step.sequences, step.counts, false);
    StepWork& work = step.work;
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      const int32_t slot = step.sequences[i]->slot();
      work.slots.insert(work.slots.end(), static_cast<size_t>(step.counts[i]), slot);
      const auto decoding = static_cast<size_t>(work.decode_rows);
      if (i >= decoding) work.prompts[i - decoding].slot = slot;
    }
    compute(work);
    fetch_logits(step);
    learn(step.sequences);
  } catch (...) {
    take_in_failure(*step.work.bank);
    throw;
  }
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    step.sequences[i]->advance(step.counts[i], rows_of(step.counts[i]));
  }
}

/// The sequences of a step that failed are restarted, from what was known of them before it: pages
/// that the device took for them are nobody's.
void CudaModel::take_in_failure(SlotBank& bank) {
  bank.forget_state();
  try {
    bank.free_list().ask(stream_->get());
    stream_->synchronize();
    for (const PageNumber page : bank.free_list().lost(stream_->get())) store_->release(page);
  } catch (const std::exception&) {
    // The device has failed; why, the step's own error says.
  }
}

void CudaModel::seat(std::span<CudaSequence* const> sequences,
                     std::span<const int64_t> counts,
                     bool decoded) {
  const auto rows = [&](size_t i) { return decoded ? Rows::decoded : rows_of(counts[i]); };
  SlotBank& bank = sequences.front()->bank();
  ++clock_;
  Demand demand;
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences[i]->last_step = clock_;
    demand.add(*sequences[i], counts[i], rows(i));
  }
  if (!store_->fits(demand.pages, demand.ahead) ||
      demand.ahead[&bank] > bank.free_list().capacity()) {
    throw MemoryShortage({.where = "KV memory",
                          .what = "limit reached",
                          .got = std::to_string(demand.ahead[&bank]) + " pages to be given ahead",
                          .hint = "raise kv_memory_bytes, or ask for fewer tokens at a time"});
  }
  for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->grow(counts[i], rows(i));
  store_->top_up(bank, demand.ahead[&bank]);
  for (CudaSequence* sequence : sequences) {
    if (sequence->slot() < 0) {
      // An empty slot, or that of the sequence whose last step is longest ago.
      const auto slot = std::ranges::min_element(bank.occupants(), {}, [](const CudaSequence* one) {
        return one == nullptr ? -1 : one->last_step;
      });
      if (*slot != nullptr) (*slot)->park();
      sequence->enter(static_cast<int32_t>(slot - bank.occupants().begin()));
    }
    sequence->prepare_step();
  }
}

void CudaModel::compute(const StepWork& work) {
  work.bank->flush();
  step_.prepare(work);
  if (work.prompts.empty()) {
    graphs_.run(work, *stream_, [&] {
      step_.run(work);
      step_.run_head(0, work.rows());
    });
  } else {
    step_.run(work);
  }
}

void CudaModel::fetch_logits(const PassStep& step) {
  const auto row_bytes = static_cast<size_t>(vocab()) * sizeof(float);
  const auto wanted = static_cast<int32_t>(step.outputs.size());
  for (int32_t first = 0; first < wanted; first += step_.limits().logit_rows) {
    const int32_t count = std::min(step_.limits().logit_rows, wanted - first);
    if (!step.work.prompts.empty()) step_.run_head(first, count);
    for (int32_t i = 0; i < count;) {
      const int64_t output = step.outputs[static_cast<size_t>(first + i)];
      int32_t run = 1;
      if (output < 0) {
        i += run;
        continue;
      }
      while (i + run < count &&
             step.outputs[static_cast<size_t>(first + i + run)] == output + run) {
        ++run;
      }
      check(cudaMemcpyAsync(logits_.at<float>() + output * vocab(),
                            step_.logits() + i * vocab(),
                            static_cast<size_t>(run) * row_bytes,
                            cudaMemcpyDeviceToHost,
                            stream_->get()),
            "fetching logits");
      i += run;
    }
  }
}

void CudaModel::learn(std::span<CudaSequence* const> sequences) {
  SlotBank& bank = sequences.front()->bank();
  int32_t end = 0;
  for (const CudaSequence* sequence : sequences) end = std::max(end, sequence->slot() + 1);
  bank.ask_survivors(end);
  bank.free_list().ask(stream_->get());
  stream_->synchronize();
  bank.free_list().learn();
  for (CudaSequence* sequence : sequences) sequence->learn(bank.survivors(sequence->slot()));
}

KvStats CudaModel::usage(std::span<const engine::SequenceState* const> sequences) const {
  KvStats stats;
  const auto heads = static_cast<size_t>(spec().kv_heads);
  stats.held_per_head.assign(static_cast<size_t>(spec().layers), std::vector<int64_t>(heads, 0));
  if (sequences.empty()) stats.held_per_head.clear();
  int64_t tables = 0;
  for (const engine::SequenceState* state : sequences) {
    const auto& sequence = static_cast<const CudaSequence&>(*state);
    const std::vector<int64_t> held = sequence.held_per_head();
    for (size_t head = 0; head < held.size(); ++head) {
      stats.held_per_head[head / heads][head % heads] += held[head];
      stats.held_tokens += held[head];
    }
    stats.dense_tokens += sequence.tokens() * std::ssize(held);
    stats.allocated_bytes += sequence.held_bytes();
    tables += sequence.table_bytes();
  }
  stats.dense_bytes =
      stats.dense_tokens * 2 * spec().head_dim * static_cast<int64_t>(sizeof(uint16_t));
  stats.allocated_bytes += tables;
  stats.peak_bytes = tables + store_->peak_bytes();
  engine::set_ratios(stats);
  return stats;
}

}  // namespace dms::cuda
