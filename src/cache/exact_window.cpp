#include "cache/exact_window.h"

#include <algorithm>

#include "base/check.h"

namespace dms::cache {

using kernels::kPageTokens;

ExactWindow ExactWindow::fork() const {
  ExactWindow copy(layout_, *pool_);
  for (const Page& page : pages_) copy.pages_.push_back(page.share());
  copy.first_page_ = first_page_;
  copy.begin_ = begin_;
  return copy;
}

std::span<const std::byte> ExactWindow::page(int64_t page) const {
  return pages_[static_cast<size_t>(page - first_page_)].bytes();
}

void ExactWindow::store(int64_t position,
                        std::span<const float> key,
                        std::span<const float> value) {
  const int64_t page = position / kPageTokens;
  if (pages_.empty()) {
    first_page_ = page;
    begin_ = position;
  }
  if (page == first_page_ + std::ssize(pages_)) {
    pages_.push_back(pool_->allocate());
    std::ranges::fill(pages_.back().bytes(), std::byte{0});  // masked slots must be finite
  }
  Page& target = pages_[static_cast<size_t>(page - first_page_)];
  target.unshare();
  kernels::store_token(layout_, target.bytes(), position % kPageTokens, key, value);
}

void ExactWindow::drop_before(int64_t position) {
  const int64_t pages =
      std::clamp<int64_t>(position / kPageTokens - first_page_, 0, std::ssize(pages_));
  pages_.erase(pages_.begin(), pages_.begin() + pages);
  first_page_ += pages;
  begin_ = std::max(begin_, first_page_ * kPageTokens);
}

void ExactWindow::truncate(int64_t position) {
  while (!pages_.empty() && (first_page_ + std::ssize(pages_) - 1) * kPageTokens >= position) {
    pages_.pop_back();
  }
}

int64_t ExactWindow::first_page_for(int64_t position) const {
  return pages_.empty() ? position / kPageTokens : first_page_;
}

bool ExactWindow::is_shared(int64_t page) const {
  return page < std::ssize(pages_) && pages_[static_cast<size_t>(page)].is_shared();
}

int64_t ExactWindow::page_need(int64_t position, int64_t count) const {
  const int64_t first = first_page_for(position);
  const int64_t pages = ceil_div(position + count, kPageTokens) - first;
  const int64_t copied = is_shared(position / kPageTokens - first) ? 1 : 0;
  return std::max<int64_t>(pages - std::ssize(pages_), 0) + copied;
}

int64_t ExactWindow::pages_before(int64_t position, int64_t count, int64_t end) const {
  const int64_t first = first_page_for(position);
  const int64_t pages =
      std::min(end / kPageTokens, ceil_div(position + count, kPageTokens)) - first;
  int64_t own = 0;
  for (int64_t page = 0; page < pages; ++page) own += is_shared(page) ? 0 : 1;
  return own;
}

void ExactWindow::write(ByteWriter& out) const {
  out.value(begin_);
  write_pages(pages_, out);
}

void ExactWindow::read(ByteReader& in, int64_t tokens) {
  begin_ = in.number(0, tokens, "the window's first position");
  first_page_ = begin_ / kPageTokens;
  pages_ = read_pages(in, *pool_);
  const int64_t pages = ceil_div(tokens, kPageTokens) - first_page_;
  in.require(pages_.empty() || std::ssize(pages_) == pages, "a window of another length");
}

}  // namespace dms::cache
