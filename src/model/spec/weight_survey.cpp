#include "model/spec/weight_survey.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "dms/error.h"
#include "model/spec/note.h"
#include "model/spec/quantised_weight.h"
#include "model/spec/tensor_files.h"
#include "model/spec/weight_files.h"
#include "model/spec/weights.h"

namespace dms {
namespace {

constexpr int64_t kBlockItems = int64_t{1} << 18;
constexpr size_t kShownNames = 3;
constexpr size_t kShownLength = 80;

// Buffers that older programs saved and every reader computes for itself.
constexpr std::array<std::string_view, 6> kBuffers{"rotary_emb.inv_freq",
                                                   "rotary_emb.cos_cached",
                                                   "rotary_emb.sin_cached",
                                                   "position_ids",
                                                   ".masked_bias",
                                                   ".attn.bias"};

std::string_view name_of(WeightRole role, const ModelSpec& spec) {
  const auto it = std::ranges::find(spec.weight_patterns, role, &WeightPattern::role);
  return it == spec.weight_patterns.end() ? std::string_view() : it->name;
}

/// Compares `count` items that `read(tensor, first, items)` gives: in blocks, so that neither
/// tensor is ever whole in memory.
template <class Item, class Read>
bool are_equal(const LocatedTensor& a, const LocatedTensor& b, int64_t count, Read read) {
  std::vector<Item> left(static_cast<size_t>(std::min(count, kBlockItems)));
  std::vector<Item> right(left.size());
  for (int64_t first = 0; first < count; first += kBlockItems) {
    const auto size = static_cast<size_t>(std::min(kBlockItems, count - first));
    const std::span<Item> left_items = std::span(left).first(size);
    const std::span<Item> right_items = std::span(right).first(size);
    read(a, first, left_items);
    read(b, first, right_items);
    if (!std::ranges::equal(left_items, right_items)) return false;
  }
  return true;
}

/// Bytes of one type, values of two.
bool are_equal(const LocatedTensor& a, const LocatedTensor& b) {
  if (a.entry->shape != b.entry->shape) return false;
  if (a.entry->dtype == b.entry->dtype) {
    const auto read = [](const LocatedTensor& tensor, int64_t first, std::span<std::byte> out) {
      tensor.file->read(*tensor.entry, first, out);
    };
    return are_equal<std::byte>(a, b, a.entry->bytes, read);
  }
  const std::optional<DType> type = parse_dtype(a.entry->dtype);
  if (!type || !parse_dtype(b.entry->dtype)) return false;
  return are_equal<float>(a, b, a.entry->bytes / dtype_bytes(*type), read_values);
}

/// transformers 5 and vLLM do the same.
void untie_own_head(const TensorFiles& files, ModelSpec& spec) {
  if (!spec.tied_head) return;
  const LocatedTensor* head = files.find(name_of(WeightRole::head, spec));
  const LocatedTensor* embedding = files.find(name_of(WeightRole::embedding, spec));
  if (head == nullptr || embedding == nullptr) return;
  if (are_equal(*head, *embedding)) return;
  spec.tied_head = false;
  add_note(spec,
           {.where = head->file->path().string() + ": tensor " +
                     std::string(name_of(WeightRole::head, spec)),
            .what = "is used, since it differs from the embedding that config.json ties it to",
            .hint = "set tie_word_embeddings to false in config.json"});
}

bool is_buffer(std::string_view name) {
  return std::ranges::any_of(kBuffers, [&](std::string_view end) { return name.ends_with(end); });
}

std::vector<std::string> unread(const TensorFiles& files, const ModelSpec& spec) {
  std::set<std::string, std::less<>> read;
  for (const WeightName& weight : weight_names(spec)) {
    read.insert(weight.name);
    if (!spec.quantisation) continue;
    for (std::string& name : quantised_names(weight, spec.quantisation->method)) {
      read.insert(std::move(name));
    }
  }
  read.emplace(name_of(WeightRole::head, spec));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : files.all()) {
    if (!read.contains(name) && !is_buffer(name)) names.push_back(name);
  }
  return names;
}

}  // namespace

void note_unread(const std::vector<std::string>& names,
                 const std::string& where,
                 std::string_view asking,
                 ModelSpec& spec) {
  if (names.empty()) return;
  std::string shown;
  for (size_t i = 0; i < std::min(names.size(), kShownNames); ++i) {
    shown += (shown.empty() ? "" : ", ") + names[i].substr(0, kShownLength);
  }
  if (names.size() > kShownNames) shown += ", ...";
  add_note(
      spec,
      {.where = where,
       .what = std::to_string(names.size()) + (names.size() == 1 ? " tensor is" : " tensors are") +
               " not used, since " + std::string(asking) + " asks for no such weight",
       .got = shown});
}

void survey_weights(const std::filesystem::path& folder, ModelSpec& spec) {
  try {
    const std::optional<WeightFiles> found = find_weight_files(folder);
    if (!found) return;
    const TensorFiles files(found->paths);
    untie_own_head(files, spec);
    note_unread(unread(files, spec),
                found->index ? folder.string() : found->paths.front().string(),
                "config.json",
                spec);
  } catch (const InputError&) {
    return;
  }
}

}  // namespace dms
