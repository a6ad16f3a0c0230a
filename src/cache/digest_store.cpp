#include "cache/digest_store.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "cache/page_bits.h"

namespace dms::cache {

using kernels::kPageTokens;

namespace {

void require_rising(ByteReader& in, std::span<const int32_t> positions, int64_t end) {
  const bool is_rising =
      std::ranges::adjacent_find(positions, std::ranges::greater()) == positions.end();
  const bool is_inside = positions.empty() || (positions.front() >= 0 && positions.back() < end);
  in.require(is_rising && is_inside, "a digest of tokens that are not there");
}

}  // namespace

MergedPages MergedPages::fork() const {
  MergedPages copy(layout_, *pool_);
  for (const Page& page : pages_) copy.pages_.push_back(page.share());
  copy.positions_ = positions_;
  copy.counts_ = counts_;
  copy.log_counts_ = log_counts_;
  return copy;
}

void MergedPages::hold(const MergedEntries& entries) {
  const int64_t pages = ceil_div(entries.count(), kPageTokens);
  std::erase_if(pages_, [](const Page& page) { return page.is_shared(); });
  if (std::ssize(pages_) > pages) pages_.resize(static_cast<size_t>(pages));
  while (std::ssize(pages_) < pages) pages_.push_back(pool_->allocate());
  const auto head_dim = static_cast<size_t>(layout_.head_dim);
  for (int64_t page = 0; page < pages; ++page) {
    const int64_t first = page * kPageTokens;
    const auto at = static_cast<size_t>(first) * head_dim;
    kernels::store_tokens(layout_,
                          pages_[static_cast<size_t>(page)].bytes(),
                          0,
                          {.keys = std::span(entries.keys).subspan(at),
                           .values = std::span(entries.values).subspan(at),
                           .token_stride = layout_.head_dim,
                           .count = std::min(kPageTokens, entries.count() - first)});
  }
  positions_ = entries.positions;
  counts_ = entries.counts;
  take_logs();
}

void MergedPages::take_logs() {
  log_counts_.assign(pages_.size() * static_cast<size_t>(kPageTokens), 0.0f);
  std::ranges::transform(counts_, log_counts_.begin(), [](int32_t count) {
    return std::log(static_cast<float>(count));
  });
}

MergedEntries MergedPages::load() const {
  MergedEntries entries{.positions = positions_, .counts = counts_, .keys = {}, .values = {}};
  const auto head_dim = static_cast<size_t>(layout_.head_dim);
  entries.keys.resize(positions_.size() * head_dim);
  entries.values.resize(entries.keys.size());
  for (size_t i = 0; i < positions_.size(); ++i) {
    const auto slot = static_cast<int64_t>(i);
    kernels::load_token(layout_,
                        pages_[static_cast<size_t>(slot / kPageTokens)].bytes(),
                        slot % kPageTokens,
                        std::span(entries.keys).subspan(i * head_dim, head_dim),
                        std::span(entries.values).subspan(i * head_dim, head_dim));
  }
  return entries;
}

void MergedPages::gather(const QueryTile& tile,
                         const Visibility& visibility,
                         bool far,
                         TilePages& out) const {
  for (int64_t page = 0; page < page_count(); ++page) {
    const auto base = static_cast<size_t>(page * kPageTokens);
    const auto used = static_cast<size_t>(std::min(kPageTokens, count() - page * kPageTokens));
    const auto entries = std::span(positions_).subspan(base, used);
    kernels::PageRef ref{.data = pages_[static_cast<size_t>(page)].bytes().data(), .far = far};
    if (std::ssize(entries) < kPageTokens || visibility.sliding_window > 0) {
      ref.masks = out.masks.data() + out.masks.size();
      for (int64_t t = tile.first; t < tile.first + tile.positions; ++t) {
        const int64_t first_seen =
            visibility.sliding_window > 0 ? t - visibility.sliding_window + 1 : 0;
        const auto hidden = std::ranges::lower_bound(entries, first_seen) - entries.begin();
        out.masks.push_back(low_bits(std::ssize(entries)) & bits_from(hidden));
      }
    }
    out.merged.push_back(
        {.page = std::ssize(out.pages), .log_counts = std::span(log_counts_).subspan(base, 32)});
    out.pages.push_back(ref);
    if (visibility.positions) out.add_positions(entries);
  }
}

void MergedPages::write(ByteWriter& out) const {
  out.list(std::span(positions_));
  out.list(std::span(counts_));
  write_pages(pages_, out);
}

void MergedPages::read(ByteReader& in, int64_t end) {
  positions_ = in.list<int32_t>();
  counts_ = in.list<int32_t>();
  require_rising(in, positions_, end);
  in.require(counts_.size() == positions_.size() &&
                 std::ranges::all_of(counts_, [](int32_t count) { return count > 0; }),
             "a count for each entry of a digest");
  in.require(std::accumulate(counts_.begin(), counts_.end(), int64_t{0}) <= end,
             "a digest of more tokens than there are");
  pages_ = read_pages(in, *pool_);
  in.require(std::ssize(pages_) == ceil_div(count(), kPageTokens), "a digest of another size");
  take_logs();
}

int64_t MergedPages::own_pages() const {
  return std::ranges::count_if(pages_, [](const Page& page) { return !page.is_shared(); });
}

int64_t MergedPages::table_bytes() const {
  return std::ssize(pages_) * static_cast<int64_t>(sizeof(Page)) +
         static_cast<int64_t>(positions_.capacity() + counts_.capacity() + log_counts_.capacity()) *
             4;
}

void FactorStore::hold(std::span<const float> values, kernels::PageFormat format) {
  // What is more than they need is given back.
  if (bits_.capacity() > values.size()) bits_ = std::vector<uint16_t>();
  if (floats_.capacity() > values.size()) floats_ = std::vector<float>();
  bits_.clear();
  floats_.clear();
  if (format == kernels::KvFormat::f32) {
    floats_.assign(values.begin(), values.end());
  } else {
    bits_.resize(values.size());
    kernels::narrow_factor(values, bits_);
  }
}

void FactorStore::load(std::vector<float>& out) const {
  out.assign(floats_.begin(), floats_.end());
  if (bits_.empty()) return;
  out.resize(bits_.size());
  kernels::widen_factor(bits_, out);
}

void FactorStore::write(ByteWriter& out) const {
  out.list(std::span(bits_));
  out.list(std::span(floats_));
}

void FactorStore::read(ByteReader& in, int64_t count, kernels::PageFormat format) {
  bits_ = in.list<uint16_t>();
  floats_ = in.list<float>();
  const bool is_f32 = format == kernels::KvFormat::f32;
  in.require(
      std::ssize(floats_) == (is_f32 ? count : 0) && std::ssize(bits_) == (is_f32 ? 0 : count),
      "a factor of another size");
}

void StoredBlock::hold(const Digest& digest, kernels::PageFormat format) {
  const LowRankBlock& block = digest.block;
  rank = block.rank;
  positions = block.positions;
  key_rows.hold(block.key_rows, format);
  key_basis.hold(block.key_basis, format);
  value_rows.hold(block.value_rows, format);
  value_basis.hold(block.value_basis, format);
  shifted_basis.hold(digest.shifted.key_basis, format);
}

void StoredBlock::load(LowRankBlock& out) const {
  out.rank = rank;
  out.positions = positions;
  key_rows.load(out.key_rows);
  key_basis.load(out.key_basis);
  value_rows.load(out.value_rows);
  value_basis.load(out.value_basis);
}

BlockView StoredBlock::view() const {
  const bool is_shifted = shifted_basis.view().count() > 0;
  return {.rank = rank,
          .positions = positions,
          .key_rows = key_rows.view(),
          .key_basis = (is_shifted ? shifted_basis : key_basis).view(),
          .value_rows = value_rows.view(),
          .value_basis = value_basis.view()};
}

void StoredBlock::write(ByteWriter& out) const {
  out.value(rank);
  out.list(std::span(positions));
  for (const FactorStore* factor :
       {&key_rows, &key_basis, &value_rows, &value_basis, &shifted_basis}) {
    factor->write(out);
  }
}

void StoredBlock::read(ByteReader& in,
                       int64_t tokens,
                       const kernels::KvPageLayout& layout,
                       bool is_shifted) {
  rank = in.number(0, layout.head_dim, "the rank of a block");
  positions = in.list<int32_t>();
  require_rising(in, positions, tokens);
  in.require(positions.empty() == (rank == 0), "a block without a rank");
  const int64_t rows = rank * std::ssize(positions);
  const int64_t basis = rank * layout.head_dim;
  key_rows.read(in, rows, layout.format);
  key_basis.read(in, basis, layout.format);
  value_rows.read(in, rows, layout.format);
  value_basis.read(in, basis, layout.format);
  shifted_basis.read(in, is_shifted ? basis : 0, layout.format);
}

int64_t StoredBlock::bytes() const {
  return static_cast<int64_t>(positions.capacity() * sizeof(int32_t)) + key_rows.bytes() +
         key_basis.bytes() + value_rows.bytes() + value_basis.bytes() + shifted_basis.bytes();
}

DigestStore DigestStore::fork() const {
  DigestStore copy(layout_, merged_.pool());
  copy.merged_ = merged_.fork();
  copy.shifted_ = shifted_.fork();
  copy.block_ = block_;
  copy.shifted_end_ = shifted_end_;
  copy.dropped_ = dropped_;
  return copy;
}

void DigestStore::hold(const Digest& digest) {
  merged_.hold(digest.merged);
  shifted_.hold(digest.shifted.entries);
  block_.hold(digest, layout_.format);
  shifted_end_ = digest.shifted.end;
  dropped_ = digest.dropped;
}

Digest DigestStore::load() const {
  Digest digest{.merged = merged_.load(), .block = {}, .dropped = dropped_, .shifted = {}};
  block_.load(digest.block);
  return digest;
}

void DigestStore::gather(const QueryTile& tile,
                         const Visibility& visibility,
                         TilePages& out) const {
  const bool is_shifted = shifted_end_ > 0;
  (is_shifted ? shifted_ : merged_).gather(tile, visibility, is_shifted, out);
  if (block_.positions.empty()) return;
  out.block = block_.view();
  out.block_is_far = is_shifted;
  if (visibility.sliding_window == 0) return;
  for (int64_t t = tile.first; t < tile.first + tile.positions; ++t) {
    const int64_t first_seen = t - visibility.sliding_window + 1;
    out.block_first_seen.push_back(std::ranges::lower_bound(block_.positions, first_seen) -
                                   block_.positions.begin());
  }
}

void DigestStore::write(ByteWriter& out) const {
  merged_.write(out);
  shifted_.write(out);
  out.value(shifted_end_);
  out.value(dropped_);
  block_.write(out);
}

void DigestStore::read(ByteReader& in, int64_t tokens) {
  merged_.read(in, tokens);
  shifted_.read(in, tokens);
  shifted_end_ = in.number(0, tokens, "the end of what is shifted");
  dropped_ = in.number(0, tokens, "the number of dropped tokens");
  block_.read(in, tokens, layout_, shifted_end_ > 0);
}

int64_t DigestStore::page_need(int64_t pages) const {
  return std::max<int64_t>(pages - merged_.own_pages() - shifted_.own_pages(), 0);
}

int64_t DigestStore::held_entries() const {
  const int64_t of_block =
      block_.rank == 0 ? 0
                       : equal_entries(block_.rank, std::ssize(block_.positions), layout_.head_dim);
  return merged_.count() + shifted_.count() + of_block;
}

int64_t DigestStore::most_table_bytes(int64_t pages) {
  constexpr int64_t kEntryBytes = 2 * sizeof(int32_t) + sizeof(float);  // position, count, its log
  return pages * (static_cast<int64_t>(sizeof(Page)) + kPageTokens * kEntryBytes);
}

int64_t DigestStore::table_bytes() const {
  return merged_.table_bytes() + shifted_.table_bytes() + block_.bytes();
}

}  // namespace dms::cache
