// What a store reads of its own bytes, and what it refuses.

#include <algorithm>

#include <gtest/gtest.h>

#include "cache/ordered_store.h"
#include "dms/error.h"

namespace dms::cache {
namespace {

const kernels::KvPageLayout kLayout{.format = kernels::KvFormat::f32, .head_dim = 2};

TEST(OrderedStore, RefusesAPageThatExpiredBeforeItWasFull) {
  constexpr int64_t kKept = 40;  // a page and a quarter
  MemoryBudget budget;
  PagePool pool(kLayout.bytes(), budget);
  const FateLog none_evicted;
  for (const int64_t expired : {0, 1, 2}) {
    std::vector<Page> pages;
    for (int64_t page = expired; page < 2; ++page) pages.push_back(pool.allocate());
    for (Page& page : pages) std::ranges::fill(page.bytes(), std::byte{0});
    ByteWriter out;
    out.value(expired);
    write_pages(pages, out);
    ByteReader in(out.data(), "saved");
    OrderedStore store(kLayout, pool);
    const Sealed sealed{.fates = none_evicted, .end = kKept};
    if (expired == 2) {
      EXPECT_THROW(store.read(in, sealed), InputError);
    } else {
      store.read(in, sealed);
      EXPECT_EQ(store.page_need(1), 0) << "the last page has room";
    }
  }
}

}  // namespace
}  // namespace dms::cache
