#include "train/data/sample_index.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOrder = "order.bin";
constexpr const char* kStarts = "starts.bin";

int64_t described_samples(const Json& description, const fs::path& folder) {
  return JsonFields(description, (folder / "stage.json").string())
      .integer("samples", 0, int64_t{1} << 48);
}

}  // namespace

Json write_sample_index(const fs::path& folder,
                        const TokenStore& store,
                        const PackSettings& settings) {
  std::vector<int64_t> order(static_cast<size_t>(store.documents()));
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random(settings.shuffle_seed, "order of documents");
  shuffle(std::span(order), random);
  Packing packing = pack(order, store.offsets(), settings.max_length, settings.rule);
  // Long documents make many samples in a row; a batch should not hold one document's only.
  shuffle(std::span(packing.starts), random);
  ArrayWriter order_file(folder / kOrder);
  order_file.write<int64_t>(order);
  order_file.close();
  ArrayWriter starts_file(folder / kStarts);
  starts_file.write<SampleStart>(packing.starts);
  starts_file.close();
  return {{"samples", packing.starts.size()},
          {"tokens_cut", packing.tokens_cut},
          {"tokens_left", packing.tokens_left}};
}

SampleIndex::SampleIndex(const fs::path& folder,
                         const Json& description,
                         std::shared_ptr<const TokenStore> store,
                         int64_t max_length)
    : store_(std::move(store)),
      max_length_(max_length),
      order_(folder / kOrder, store_->documents()),
      starts_(folder / kStarts, described_samples(description, folder)) {
  const int64_t documents = store_->documents();
  const auto is_document = [&](int64_t value) { return value >= 0 && value < documents; };
  order_.walk([&](std::span<const int64_t> piece) {
    if (std::ranges::all_of(piece, is_document)) return;
    throw_damaged(order_.path(), "a document that does not exist");
  });
  starts_.walk([&](std::span<const SampleStart> piece) {
    if (std::ranges::all_of(piece, is_document, &SampleStart::position)) return;
    throw_damaged(starts_.path(), "a sample that begins at no document");
  });
}

Sample SampleIndex::sample(int64_t index) const {
  ensure(index >= 0 && index < samples(), "a sample of the index");
  auto [position, skip] = starts_.at(index);
  Sample sample;
  sample.ids.reserve(static_cast<size_t>(max_length_));
  sample.loss.reserve(static_cast<size_t>(max_length_));
  int64_t missing = max_length_;
  while (missing > 0) {
    if (position >= order_.size()) {
      throw_damaged(starts_.path(), "a sample beyond the last document");
    }
    const int64_t document = order_.at(position);
    const int64_t begin = store_->offset(document);
    const int64_t length = store_->offset(document + 1) - begin;
    if (skip < 0 || skip >= length) {
      throw_damaged(starts_.path(), "a sample that begins beyond its document");
    }
    const int64_t taken = std::min(missing, length - skip);
    store_->read(begin + skip, taken, sample);
    missing -= taken;
    skip = 0;
    ++position;
  }
  return sample;
}

}  // namespace dms::train::data
