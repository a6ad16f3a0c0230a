// What a sequence says of itself: its decisions, what its heads hold, and all of it as bytes.

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "cuda/cuda_sequence.h"
#include "cuda/fate_words.h"

namespace dms::cuda {
namespace {

/// Zeroes a page's entries but [first, end): what lay there before may be of anybody.
void blank_others(
    std::span<std::byte> page, KvFormat format, int32_t head_dim, int64_t first, int64_t end) {
  const auto blank = [&](size_t side_begin, size_t entry_bytes) {
    const auto side = page.subspan(side_begin, kPageTokens * entry_bytes);
    std::ranges::fill(side.first(static_cast<size_t>(first) * entry_bytes), std::byte{0});
    std::ranges::fill(side.subspan(static_cast<size_t>(end) * entry_bytes), std::byte{0});
  };
  const auto side = static_cast<size_t>(side_bytes(format, head_dim));
  for (const size_t begin : {size_t{0}, side}) blank(begin, side / kPageTokens);
  if (format == KvFormat::bf16) return;
  const size_t scales = kPageTokens * sizeof(uint16_t);
  for (const size_t begin : {2 * side, 2 * side + scales}) blank(begin, sizeof(uint16_t));
}

}  // namespace

std::vector<uint8_t> CudaSequence::decisions() const {
  const auto columns = static_cast<int32_t>(ceil_div(tokens_, kPageTokens));
  const std::vector<uint32_t> fates = this->fates(0, columns);
  const int64_t decided = decided_end();
  std::vector<uint8_t> out;
  out.reserve(static_cast<size_t>(tokens_ * heads()));
  for (int64_t head = 0; head < heads(); ++head) {
    const auto row =
        std::span(fates).subspan(static_cast<size_t>(head * columns), static_cast<size_t>(columns));
    for (int64_t i = 0; i < tokens_; ++i) out.push_back(i < decided && is_evicted(row, i) ? 1 : 0);
  }
  return out;
}

std::vector<int32_t> CudaSequence::held_heads() const {
  const int64_t recent = std::max<int64_t>(tokens_ - 1 - plan_->window(), 0);
  const auto columns = static_cast<int32_t>(ceil_div(tokens_, kPageTokens));
  const std::vector<uint32_t> fates = this->fates(0, columns);
  std::vector<int32_t> counts(static_cast<size_t>(tokens_), heads());
  for (int64_t head = 0; head < heads(); ++head) {
    const auto row =
        std::span(fates).subspan(static_cast<size_t>(head * columns), static_cast<size_t>(columns));
    for (int64_t i = 0; i < recent; ++i) counts[static_cast<size_t>(i)] -= is_evicted(row, i);
  }
  return counts;
}

std::vector<int64_t> CudaSequence::held_per_head() const {
  // Survivors are counted; of the fates only those around the window are asked for.
  const int64_t recent = std::max<int64_t>(tokens_ - 1 - plan_->window(), 0);
  const int64_t low = std::min<int64_t>(recent, sealed_end_);
  const int64_t high = std::max<int64_t>(recent, sealed_end_);
  const int64_t first = low / kPageTokens;
  const auto columns = static_cast<int32_t>(low == high ? 0 : ceil_div(high, kPageTokens) - first);
  const std::vector<uint32_t> fates = this->fates(static_cast<int32_t>(first), columns);
  std::vector<int64_t> held;
  for (int64_t head = 0; head < heads(); ++head) {
    const auto row =
        std::span(fates).subspan(static_cast<size_t>(head * columns), static_cast<size_t>(columns));
    const int64_t between = kept_between(row, first, low, high);
    held.push_back(tables_.survivors[static_cast<size_t>(head)] +
                   (recent > sealed_end_ ? between : -between) + tokens_ - recent);
  }
  return held;
}

/// The pages of the 32 tokens each that the window has, head by head.
std::vector<PageNumber> CudaSequence::window_pages_in_order() const {
  std::vector<PageNumber> pages;
  const int64_t end = ceil_div(tokens_, kPageTokens);
  for (int32_t head = 0; head < heads(); ++head) {
    for (int64_t page = window_begin_page(); page < end; ++page) {
      pages.push_back(window_page(head, page));
    }
  }
  return pages;
}

int64_t CudaSequence::window_begin_page() const {
  return sealed_end_ == tokens_ ? ceil_div(tokens_, kPageTokens) : sealed_end_ / kPageTokens;
}

void CudaSequence::write(ByteWriter& out) const {
  park();
  const BankShape& shape = bank_->shape();
  out.value(static_cast<int64_t>(shape.survivor_format));
  out.value(tokens_);
  out.value(int64_t{sealed_end_});
  const auto columns = static_cast<int32_t>(ceil_div(tokens_, kPageTokens));
  if (!plan_->knows_fates()) {
    out.value(std::min<int64_t>(replay_end_, tokens_));
    std::vector<uint32_t> fates = this->fates(0, columns);
    clear_fates_from(decided_end(), columns, fates);
    out.list(std::span<const uint32_t>(fates));
  }
  out.list(std::span<const int32_t>(tables_.survivors));

  std::vector<std::byte> windows =
      store_->download(window_pages_in_order(), shape.window_page_bytes());
  const int64_t first = window_begin_page();
  const int64_t in_window = ceil_div(tokens_, kPageTokens) - first;
  for (int64_t i = 0; i < in_window * heads(); ++i) {
    const int64_t begin = (first + i % in_window) * kPageTokens;
    const auto bytes = static_cast<size_t>(shape.window_page_bytes());
    blank_others(std::span(windows).subspan(static_cast<size_t>(i) * bytes, bytes),
                 KvFormat::bf16,
                 shape.head_dim,
                 std::max<int64_t>(sealed_end_ - begin, 0),
                 std::min<int64_t>(tokens_ - begin, kPageTokens));
  }
  out.bytes(windows);

  std::vector<std::byte> survivors =
      store_->download(live_survivor_pages(), shape.survivor_page_bytes());
  std::span<std::byte> left = survivors;
  for (const int32_t count : tables_.survivors) {
    for (int64_t begin = 0; begin < count; begin += kPageTokens) {
      const auto bytes = static_cast<size_t>(shape.survivor_page_bytes());
      blank_others(left.first(bytes),
                   shape.survivor_format,
                   shape.head_dim,
                   0,
                   std::min<int64_t>(count - begin, kPageTokens));
      left = left.subspan(bytes);
    }
  }
  out.bytes(survivors);
}

void CudaSequence::read(ByteReader& in, int64_t tokens) {
  ensure(tokens_ == 0, "a sequence is read once");
  const auto format = static_cast<int64_t>(bank_->shape().survivor_format);
  in.number(format, format, "the format of survivors");
  const int64_t count = in.number(tokens, tokens, "the number of tokens");
  const int64_t sealed = in.number(0, tokens, "the end of what is sealed");
  const auto columns = static_cast<int32_t>(ceil_div(tokens, kPageTokens));
  if (!plan_->knows_fates()) {
    replay_end_ = static_cast<int32_t>(in.number(0, tokens, "the number of decisions"));
    tables_.fates = in.list<uint32_t>();
    tables_.fate_columns = columns;
    in.require(std::ssize(tables_.fates) == int64_t{heads()} * columns,
               "decisions of another number");
  }
  tokens_ = count;  // decided_end() is of them
  const int64_t decided = decided_end();
  in.require(sealed <= std::max<int64_t>(decided, 0), "tokens without a decision are sealed");
  if (!plan_->knows_fates()) {
    std::vector<uint32_t> checked = tables_.fates;
    clear_fates_from(decided, columns, checked);
    in.require(checked == tables_.fates, "decisions about tokens that are not there");
  }
  sealed_end_ = static_cast<int32_t>(sealed);
  in.require(columns - window_begin_page() <= bank_->shape().ring_pages,
             "more tokens in the window than it has room for");
  const std::vector<int32_t> survivors = in.list<int32_t>();
  in.require(std::ssize(survivors) == heads(), "survivors of another number of heads");
  for (int64_t head = 0; head < heads(); ++head) {
    const auto row = std::span(tables_.fates)
                         .subspan(static_cast<size_t>(head * tables_.fate_columns),
                                  static_cast<size_t>(columns));
    in.require(survivors[static_cast<size_t>(head)] == kept_between(row, 0, 0, sealed),
               "survivors of another number");
  }
  read_pages(in, survivors);
}

void CudaSequence::read_pages(ByteReader& in, const std::vector<int32_t>& survivors) {
  const BankShape& shape = bank_->shape();
  const int64_t in_window = (ceil_div(tokens_, kPageTokens) - window_begin_page()) * heads();
  int64_t kept = 0;
  for (const int32_t count : survivors) kept += ceil_div(count, kPageTokens);
  const auto windows = in.bytes(in_window * shape.window_page_bytes());
  const auto entries = in.bytes(kept * shape.survivor_page_bytes());

  PageDemand demand;
  demand[shape.window_page_bytes()] += in_window;
  demand[shape.survivor_page_bytes()] += kept;
  if (!store_->fits(demand)) {
    throw MemoryShortage(
        {.where = "KV memory",
         .what = "no room for a saved sequence",
         .got = std::to_string(windows.size() + entries.size()) + " bytes",
         .expected = "at most " + std::to_string(store_->limit_bytes() - store_->used_bytes())});
  }
  const int64_t end = ceil_div(tokens_, kPageTokens);
  for (int32_t head = 0; head < heads(); ++head) {
    for (int64_t page = window_begin_page(); page < end; ++page) {
      window_page(head, page) = store_->take(shape.window_page_bytes());
    }
  }
  tables_.survivors = survivors;
  tables_.survivor_columns =
      static_cast<int32_t>(ceil_div(std::ranges::max(survivors), kPageTokens));
  tables_.survivor_pages.assign(static_cast<size_t>(heads() * tables_.survivor_columns), kNoPage);
  for (int64_t head = 0; head < heads(); ++head) {
    const int64_t pages = ceil_div(survivors[static_cast<size_t>(head)], kPageTokens);
    const auto row = tables_.survivor_pages.begin() + head * tables_.survivor_columns;
    for (int64_t page = 0; page < pages; ++page) {
      row[page] = store_->take(shape.survivor_page_bytes());
    }
  }
  store_->upload(windows, window_pages_in_order(), shape.window_page_bytes());
  store_->upload(entries, live_survivor_pages(), shape.survivor_page_bytes());
  store_->note_peak();
}

}  // namespace dms::cuda
