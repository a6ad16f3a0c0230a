#include "model/spec/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dms {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

std::vector<double> plain_frequencies(double theta, int64_t rotary_dim) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rotary_dim; i += 2) {
    frequencies.push_back(
        1.0 / std::pow(theta, static_cast<double>(i) / static_cast<double>(rotary_dim)));
  }
  return frequencies;
}

/// "NTK-aware" scaling that grows with the prompt: theta is raised so that the longest wave spans
/// it.
double dynamic_theta(const RopeSpec& rope, int64_t prompt_tokens) {
  const auto original = static_cast<double>(rope.original_context);
  const double length = std::max(original, static_cast<double>(prompt_tokens));
  const auto dim = static_cast<double>(rope.rotary_dim);
  return rope.theta *
         std::pow(rope.factor * length / original - (rope.factor - 1.0), dim / (dim - 2.0));
}

/// Llama 3: long waves are stretched by `factor`, short ones stay, those between are blended.
void scale_llama3(const RopeSpec& rope, std::vector<double>& frequencies) {
  const auto original = static_cast<double>(rope.original_context);
  for (double& frequency : frequencies) {
    const double wavelength = kTwoPi / frequency;
    if (wavelength > original / rope.low_freq_factor) {
      frequency /= rope.factor;
    } else if (wavelength >= original / rope.high_freq_factor) {
      const double smooth = (original / wavelength - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
      frequency = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
    }
  }
}

/// YaRN (Peng et al. 2023): like llama3, but the blend is linear in the channel between the
/// channels that turn beta_fast and beta_slow times within the original context.
void scale_yarn(const RopeSpec& rope, std::vector<double>& frequencies) {
  const auto dim = static_cast<double>(rope.rotary_dim);
  const auto channel_of = [&](double turns) {
    return dim * std::log(static_cast<double>(rope.original_context) / (turns * kTwoPi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = channel_of(rope.beta_fast);
  double high = channel_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * ramp + frequencies[i] * (1.0 - ramp);
  }
}

/// LongRoPE (Ding et al. 2024): factors that were searched for, one set for sequences up to the
/// original context and one for longer ones.
void scale_longrope(const RopeSpec& rope, int64_t prompt_tokens, std::vector<double>& frequencies) {
  const bool is_long = prompt_tokens > rope.original_context;
  const std::vector<float>& factors = is_long ? rope.long_factors : rope.short_factors;
  for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= static_cast<double>(factors[i]);
}

double longrope_attention_factor(const RopeSpec& rope) {
  if (rope.factor <= 1.0) return 1.0;
  return std::sqrt(1.0 +
                   std::log(rope.factor) / std::log(static_cast<double>(rope.original_context)));
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeSpec& rope, int64_t prompt_tokens) {
  const double theta =
      rope.scaling == RopeScaling::dynamic ? dynamic_theta(rope, prompt_tokens) : rope.theta;
  std::vector<double> frequencies = plain_frequencies(theta, rope.rotary_dim);
  if (rope.scaling == RopeScaling::linear) {
    for (double& frequency : frequencies) frequency /= rope.factor;
  } else if (rope.scaling == RopeScaling::llama3) {
    scale_llama3(rope, frequencies);
  } else if (rope.scaling == RopeScaling::yarn) {
    scale_yarn(rope, frequencies);
  } else if (rope.scaling == RopeScaling::longrope) {
    scale_longrope(rope, prompt_tokens, frequencies);
  }
  for (size_t i = 0; i < rope.frequency_divisors.size(); ++i) {
    frequencies[i] /= static_cast<double>(rope.frequency_divisors[i]);
  }
  return {frequencies.begin(), frequencies.end()};
}

float attention_factor(const RopeSpec& rope) {
  if (rope.scaling != RopeScaling::yarn && rope.scaling != RopeScaling::longrope) return 1.0f;
  if (rope.attention_factor) return static_cast<float>(*rope.attention_factor);
  if (rope.scaling == RopeScaling::longrope) {
    return static_cast<float>(longrope_attention_factor(rope));
  }
  if (rope.mscale.value_or(0.0) != 0.0 && rope.mscale_all_dim.value_or(0.0) != 0.0) {
    return static_cast<float>(yarn_mscale(rope.factor, *rope.mscale) /
                              yarn_mscale(rope.factor, *rope.mscale_all_dim));
  }
  return static_cast<float>(yarn_mscale(rope.factor, 1.0));
}

}  // namespace dms
