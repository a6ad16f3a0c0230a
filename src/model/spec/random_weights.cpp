// Weights from a counter-based hash: any row range gives the same numbers whatever the order of
// reading, and the loop vectorises (a 1B model in seconds).

#include <cmath>
#include <string_view>

#include "model/spec/load.h"

namespace dms {
namespace {

/// FNV-1a: the same name gives the same numbers everywhere.
uint32_t name_hash(std::string_view name, uint64_t seed) {
  uint32_t hash = 2166136261u ^ static_cast<uint32_t>(seed ^ (seed >> 32));
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

/// MurmurHash3's 32-bit finaliser.
uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

bool is_norm_scale(WeightRole role) {
  switch (role) {
    case WeightRole::attention_norm:
    case WeightRole::attention_post_norm:
    case WeightRole::mlp_norm:
    case WeightRole::mlp_post_norm:
    case WeightRole::q_norm:
    case WeightRole::k_norm:
    case WeightRole::final_norm:
    case WeightRole::dms_alpha_norm:
      return true;
    default:
      return false;
  }
}

class RandomWeights final : public WeightSource {
 public:
  RandomWeights(double norm_offset, uint64_t seed)
      : norm_scale_(static_cast<float>(1.0 - norm_offset)), seed_(seed) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    if (weight.shape.size() == 1) {
      const bool is_adapters = weight.role == WeightRole::dms_alpha_norm;
      const float scale = is_adapters ? 1.0f : is_norm_scale(weight.role) ? norm_scale_ : 0.0f;
      std::fill(out.begin(), out.end(), scale);
      return;
    }
    const int64_t columns = weight.shape.back();
    // Uniform in [-a, a) has variance a^2 / 3: the standard deviation is 1 / sqrt(columns).
    const float scale = std::sqrt(3.0f / static_cast<float>(columns)) * 0x1p-31f;
    const uint32_t key = name_hash(weight.name, seed_);
    for (int64_t row = 0; row < count; ++row) {
      const uint32_t row_key = mix(key + static_cast<uint32_t>(first + row) * 0x9e3779b9u);
      float* target = out.data() + row * columns;
      for (int64_t column = 0; column < columns; ++column) {
        const uint32_t bits = mix(row_key + static_cast<uint32_t>(column) * 0x9e3779b9u);
        target[column] = static_cast<float>(static_cast<int32_t>(bits)) * scale;
      }
    }
  }

 private:
  float norm_scale_;
  uint64_t seed_;
};

}  // namespace

std::unique_ptr<WeightSource> random_weights(const ModelSpec& spec, uint64_t seed) {
  return std::make_unique<RandomWeights>(spec.norm_offset, seed);
}

}  // namespace dms
