#include "cache/survivor_store.h"

#include <algorithm>

#include "base/check.h"

namespace dms::cache {

using kernels::kPageTokens;

void SurvivorStore::drop_evicted(const Sealed&) { ensure(false, "a store that drops entries"); }

void SurvivorStore::visit(const std::function<void(int64_t, const StoredToken&)>&) const {
  ensure(false, "a store that knows its entries' positions");
}

void SurvivorStore::share_pages(const SurvivorStore& from) {
  for (const Page& page : from.pages_) pages_.push_back(page.share());
  count_ = from.count_;
}

void SurvivorStore::append_token(const StoredToken& token) {
  const int64_t slot = count_ % kPageTokens;
  if (slot == 0) {
    pages_.push_back(pool_->allocate());
  } else {
    pages_.back().unshare();
  }
  const std::span<std::byte> target = pages_.back().bytes();
  if (token.layout == layout_) {
    kernels::copy_token(layout_, token.page, token.slot, target, slot);
  } else {
    thread_local std::vector<float> key;
    thread_local std::vector<float> value;
    key.resize(static_cast<size_t>(layout_.head_dim));
    value.resize(key.size());
    kernels::load_token(token.layout, token.page, token.slot, key, value);
    kernels::store_token(layout_, target, slot, key, value);
  }
  ++count_;
}

int64_t SurvivorStore::page_need(int64_t count) const {
  if (count == 0) return 0;
  const int64_t slot = count_ % kPageTokens;
  const bool writes_on = slot > 0 && !pages_.back().is_shared();
  return ceil_div(slot + count, kPageTokens) - (writes_on ? 1 : 0);
}

int64_t SurvivorStore::shared_pages() const {
  return std::ranges::count_if(pages_, [](const Page& page) { return page.is_shared(); });
}

int64_t SurvivorStore::table_bytes() const {
  return std::ssize(pages_) * static_cast<int64_t>(sizeof(Page));
}

}  // namespace dms::cache
