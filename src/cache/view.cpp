#include "cache/view.h"

namespace dms::cache {

void TilePages::clear() {
  pages.clear();
  masks.clear();
  runs.clear();
  positions.clear();
  merged.clear();
  block = {};
  block_is_far = false;
  block_first_seen.clear();
}

void TilePages::add_positions(std::span<const int32_t> of_page) {
  positions.insert(positions.end(), of_page.begin(), of_page.end());
  positions.resize(pages.size() * static_cast<size_t>(kernels::kPageTokens));
}

void TilePages::close_run(const kernels::KvPageLayout& layout) {
  const int64_t begin = runs.empty() ? 0 : runs.back().end;
  const auto end = std::ssize(pages);
  if (begin == end) return;
  if (!runs.empty() && runs.back().layout == layout) {
    runs.back().end = end;
  } else {
    runs.push_back({.layout = layout, .begin = begin, .end = end});
  }
}

}  // namespace dms::cache
