#include "bench_cache.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

#include "fill.h"

namespace dms::bench {
namespace {

/// An array of several in one buffer.
struct Place {
  size_t offset = 0;
  size_t bytes = 0;
};

class Layout {
 public:
  Place add(size_t bytes) {
    const Place place{end_, bytes};
    end_ += (bytes + 255) / 256 * 256;
    return place;
  }
  size_t bytes() const { return end_; }

 private:
  size_t end_ = 0;
};

template <class T>
void upload(T* to, const std::vector<T>& values) {
  cuda::check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyDefault),
              "copying a table to the device");
}

int32_t pages_of(int32_t entries) { return (entries + cuda::kPageTokens - 1) / cuda::kPageTokens; }

}  // namespace

BenchCache::BenchCache(const CacheRequest& request, cudaStream_t stream) : request_(request) {
  sealed_end_ = std::max(0, request.tokens - request.window - request.slack);
  view_.layers = request.layers;
  view_.kv_heads = request.kv_heads;
  view_.head_dim = request.head_dim;
  view_.survivor_format = request.format;
  // The exact tokens and the one to come, wherever the first stands in its page.
  view_.ring_pages = pages_of(request.window + request.slack + 1) + 1;
  view_.max_pages = std::max(1, pages_of(request.tokens + request.more_tokens));
  view_.fate_words = view_.max_pages;
  const size_t heads = static_cast<size_t>(request.slots) * static_cast<size_t>(request.layers) *
                       static_cast<size_t>(request.kv_heads);
  std::mt19937 draw(7);
  std::binomial_distribution<int32_t> kept(sealed_end_, request.keep);
  lengths_.resize(heads);
  for (int32_t& length : lengths_) length = kept(draw);
  take_memory();
  place_pages();
  make_slots();
  const size_t words = heads * static_cast<size_t>(view_.fate_words);
  cuda::check(fill_fates(view_.fates, static_cast<int64_t>(words), request.keep, 11, stream),
              "making fates");
  const int64_t window_pages = static_cast<int64_t>(heads) * view_.ring_pages;
  const auto window_bytes = window_pages * cuda::page_bytes(cuda::KvFormat::bf16, view_.head_dim);
  cuda::check(
      fill_pages(view_.arena, window_pages, cuda::KvFormat::bf16, view_.head_dim, 1, stream),
      "making windows");
  const int64_t pages = survivor_pages_ + request.free_pages;
  if (pages > 0) {
    cuda::check(
        fill_pages(view_.arena + window_bytes, pages, request.format, view_.head_dim, 2, stream),
        "making survivors");
  }
  cuda::check(cudaStreamSynchronize(stream), "making a cache");
}

/// Windows first, then survivors' pages.
void BenchCache::take_memory() {
  const size_t heads = lengths_.size();
  for (const int32_t length : lengths_) survivor_pages_ += pages_of(length);
  const auto window_page =
      static_cast<size_t>(cuda::page_bytes(cuda::KvFormat::bf16, view_.head_dim));
  const auto page = static_cast<size_t>(cuda::page_bytes(request_.format, view_.head_dim));
  const size_t ring = heads * static_cast<size_t>(view_.ring_pages);
  const auto survivors = static_cast<size_t>(survivor_pages_ + request_.free_pages);
  arena_ = cuda::DeviceBuffer(ring * window_page + survivors * page, "pages");
  view_.arena = arena_.data();

  Layout layout;
  const Place window = layout.add(4 * ring);
  const Place table = layout.add(4 * heads * static_cast<size_t>(view_.max_pages));
  const Place fates = layout.add(4 * heads * static_cast<size_t>(view_.fate_words));
  const uint32_t capacity = std::bit_ceil(static_cast<uint32_t>(std::max(1, request_.free_pages)));
  const Place free = layout.add(4 * size_t{capacity});
  tables_ = cuda::DeviceBuffer(layout.bytes(), "tables");
  view_.window_table = tables_.at<uint32_t>(window.offset);
  view_.survivor_table = tables_.at<uint32_t>(table.offset);
  view_.fates = tables_.at<uint32_t>(fates.offset);
  view_.free.pages = tables_.at<uint32_t>(free.offset);
  view_.free.capacity = static_cast<int32_t>(capacity);
}

void BenchCache::place_pages() {
  const size_t heads = lengths_.size();
  const int window_page = cuda::page_bytes(cuda::KvFormat::bf16, view_.head_dim);
  const int page = cuda::page_bytes(request_.format, view_.head_dim);
  const size_t ring = heads * static_cast<size_t>(view_.ring_pages);
  std::mt19937 draw(13);
  std::vector<uint32_t> windows(ring);
  for (size_t i = 0; i < ring; ++i) {
    windows[i] = static_cast<uint32_t>(i * static_cast<size_t>(window_page) / cuda::kPageUnit);
  }
  std::shuffle(windows.begin(), windows.end(), draw);
  window_table_ = windows;
  upload(view_.window_table, window_table_);

  const size_t begin = ring * static_cast<size_t>(window_page);
  std::vector<uint32_t> pages(static_cast<size_t>(survivor_pages_ + request_.free_pages));
  for (size_t i = 0; i < pages.size(); ++i) {
    pages[i] = static_cast<uint32_t>((begin + i * static_cast<size_t>(page)) / cuda::kPageUnit);
  }
  std::shuffle(pages.begin(), pages.end(), draw);
  survivor_table_.assign(heads * static_cast<size_t>(view_.max_pages), 0);
  size_t next = 0;
  for (size_t head = 0; head < heads; ++head) {
    uint32_t* row = survivor_table_.data() + head * static_cast<size_t>(view_.max_pages);
    for (int32_t i = 0; i < pages_of(lengths_[head]); ++i) row[i] = pages[next++];
  }
  upload(view_.survivor_table, survivor_table_);
  free_.assign(pages.begin() + static_cast<std::ptrdiff_t>(next), pages.end());
  if (!free_.empty()) upload(const_cast<uint32_t*>(view_.free.pages), free_);
}

/// What steps change lies in one buffer, of which a copy stays for restore().
void BenchCache::make_slots() {
  const auto slots = static_cast<size_t>(request_.slots);
  Layout layout;
  const Place survivors = layout.add(4 * lengths_.size());
  const Place tokens = layout.add(4 * slots);
  const Place sealed = layout.add(4 * slots);
  const Place window = layout.add(4 * slots);
  const Place slack = layout.add(4 * slots);
  const Place replay = layout.add(4 * slots);
  const Place free = layout.add(16);
  counters_ = cuda::DeviceBuffer(layout.bytes(), "counters");
  kept_counters_ = cuda::DeviceBuffer(layout.bytes(), "counters");
  cuda::check(cudaMemset(counters_.data(), 0, counters_.bytes()), "clearing counters");
  view_.survivors = counters_.at<int32_t>(survivors.offset);
  view_.free.taken = counters_.at<uint32_t>(free.offset);
  view_.free.given = counters_.at<uint32_t>(free.offset + 4);
  view_.free.shortage = counters_.at<int32_t>(free.offset + 8);
  slots_ = {.tokens = counters_.at<int32_t>(tokens.offset),
            .sealed_end = counters_.at<int32_t>(sealed.offset),
            .window = counters_.at<int32_t>(window.offset),
            .slack = counters_.at<int32_t>(slack.offset),
            .replay_end = counters_.at<int32_t>(replay.offset)};
  upload(view_.survivors, lengths_);
  upload(slots_.tokens, std::vector<int32_t>(slots, request_.tokens));
  upload(slots_.sealed_end, std::vector<int32_t>(slots, sealed_end_));
  upload(slots_.window, std::vector<int32_t>(slots, request_.window));
  upload(slots_.slack, std::vector<int32_t>(slots, request_.slack));
  upload(counters_.at<uint32_t>(free.offset + 4),
         std::vector<uint32_t>{static_cast<uint32_t>(request_.free_pages)});
  cuda::check(
      cudaMemcpy(kept_counters_.data(), counters_.data(), counters_.bytes(), cudaMemcpyDefault),
      "copying counters");

  // Rows: of decoding slots, then as many of slot 0's prompt as there are tokens to come.
  const size_t prompt = static_cast<size_t>(request_.tokens + request_.more_tokens);
  const size_t rows = slots + prompt;
  std::vector<int32_t> values(3 * rows, 0);  // tokens, positions, slots
  std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(rows), slots, request_.tokens);
  std::iota(values.begin() + static_cast<std::ptrdiff_t>(rows + slots),
            values.begin() + static_cast<std::ptrdiff_t>(2 * rows),
            0);
  std::iota(values.begin() + static_cast<std::ptrdiff_t>(2 * rows),
            values.begin() + static_cast<std::ptrdiff_t>(2 * rows + slots),
            0);
  rows_ = cuda::DeviceBuffer(4 * values.size(), "rows");
  upload(rows_.at<int32_t>(), values);
}

cuda::RowView BenchCache::decode_rows(int32_t rows) const {
  const int32_t* values = rows_.at<int32_t>();
  const int64_t all = request_.slots + request_.tokens + request_.more_tokens;
  return {.rows = rows,
          .decode_rows = rows,
          .tokens = values,
          .positions = values + all,
          .slots = values + 2 * all};
}

cuda::RowView BenchCache::prompt_rows(int32_t first, int32_t count) const {
  const int32_t* values = rows_.at<int32_t>() + request_.slots + first;
  const int64_t all = request_.slots + request_.tokens + request_.more_tokens;
  return {.rows = count,
          .decode_rows = 0,
          .tokens = values,
          .positions = values + all,
          .slots = values + 2 * all};
}

int64_t BenchCache::survivors(int32_t slots) const {
  const int64_t heads = int64_t{slots} * request_.layers * request_.kv_heads;
  return std::accumulate(lengths_.begin(), lengths_.begin() + heads, int64_t{0});
}

double BenchCache::read_bytes(int32_t slots) const {
  const int64_t heads = int64_t{slots} * request_.layers * request_.kv_heads;
  const int64_t exact = heads * (request_.tokens + 1 - sealed_end_);
  const bool scaled = request_.format != cuda::KvFormat::bf16;
  const int entry = 2 * request_.head_dim * cuda::element_bytes(request_.format);
  const auto compact = static_cast<double>(survivors(slots));
  return static_cast<double>(exact) * (4 * request_.head_dim + 4.0 / cuda::kPageTokens) +
         compact * (entry + (scaled ? 4 : 0) + 4.0 / cuda::kPageTokens);
}

cudaError_t BenchCache::restore(cudaStream_t stream) const {
  return cudaMemcpyAsync(
      counters_.data(), kept_counters_.data(), counters_.bytes(), cudaMemcpyDefault, stream);
}

}  // namespace dms::bench
