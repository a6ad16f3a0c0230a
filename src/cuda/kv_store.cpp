#include "cuda/kv_store.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "cache/sequence_cache.h"
#include "cuda/kernels/paging.h"
#include "dms/error.h"

namespace dms::cuda {
namespace {

// That are copied to or from the host at a time, and of pages whose numbers are told at a time.
constexpr int64_t kRowBytes = int64_t{4} << 20;
constexpr int64_t kRowPages = 1024;

int64_t heads_of(const StoreShape& shape) { return int64_t{shape.layers} * shape.kv_heads; }

/// Of the largest bank: windows of whole contexts.
int64_t most_table_bytes(const StoreShape& shape) {
  const int64_t columns = 3 * ceil_div(shape.context, kPageTokens) + 1;
  return heads_of(shape) * shape.slots * columns * static_cast<int64_t>(sizeof(uint32_t));
}

/// The rest is for one bank, and for others and prompts' attention.
size_t arena_bytes(const StoreShape& shape) {
  if (shape.bytes > 0) return static_cast<size_t>(shape.bytes);
  const auto free = static_cast<int64_t>(device_memory().free);
  return static_cast<size_t>(std::max<int64_t>(free - most_table_bytes(shape), 0) / 10 * 9);
}

/// So many tokens, wherever they begin, touch at most so many pages.
int64_t pages_touched(int64_t tokens) { return (tokens + kPageTokens - 2) / kPageTokens + 1; }

}  // namespace

KvStore::KvStore(const StoreShape& shape, std::shared_ptr<const Stream> stream)
    : shape_(shape),
      stream_(std::move(stream)),
      arena_(arena_bytes(shape), "KV memory"),
      pages_(static_cast<int64_t>(arena_.bytes())),
      numbers_(2 * kRowPages * sizeof(PageNumber), "the numbers of pages"),
      row_(kRowBytes, "pages on their way") {}

/// Pages of a head's window.
int32_t KvStore::ring_of(const CudaPlan& plan) const {
  // A step stores its token before the next one seals.
  const int64_t exact = int64_t{plan.window()} + cache::kRollbackTokens + 1;
  return static_cast<int32_t>(
      std::min(pages_touched(exact), ceil_div(shape_.context, kPageTokens)));
}

std::shared_ptr<SlotBank> KvStore::bank(const CudaPlan& plan) {
  const KvFormat format = plan.survivor_format();
  const int32_t ring = ring_of(plan);
  if (const auto found = banks_.find({format, ring}); found != banks_.end()) return found->second;
  if (banks() >= kMostBanks && !drop_idle_bank()) return bank_with_room(format, ring);
  for (;;) {
    try {
      return banks_[{format, ring}] = make_bank(format, ring);
    } catch (const RunError&) {  // the device has no room
      banks_.erase({format, ring});
      if (!drop_idle_bank()) throw;
    }
  }
}

std::shared_ptr<SlotBank> KvStore::make_bank(KvFormat format, int32_t ring) {
  // A head takes a page for each 32 tokens of a prompt, and each sequence of a step may begin one.
  const int64_t most = heads_of(shape_) * (shape_.step_tokens / kPageTokens + 2 * shape_.slots);
  return std::make_shared<SlotBank>(
      BankShape{.layers = shape_.layers,
                .kv_heads = shape_.kv_heads,
                .head_dim = shape_.head_dim,
                .ring_pages = ring,
                .max_pages = static_cast<int32_t>(ceil_div(shape_.context, kPageTokens)),
                .slots = shape_.slots,
                .free_pages = static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(most))),
                .survivor_format = format},
      arena_.data(),
      stream_->get());
}

/// The bank that serves the window too, at the price of a longer ring's pages.
std::shared_ptr<SlotBank> KvStore::bank_with_room(KvFormat format, int32_t ring) const {
  const auto next = banks_.lower_bound({format, ring});
  if (next != banks_.end() && next->first.first == format) return next->second;
  throw MemoryShortage({.where = "KV memory",
                        .what = "no room for the tables of another window",
                        .got = std::to_string(banks()) + " sizes of windows in use",
                        .expected = "at most " + std::to_string(kMostBanks),
                        .hint = "use a window that others have, or wait until they have ended"});
}

/// False: sequences are in all of them.
bool KvStore::drop_idle_bank() {
  const auto idle =
      std::ranges::find_if(banks_, [](const auto& one) { return one.second.use_count() == 1; });
  if (idle == banks_.end()) return false;
  take_back(*idle->second);
  stream_->synchronize();
  banks_.erase(idle);
  return true;
}

int64_t KvStore::used_bytes() const {
  int64_t bytes = pages_.used_bytes();
  for (const auto& [key, bank] : banks_) {
    bytes -= bank->free_list().untaken() * bank->shape().survivor_page_bytes();
  }
  return bytes;
}

void KvStore::take_back(SlotBank& bank) {
  if (bank.free_list().untaken() == 0) return;
  for (const PageNumber page : bank.free_list().take_back(stream_->get())) pages_.release(page);
}

void KvStore::take_back_all() {
  for (const auto& [key, bank] : banks_) take_back(*bank);
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

bool KvStore::has(PageDemand demand) const {
  for (const auto& [key, bank] : banks_) {
    const auto size = demand.find(bank->shape().survivor_page_bytes());
    if (size != demand.end()) size->second -= bank->free_list().untaken();
  }
  return pages_.fits(demand);
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
