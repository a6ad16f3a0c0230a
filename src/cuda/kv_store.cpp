#include "cuda/kv_store.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.h"
#include "cache/sequence_cache.h"
#include "cuda/kernels/paging.h"

namespace dms::cuda {
namespace {

// That are copied to or from the host at a time, and of pages whose numbers are told at a time.
constexpr int64_t kRowBytes = int64_t{4} << 20;
constexpr int64_t kRowPages = 1024;

/// The rest is for tables and prompts' attention.
size_t arena_bytes(int64_t asked) {
  return asked > 0 ? static_cast<size_t>(asked) : device_memory().free / 10 * 9;
}

/// So many tokens, wherever they begin, touch at most so many pages.
int64_t pages_touched(int64_t tokens) { return (tokens + kPageTokens - 2) / kPageTokens + 1; }

}  // namespace

KvStore::KvStore(const StoreShape& shape, std::shared_ptr<const Stream> stream)
    : shape_(shape),
      stream_(std::move(stream)),
      arena_(arena_bytes(shape.bytes), "KV memory"),
      pages_(static_cast<int64_t>(arena_.bytes())),
      numbers_(2 * kRowPages * sizeof(PageNumber), "the numbers of pages"),
      row_(kRowBytes, "pages on their way") {}

SlotBank& KvStore::bank(const CudaPlan& plan) {
  // A step stores its token before the next one seals.
  const int64_t exact = int64_t{plan.window()} + cache::kRollbackTokens + 1;
  const auto ring =
      static_cast<int32_t>(std::min(pages_touched(exact), ceil_div(shape_.context, kPageTokens)));
  std::unique_ptr<SlotBank>& bank = banks_[{plan.survivor_format(), ring}];
  if (bank) return *bank;
  const auto heads = int64_t{shape_.layers} * shape_.kv_heads;
  // A head takes a page for each 32 tokens of a prompt, and each sequence of a step may begin one.
  const int64_t most = heads * (shape_.step_tokens / kPageTokens + 2 * shape_.slots);
  bank = std::make_unique<SlotBank>(
      BankShape{.layers = shape_.layers,
                .kv_heads = shape_.kv_heads,
                .head_dim = shape_.head_dim,
                .ring_pages = ring,
                .max_pages = static_cast<int32_t>(ceil_div(shape_.context, kPageTokens)),
                .slots = shape_.slots,
                .free_pages = static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(most))),
                .survivor_format = plan.survivor_format()},
      arena_.data(),
      stream_->get());
  return *bank;
}

int64_t KvStore::used_bytes() const {
  int64_t bytes = pages_.used_bytes();
  for (const auto& [key, bank] : banks_) {
    bytes -= bank->free_list().untaken() * bank->shape().survivor_page_bytes();
  }
  return bytes;
}

void KvStore::take_back_all() {
  for (const auto& [key, bank] : banks_) {
    if (bank->free_list().untaken() == 0) continue;
    for (const PageNumber page : bank->free_list().take_back(stream_->get())) pages_.release(page);
  }
}

bool KvStore::fits(const PageDemand& demand, const std::map<SlotBank*, int64_t>& ahead) {
  const auto fits_now = [&] {
    PageDemand all = demand;
    for (const auto& [bank, count] : ahead) {
      all[bank->shape().survivor_page_bytes()] +=
          std::max<int64_t>(count - bank->free_list().untaken(), 0);
    }
    return pages_.fits(all);
  };
  if (fits_now()) return true;
  take_back_all();
  return fits_now();
}

PageNumber KvStore::take(int32_t bytes) {
  const PageNumber page = pages_.take(bytes);
  ensure(page != kNoPage, "a page that was said to fit");
  return page;
}

void KvStore::top_up(SlotBank& bank, int64_t count) {
  std::vector<PageNumber> pages;
  for (int64_t i = bank.free_list().untaken(); i < count; ++i) {
    pages.push_back(take(bank.shape().survivor_page_bytes()));
  }
  bank.free_list().give(pages, stream_->get());
}

/// On the device, in the order of the stream.
uint32_t* KvStore::numbers(std::span<const PageNumber> first, std::span<const PageNumber> second) {
  const size_t bytes = first.size_bytes() + second.size_bytes();
  ensure(bytes <= numbers_.bytes(), "no more numbers than are told at a time");
  std::vector<PageNumber> all(first.begin(), first.end());
  all.insert(all.end(), second.begin(), second.end());
  check(cudaMemcpyAsync(numbers_.data(), all.data(), bytes, cudaMemcpyHostToDevice, stream_->get()),
        "copying pages");
  return numbers_.at<uint32_t>();
}

void KvStore::copy(std::span<const PageNumber> from,
                   std::span<const PageNumber> to,
                   int32_t bytes) {
  for (size_t first = 0; first < from.size(); first += kRowPages) {
    const size_t count = std::min(from.size() - first, size_t{kRowPages});
    const uint32_t* numbers = this->numbers(from.subspan(first, count), to.subspan(first, count));
    check(copy_pages({.from = arena_.data(),
                      .from_pages = numbers,
                      .to = arena_.data(),
                      .to_pages = numbers + count,
                      .pages = static_cast<int32_t>(count),
                      .bytes = bytes},
                     stream_->get()),
          "copying pages");
  }
}

namespace {

/// So many are copied to or from the host at a time.
size_t pages_at_a_time(int32_t bytes) {
  return static_cast<size_t>(std::min(kRowPages, kRowBytes / bytes));
}

/// Of pages of `bytes` bytes that lie one after another.
std::vector<PageNumber> in_a_row(size_t pages, int32_t bytes) {
  std::vector<PageNumber> numbers(pages);
  for (size_t i = 0; i < pages; ++i) {
    numbers[i] = static_cast<PageNumber>(i * static_cast<size_t>(bytes / kPageUnit));
  }
  return numbers;
}

}  // namespace

std::vector<std::byte> KvStore::download(std::span<const PageNumber> pages, int32_t bytes) {
  const auto page_bytes = static_cast<size_t>(bytes);
  std::vector<std::byte> data(pages.size() * page_bytes);
  if (pages.empty()) return data;
  const size_t piece = pages_at_a_time(bytes);
  for (size_t first = 0; first < pages.size(); first += piece) {
    const std::span<const PageNumber> some =
        pages.subspan(first, std::min(piece, pages.size() - first));
    const uint32_t* numbers = this->numbers(some, in_a_row(some.size(), bytes));
    check(copy_pages({.from = arena_.data(),
                      .from_pages = numbers,
                      .to = row_.data(),
                      .to_pages = numbers + some.size(),
                      .pages = static_cast<int32_t>(some.size()),
                      .bytes = bytes},
                     stream_->get()),
          "reading pages");
    check(cudaMemcpyAsync(data.data() + first * page_bytes,
                          row_.data(),
                          some.size() * page_bytes,
                          cudaMemcpyDeviceToHost,
                          stream_->get()),
          "reading pages");
    stream_->synchronize();
  }
  return data;
}

void KvStore::upload(std::span<const std::byte> data,
                     std::span<const PageNumber> pages,
                     int32_t bytes) {
  if (pages.empty()) return;
  const auto page_bytes = static_cast<size_t>(bytes);
  const size_t piece = pages_at_a_time(bytes);
  for (size_t first = 0; first < pages.size(); first += piece) {
    const std::span<const PageNumber> some =
        pages.subspan(first, std::min(piece, pages.size() - first));
    check(cudaMemcpyAsync(row_.data(),
                          data.data() + first * page_bytes,
                          some.size() * page_bytes,
                          cudaMemcpyHostToDevice,
                          stream_->get()),
          "writing pages");
    const uint32_t* numbers = this->numbers(in_a_row(some.size(), bytes), some);
    check(copy_pages({.from = row_.data(),
                      .from_pages = numbers,
                      .to = arena_.data(),
                      .to_pages = numbers + some.size(),
                      .pages = static_cast<int32_t>(some.size()),
                      .bytes = bytes},
                     stream_->get()),
          "writing pages");
  }
  stream_->synchronize();
}

}  // namespace dms::cuda
