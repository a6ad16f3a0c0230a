#include "cuda/slot_bank.h"

#include <algorithm>

#include "base/check.h"
#include "cuda/kernels/paging.h"

namespace dms::cuda {
namespace {

constexpr const char* kTables = "the caches' tables";

size_t words(int64_t count) { return static_cast<size_t>(count) * sizeof(uint32_t); }

}  // namespace

SlotBank::SlotBank(const BankShape& shape, std::byte* arena, cudaStream_t stream)
    : shape_(shape),
      arena_(arena),
      stream_(stream),
      free_list_(shape.free_pages, stream),
      windows_(words(head_of(shape.slots) * shape.ring_pages), kTables),
      survivor_table_(words(head_of(shape.slots) * shape.max_pages), kTables),
      survivors_(words(head_of(shape.slots)), kTables),
      fates_(words(head_of(shape.slots) * shape.fate_words()), kTables),
      states_(kStateFields * words(shape.slots), kTables),
      host_states_(kStateFields * words(shape.slots), kTables),
      host_survivors_(words(head_of(shape.slots)), kTables),
      staging_(words(int64_t{shape.heads()} * shape.max_pages), kTables),
      host_staging_(staging_.bytes(), kTables),
      occupants_(static_cast<size_t>(shape.slots), nullptr) {
  std::ranges::fill_n(
      host_states_.at<int32_t>(), static_cast<int64_t>(kStateFields) * shape.slots, 0);
}

CacheView SlotBank::cache() const {
  return {.arena = arena_,
          .layers = shape_.layers,
          .kv_heads = shape_.kv_heads,
          .head_dim = shape_.head_dim,
          .ring_pages = shape_.ring_pages,
          .max_pages = shape_.max_pages,
          .fate_words = shape_.fate_words(),
          .survivor_format = shape_.survivor_format,
          .window_table = windows_.at<uint32_t>(),
          .survivor_table = survivor_table_.at<uint32_t>(),
          .survivors = survivors_.at<int32_t>(),
          .fates = fates_.at<uint32_t>(),
          .free = free_list_.view()};
}

SlotView SlotBank::slots() const {
  auto* fields = states_.at<int32_t>();
  const int32_t slots = shape_.slots;
  return {.tokens = fields,
          .sealed_end = fields + slots,
          .window = fields + 2 * slots,
          .slack = fields + 3 * slots,
          .replay_end = fields + 4 * slots};
}

int64_t SlotBank::table_bytes() const {
  const int64_t columns = shape_.ring_pages + shape_.max_pages + shape_.fate_words() + 1;
  return static_cast<int64_t>(words(shape_.heads() * columns + int64_t{kStateFields}));
}

void SlotBank::copy_in(void* to, const void* from, size_t bytes, const char* what) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), what);
}

void SlotBank::load(int32_t slot, const HeadTables& tables) {
  const int64_t head = head_of(slot);
  load_window(slot, tables);
  copy_in(survivors_.at<int32_t>() + head,
          tables.survivors.data(),
          words(shape_.heads()),
          "loading a sequence's tables");
  write_rows(survivor_table_.at<uint32_t>() + head * shape_.max_pages,
             shape_.max_pages,
             tables.survivor_pages,
             tables.survivor_columns);
  uint32_t* fates = fates_.at<uint32_t>() + head * shape_.fate_words();
  check(cudaMemsetAsync(fates, 0, words(int64_t{shape_.heads()} * shape_.fate_words()), stream_),
        "clearing a slot's fates");
  write_rows(fates, shape_.fate_words(), tables.fates, tables.fate_columns);
}

void SlotBank::load_window(int32_t slot, const HeadTables& tables) {
  copy_in(windows_.at<uint32_t>() + head_of(slot) * shape_.ring_pages,
          tables.window.data(),
          words(std::ssize(tables.window)),
          "loading a sequence's window");
}

SlotState SlotBank::state(int32_t slot) const {
  const int32_t* at = host_states_.at<int32_t>() + slot;
  const int32_t slots = shape_.slots;
  return {.tokens = at[0],
          .sealed_end = at[slots],
          .window = at[2 * slots],
          .slack = at[3 * slots],
          .replay_end = at[4 * slots]};
}

void SlotBank::set(int32_t slot, const SlotState& state) {
  const SlotState old = this->state(slot);
  const bool is_same = old.tokens == state.tokens && old.sealed_end == state.sealed_end &&
                       old.window == state.window && old.slack == state.slack &&
                       old.replay_end == state.replay_end;
  if (is_same) return;
  is_flushed_ = false;
  int32_t* at = host_states_.at<int32_t>() + slot;
  for (const int32_t value :
       {state.tokens, state.sealed_end, state.window, state.slack, state.replay_end}) {
    *at = value;
    at += shape_.slots;
  }
}

void SlotBank::flush() {
  if (is_flushed_) return;
  copy_in(states_.data(), host_states_.data(), states_.bytes(), "loading the slots' state");
  is_flushed_ = true;
}

void SlotBank::note(int32_t slot, int32_t tokens, int32_t sealed_end) {
  int32_t* at = host_states_.at<int32_t>() + slot;
  at[0] = tokens;
  at[shape_.slots] = sealed_end;
}

void SlotBank::clear_fates(int32_t slot, int32_t first, int32_t end) {
  check(cuda::clear_fates(cache(), slot, first, end, stream_), "forgetting fates");
}

void SlotBank::write_rows(uint32_t* table,
                          int32_t table_columns,
                          std::span<const uint32_t> rows,
                          int32_t columns) {
  if (columns == 0) return;
  ensure(rows.size_bytes() <= staging_.bytes(), "no more columns than a table has");
  // From pageable memory: the runtime has copied it when the call returns.
  copy_in(staging_.data(), rows.data(), rows.size_bytes(), "loading a sequence's tables");
  check(copy_table({.from = staging_.at<uint32_t>(),
                    .from_stride = columns,
                    .to = table,
                    .to_stride = table_columns,
                    .rows = shape_.heads(),
                    .columns = columns},
                   stream_),
        "loading a sequence's tables");
}

std::vector<uint32_t> SlotBank::read_rows(const uint32_t* table,
                                          int32_t table_columns,
                                          int32_t columns) {
  std::vector<uint32_t> rows(static_cast<size_t>(shape_.heads()) * static_cast<size_t>(columns));
  if (rows.empty()) return rows;
  const size_t bytes = rows.size() * sizeof(uint32_t);
  ensure(bytes <= staging_.bytes(), "no more columns than a table has");
  check(copy_table({.from = table,
                    .from_stride = table_columns,
                    .to = staging_.at<uint32_t>(),
                    .to_stride = columns,
                    .rows = shape_.heads(),
                    .columns = columns},
                   stream_),
        "reading a sequence's tables");
  check(cudaMemcpyAsync(
            host_staging_.data(), staging_.data(), bytes, cudaMemcpyDeviceToHost, stream_),
        "reading a sequence's tables");
  check(cudaStreamSynchronize(stream_), "reading a sequence's tables");
  std::copy_n(host_staging_.at<uint32_t>(), rows.size(), rows.begin());
  return rows;
}

std::vector<PageNumber> SlotBank::survivor_pages(int32_t slot, int32_t columns) {
  return read_rows(
      survivor_table_.at<uint32_t>() + head_of(slot) * shape_.max_pages, shape_.max_pages, columns);
}

std::vector<uint32_t> SlotBank::fates(int32_t slot, int32_t first, int32_t columns) {
  return read_rows(fates_.at<uint32_t>() + head_of(slot) * shape_.fate_words() + first,
                   shape_.fate_words(),
                   columns);
}

void SlotBank::ask_survivors(int32_t end) {
  check(cudaMemcpyAsync(host_survivors_.data(),
                        survivors_.data(),
                        words(head_of(end)),
                        cudaMemcpyDeviceToHost,
                        stream_),
        "asking how many survivors there are");
}

std::span<const int32_t> SlotBank::survivors(int32_t slot) const {
  return {host_survivors_.at<int32_t>() + head_of(slot), static_cast<size_t>(shape_.heads())};
}

}  // namespace dms::cuda
