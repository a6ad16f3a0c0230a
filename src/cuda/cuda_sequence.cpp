#include "cuda/cuda_sequence.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"
#include "cache/sequence_cache.h"
#include "cuda/fate_words.h"

namespace dms::cuda {
namespace {

constexpr int32_t kSlack = cache::kRollbackTokens;

}  // namespace

CudaSequence::CudaSequence(std::shared_ptr<KvStore> store, std::shared_ptr<const CudaPlan> plan)
    : store_(std::move(store)), plan_(std::move(plan)), bank_(store_->bank(*plan_)) {
  const BankShape& shape = bank_->shape();
  tables_.window.assign(static_cast<size_t>(shape.heads() * shape.ring_pages), kNoPage);
  tables_.survivors.assign(static_cast<size_t>(shape.heads()), 0);
  begin_fates();
}

/// Those that are known before any token is.
void CudaSequence::begin_fates() {
  if (!plan_->knows_fates()) return;
  const BankShape& shape = bank_->shape();
  tables_.fate_columns = shape.fate_words();
  tables_.fates = plan_->known_fates(shape.layers, shape.kv_heads, tables_.fate_columns);
  replay_end_ = std::numeric_limits<int32_t>::max();
}

CudaSequence::~CudaSequence() {
  leave_slot();
  drop_pages();
}

int64_t CudaSequence::exact_tokens() const { return std::max(plan_->window(), plan_->shift()); }

int64_t CudaSequence::decided_end() const {
  return std::max<int64_t>(std::min<int64_t>(replay_end_, tokens_), tokens_ - plan_->shift());
}

/// Words of fates that say anything.
int32_t CudaSequence::fate_columns() const {
  if (plan_->knows_fates()) return bank_->shape().fate_words();
  return static_cast<int32_t>(ceil_div(std::max<int64_t>(tokens_, replay_end_), kPageTokens));
}

int64_t CudaSequence::held_bytes() const {
  const auto windows = std::ssize(tables_.window) - std::ranges::count(tables_.window, kNoPage);
  int64_t survivors = 0;
  for (const int32_t count : tables_.survivors) survivors += ceil_div(count, kPageTokens);
  return windows * bank_->shape().window_page_bytes() +
         survivors * bank_->shape().survivor_page_bytes();
}

int64_t CudaSequence::table_bytes() const {
  const size_t words = tables_.window.size() + tables_.survivors.size() +
                       tables_.survivor_pages.size() + tables_.fates.size();
  return static_cast<int64_t>(sizeof(*this) + words * sizeof(uint32_t)) +
         (slot_ >= 0 ? bank_->table_bytes() : 0);
}

bool CudaSequence::can_truncate(int64_t tokens) const {
  return tokens >= tokens_ || plan_->keeps_all() ||
         std::max<int64_t>(tokens - exact_tokens(), 0) >= sealed_end_;
}

void CudaSequence::truncate(int64_t tokens) {
  ensure(tokens <= tokens_ && can_truncate(tokens), "truncation needs recomputation");
  if (tokens == tokens_) return;
  if (tokens < sealed_end_) drop_survivors_from(tokens);
  const int64_t decided = std::max<int64_t>(tokens - plan_->shift(), 0);
  if (!plan_->knows_fates()) {
    const auto end = static_cast<int32_t>(std::max<int64_t>(tokens_, replay_end_));
    if (slot_ >= 0) {
      bank_->clear_fates(slot_, static_cast<int32_t>(decided), end);
    } else {
      clear_fates_from(decided, tables_.fate_columns, tables_.fates);
    }
    replay_end_ = std::min(replay_end_, static_cast<int32_t>(decided));
  }
  tokens_ = tokens;
  load_state();
}

/// All are held as they were, in the order of their positions.
void CudaSequence::drop_survivors_from(int64_t tokens) {
  park();
  const auto columns = static_cast<size_t>(tables_.survivor_columns);
  const int64_t kept_pages = ceil_div(tokens, kPageTokens);
  for (size_t head = 0; head < tables_.survivors.size(); ++head) {
    const int64_t pages = ceil_div(tables_.survivors[head], kPageTokens);
    for (int64_t page = kept_pages; page < pages; ++page) {
      store_->release(tables_.survivor_pages[head * columns + static_cast<size_t>(page)]);
    }
    tables_.survivors[head] = static_cast<int32_t>(tokens);
  }
  sealed_end_ = static_cast<int32_t>(tokens);
}

void CudaSequence::restart(int64_t tokens) {
  if (!leave_slot()) {
    tokens = 0;
    begin_fates();
  }
  if (!plan_->knows_fates()) {
    // In the midst of a replay more is known than what has been computed again.
    const int64_t known = std::max<int64_t>(replay_end_, tokens_ - plan_->shift());
    const int64_t decided = std::min(known, std::max<int64_t>(tokens - plan_->shift(), 0));
    clear_fates_from(decided, tables_.fate_columns, tables_.fates);
    replay_end_ = static_cast<int32_t>(decided);
  }
  drop_pages();
  tokens_ = 0;
  sealed_end_ = 0;
}

std::unique_ptr<engine::SequenceState> CudaSequence::fork() const {
  park();
  std::unique_ptr<CudaSequence> copy(new CudaSequence(*this));
  for (const PageNumber page : live_window_pages()) store_->share(page);
  for (const PageNumber page : live_survivor_pages()) store_->share(page);
  return copy;
}

std::vector<uint32_t> CudaSequence::fates(int32_t first, int32_t columns) const {
  if (slot_ >= 0) return bank_->fates(slot_, first, columns);
  return columns_of(
      {.words = tables_.fates, .rows = heads(), .columns = tables_.fate_columns}, first, columns);
}

std::vector<PageNumber> CudaSequence::live_window_pages() const {
  std::vector<PageNumber> pages;
  for (const PageNumber page : tables_.window) {
    if (page != kNoPage) pages.push_back(page);
  }
  return pages;
}

/// While it is parked; head by head.
std::vector<PageNumber> CudaSequence::live_survivor_pages() const {
  std::vector<PageNumber> pages;
  const int64_t columns = tables_.survivor_columns;
  for (int64_t head = 0; head < heads(); ++head) {
    const auto first = tables_.survivor_pages.begin() + head * columns;
    const int64_t count = ceil_div(tables_.survivors[static_cast<size_t>(head)], kPageTokens);
    pages.insert(pages.end(), first, first + count);
  }
  return pages;
}

/// Gives all pages back.
void CudaSequence::drop_pages() {
  for (const PageNumber page : live_window_pages()) store_->release(page);
  for (const PageNumber page : live_survivor_pages()) store_->release(page);
  std::ranges::fill(tables_.window, kNoPage);
  std::ranges::fill(tables_.survivors, 0);
  tables_.survivor_pages.clear();
  tables_.survivor_columns = 0;
}

/// Of the page'th 32 tokens.
PageNumber& CudaSequence::window_page(int32_t head, int64_t page) const {
  const int64_t ring = bank_->shape().ring_pages;
  return tables_.window[static_cast<size_t>(head * ring + page % ring)];
}

/// The page that the next survivor of a head joins, while parked; null: it begins one.
PageNumber* CudaSequence::last_partial_page(int32_t head) const {
  const int32_t count = tables_.survivors[static_cast<size_t>(head)];
  if (count % kPageTokens == 0) return nullptr;
  return &tables_.survivor_pages[static_cast<size_t>(head * tables_.survivor_columns +
                                                     count / kPageTokens)];
}

int32_t CudaSequence::sealed_end_after(int64_t count) const {
  const int64_t end = tokens_ + count - plan_->window() - kSlack;
  return static_cast<int32_t>(std::max<int64_t>(end, sealed_end_));
}

int64_t CudaSequence::first_grown_page(int64_t count, Rows rows) const {
  // Of a chunk, what is sealed at once never lies in the window; and a row that decodes seals
  // before it is appended.
  const int64_t begin = rows == Rows::chunk ? sealed_end_after(count) : sealed_end_after(0);
  const int64_t end = ceil_div(tokens_ + count, kPageTokens);
  return std::max<int64_t>(begin / kPageTokens, end - bank_->shape().ring_pages);
}

SequenceDemand CudaSequence::demand(int64_t count, Rows rows) const {
  SequenceDemand demand;
  const int32_t sealed = sealed_end_after(count);
  const int64_t begin = first_grown_page(count, rows);
  const int64_t end = ceil_div(tokens_ + count, kPageTokens);
  for (int64_t page = begin; page < end; ++page) {  // all heads have the same
    const PageNumber number = window_page(0, page);
    const bool is_written = page >= tokens_ / kPageTokens;
    const bool is_new = number == kNoPage || (is_written && store_->is_shared(number));
    if (is_new) demand.window_pages += heads();
  }
  for (const int64_t survivors : tables_.survivors) {
    demand.ahead +=
        ceil_div(survivors + sealed - sealed_end_, kPageTokens) - ceil_div(survivors, kPageTokens);
  }
  if (slot_ >= 0) return demand;
  for (int32_t head = 0; head < heads(); ++head) {
    const PageNumber* page = last_partial_page(head);
    demand.survivor_pages += page != nullptr && store_->is_shared(*page) ? 1 : 0;
  }
  return demand;
}

void CudaSequence::grow(int64_t count, Rows rows) {
  const int64_t begin = first_grown_page(count, rows);
  const int64_t end = ceil_div(tokens_ + count, kPageTokens);
  Copies copies;
  for (int32_t head = 0; head < heads(); ++head) {
    for (int64_t page = begin; page < end; ++page) {
      PageNumber& number = window_page(head, page);
      if (number == kNoPage) {
        number = store_->take(bank_->shape().window_page_bytes());
        is_window_loaded_ = false;
      } else if (page >= tokens_ / kPageTokens && store_->is_shared(number)) {
        renew(number, bank_->shape().window_page_bytes(), is_read(page), copies);
        is_window_loaded_ = false;
      }
    }
  }
  store_->copy(copies.from, copies.to, bank_->shape().window_page_bytes());
  for (const PageNumber page : copies.old) store_->release(page);
  if (slot_ < 0) unshare_survivors();
}

/// Whether something lies where the page'th 32 tokens are to be written that is still read: the
/// first of them, or those of a turn of the ring before, until they are sealed.
bool CudaSequence::is_read(int64_t page) const {
  const bool is_begun = page * kPageTokens < tokens_;
  const int64_t lying = is_begun ? page : page - bank_->shape().ring_pages;
  return (lying + 1) * kPageTokens > sealed_end_;
}

/// In the place of a page that others have too, one of its own.
void CudaSequence::renew(PageNumber& number, int32_t bytes, bool is_read, Copies& copies) {
  const PageNumber fresh = store_->take(bytes);
  if (is_read) {
    copies.from.push_back(number);
    copies.to.push_back(fresh);
  }
  copies.old.push_back(number);
  number = fresh;
}

/// Those that the next survivors join.
void CudaSequence::unshare_survivors() {
  Copies copies;
  const int32_t bytes = bank_->shape().survivor_page_bytes();
  for (int32_t head = 0; head < heads(); ++head) {
    PageNumber* page = last_partial_page(head);
    if (page != nullptr && store_->is_shared(*page)) renew(*page, bytes, true, copies);
  }
  store_->copy(copies.from, copies.to, bytes);
  for (const PageNumber page : copies.old) store_->release(page);
}

void CudaSequence::enter(int32_t slot) {
  ensure(slot_ < 0, "a sequence has one slot");
  bank_->load(slot, tables_);
  is_window_loaded_ = true;
  bank_->occupants()[static_cast<size_t>(slot)] = this;
  slot_ = slot;
  tables_.survivor_pages.clear();
  tables_.survivor_columns = 0;
  tables_.fates.clear();
  tables_.fate_columns = 0;
  load_state();
}

void CudaSequence::park() const {
  if (slot_ < 0) return;
  const int32_t most = std::ranges::max(tables_.survivors);
  const auto columns = static_cast<int32_t>(ceil_div(most, kPageTokens));
  std::vector<PageNumber> pages = bank_->survivor_pages(slot_, columns);
  std::vector<uint32_t> fates = bank_->fates(slot_, 0, fate_columns());
  tables_.survivor_pages = std::move(pages);
  tables_.survivor_columns = columns;
  tables_.fates = std::move(fates);
  tables_.fate_columns = fate_columns();
  bank_->occupants()[static_cast<size_t>(slot_)] = nullptr;
  slot_ = -1;
}

/// As park(), also where the device has failed. False: what only the device knows is lost, the
/// pages of survivors among it, as all that lies there.
bool CudaSequence::leave_slot() noexcept {
  try {
    park();
    return true;
  } catch (...) {
    bank_->occupants()[static_cast<size_t>(slot_)] = nullptr;
    slot_ = -1;
    std::ranges::fill(tables_.survivors, 0);
    return false;
  }
}

/// Tells the slot, if there is one.
void CudaSequence::load_state() const {
  if (slot_ < 0) return;
  bank_->set(slot_,
             {.tokens = static_cast<int32_t>(tokens_),
              .sealed_end = sealed_end_,
              .window = plan_->window(),
              .slack = kSlack,
              .replay_end = replay_end_});
}

void CudaSequence::prepare_step() {
  if (is_window_loaded_) return;
  bank_->load_window(slot_, tables_);
  is_window_loaded_ = true;
}

void CudaSequence::advance(int64_t count, Rows rows) {
  sealed_end_ = sealed_end_after(rows == Rows::chunk ? count : count - 1);
  tokens_ += count;
  bank_->note(slot_, static_cast<int32_t>(tokens_), sealed_end_);
}

void CudaSequence::learn(std::span<const int32_t> survivors) {
  std::ranges::copy(survivors, tables_.survivors.begin());
}

}  // namespace dms::cuda
