// Compressors that a program has registered (dms/compressor.h), and what holds of their results.

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <numeric>
#include <utility>

#include "dms/compressor.h"
#include "dms/error.h"
#include "policy/adms/compressor.h"

namespace dms {
namespace {

/// All that are registered, and who may touch them.
struct Registry {
  std::mutex mutex;
  std::map<std::string, Compressor> compressors;
};

Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

void register_compressor(const std::string& name, Compressor compressor) {
  Registry& all = registry();
  const std::scoped_lock lock(all.mutex);
  if (!compressor) {
    throw InputError({.where = "register_compressor", .what = "no function", .got = name});
  }
  all.compressors[name] = std::move(compressor);
}

namespace policy {
namespace {

dms::Compressor find_compressor(const std::string& name) {
  Registry& all = registry();
  const std::scoped_lock lock(all.mutex);
  const auto found = all.compressors.find(name);
  if (found != all.compressors.end()) return found->second;
  std::string known;
  for (const auto& [each, compressor] : all.compressors) {
    known += (known.empty() ? "one of " : ", ") + each;
  }
  throw InputError(
      {.field = "policy_args.compressor",
       .what = "no compressor of this name is registered",
       .got = name.empty() ? "none" : name,
       .expected = known.empty() ? "a name given to dms::register_compressor()" : known});
}

int64_t sum(std::span<const int32_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

class Custom final : public policy::Compressor {
 public:
  Custom(Merging merging, std::string name)
      : merging_(std::move(merging)), name_(std::move(name)), compress_(find_compressor(name_)) {}

  cache::Digest compress(CompressRequest request) const override {
    const int64_t head_dim = request.leaving.head_dim;
    Points points = merging_.points(request.leaving, request.before.merged);
    const int64_t tokens = points.tokens();
    const MiddleEntries made = call({.positions = std::move(points.positions),
                                     .counts = std::move(points.counts),
                                     .keys = std::move(points.keys),
                                     .values = std::move(points.values)},
                                    head_dim,
                                    request.budget);
    check(made, request, tokens);
    cache::Digest digest;
    digest.dropped = request.before.dropped + tokens - sum(made.counts);
    digest.merged = merging_.place({.positions = made.positions,
                                    .counts = made.counts,
                                    .keys = made.keys,
                                    .values = made.values,
                                    .head_dim = head_dim,
                                    .turns = points.turns},
                                   request.middle);
    return digest;
  }

  int64_t most_merged(int64_t budget) const override { return budget; }

 private:
  /// What it throws says nothing of where it comes from; short memory is not the function's.
  MiddleEntries call(const MiddleEntries& entries, int64_t head_dim, int64_t budget) const {
    try {
      return compress_(entries, head_dim, budget);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      throw RunError({.where = where(), .what = std::string("failed: ") + error.what()});
    } catch (...) {
      throw RunError({.where = where(), .what = "failed: an exception of unknown kind"});
    }
  }

  void check(const MiddleEntries& made, const CompressRequest& request, int64_t tokens) const {
    const auto count = std::ssize(made.positions);
    const int64_t floats = count * request.leaving.head_dim;
    require(count <= request.budget, "more entries than its budget");
    require(std::ssize(made.counts) == count && std::ssize(made.keys) == floats &&
                std::ssize(made.values) == floats,
            "lists of different lengths");
    require(std::ranges::is_sorted(made.positions), "positions that don't rise");
    require(count == 0 || (made.positions.front() >= request.middle.begin &&
                           made.positions.back() < request.middle.end),
            "a position outside the middle");
    require(std::ranges::all_of(made.counts, [](int32_t each) { return each > 0; }) &&
                sum(made.counts) <= tokens,
            "counts of other tokens than it was given");
    const auto is_finite = [](float value) { return std::isfinite(value); };
    require(
        std::ranges::all_of(made.keys, is_finite) && std::ranges::all_of(made.values, is_finite),
        "numbers that are infinite or none");
  }

  void require(bool holds, const char* what) const {
    if (holds) return;
    throw RunError({.where = where(), .what = std::string("returned ") + what});
  }

  std::string where() const { return "compressor " + name_; }

  Merging merging_;
  std::string name_;
  dms::Compressor compress_;
};

}  // namespace

CompressorPtr custom_compressor(Merging merging, const std::string& name) {
  return std::make_unique<Custom>(std::move(merging), name);
}

}  // namespace policy
}  // namespace dms
