#include "support/plain_decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace dms::testing_support {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void rms_norm(float* x, const Floats& scale, double eps) {
  const auto count = std::ssize(scale);
  const float mean_square = dot(x, x, count) / static_cast<float>(count);
  const float factor = 1.0f / std::sqrt(mean_square + static_cast<float>(eps));
  for (int64_t i = 0; i < count; ++i) x[i] *= factor * scale[at(i)];
}

float silu(float x) { return x / (1.0f + std::exp(-x)); }

void add(Floats& x, const Floats& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// In place; -inf gives 0.
void softmax(Floats& scores) {
  const float best = *std::ranges::max_element(scores);
  float total = 0;
  for (float& score : scores) total += score = std::exp(score - best);
  for (float& score : scores) score /= total;
}

/// transformers' "dynamic": theta grows with what the prompt has beyond the original context.
double rope_theta(const RopeSpec& rope, int64_t length) {
  if (rope.scaling == RopeScaling::none) return rope.theta;
  const auto original = static_cast<double>(rope.original_context);
  const auto dim = static_cast<double>(rope.rotary_dim);
  const double stretch = std::max(original, static_cast<double>(length)) / original;
  return rope.theta * std::pow(rope.factor * stretch - (rope.factor - 1), dim / (dim - 2));
}

}  // namespace

PlainPast PlainPast::empty(const ModelSpec& spec) {
  PlainPast past;
  past.layers.assign(at(spec.layers), std::vector<PlainHead>(at(spec.kv_heads)));
  return past;
}

int64_t PlainPast::token_bytes(const ModelSpec& spec) {
  return spec.layers * spec.kv_heads * spec.head_dim * 2 * static_cast<int64_t>(sizeof(float));
}

PlainDecoder::PlainDecoder(ModelSpec spec, const WeightSource& source) : spec_(std::move(spec)) {
  const RopeScaling scaling = spec_.rope.scaling;
  ensure(spec_.norm == NormKind::rms && spec_.gated_mlp && spec_.has_final_norm &&
             spec_.activation == Activation::silu && spec_.position == PositionKind::rope &&
             (scaling == RopeScaling::none || scaling == RopeScaling::dynamic) &&
             spec_.attention_scale == 0 && spec_.qkv_layout == QkvLayout::separate &&
             spec_.norm_offset == 0 && !spec_.post_norms && spec_.unrotated.empty() &&
             !spec_.local_rope && spec_.attention_soft_cap == 0 && spec_.logit_soft_cap == 0 &&
             spec_.embedding_scale == 1,
         "a spec that the plain decoder computes");
  for (const WeightName& name : weight_names(spec_)) {
    Floats values(at(element_count(name)));
    source.read_rows(name, 0, name.shape.size() == 1 ? 1 : name.shape[0], values);
    weights_[{name.role, name.layer}] = std::move(values);
  }
}

const Floats* PlainDecoder::find(WeightRole role, int64_t layer) const {
  const auto it = weights_.find({role, layer});
  return it == weights_.end() ? nullptr : &it->second;
}

const Floats& PlainDecoder::weight(WeightRole role, int64_t layer) const {
  const Floats* values = find(role, layer);
  ensure(values != nullptr, "a weight of the spec");
  return *values;
}

/// y = W x + b, W row by row.
Floats PlainDecoder::linear(WeightRole matrix,
                            WeightRole bias,
                            int64_t layer,
                            const Floats& x) const {
  const Floats& w = weight(matrix, layer);
  const Floats* b = find(bias, layer);
  Floats y(w.size() / x.size());
  for (size_t row = 0; row < y.size(); ++row) {
    y[row] = dot(w.data() + row * x.size(), x.data(), std::ssize(x));
    if (b != nullptr) y[row] += (*b)[row];
  }
  return y;
}

Floats PlainDecoder::normed(WeightRole scale, int64_t layer, const Floats& x) const {
  Floats y = x;
  rms_norm(y.data(), weight(scale, layer), spec_.norm_eps);
  return y;
}

void PlainDecoder::norm_heads(WeightRole scale, int64_t layer, Floats& heads) const {
  for (size_t from = 0; from < heads.size(); from += at(spec_.head_dim)) {
    rms_norm(heads.data() + from, weight(scale, layer), spec_.norm_eps);
  }
}

/// Channel i turns with channel i + rotary_dim / 2.
void PlainDecoder::rotate(Floats& heads, int64_t position, int64_t length) const {
  const int64_t half = spec_.rope.rotary_dim / 2;
  const double theta = rope_theta(spec_.rope, length);
  for (int64_t i = 0; i < half; ++i) {
    const auto frequency =
        static_cast<float>(std::pow(theta, -static_cast<double>(i) / static_cast<double>(half)));
    const float angle = static_cast<float>(position) * frequency;
    for (size_t head = 0; head < heads.size(); head += at(spec_.head_dim)) {
      float& low = heads[head + at(i)];
      float& high = heads[head + at(i + half)];
      const float turned = low * std::cos(angle) - high * std::sin(angle);
      high = high * std::cos(angle) + low * std::sin(angle);
      low = turned;
    }
  }
}

/// `neuron` borrows the last channel of each group's first query head.
void PlainDecoder::zero_borrowed(Floats& q) const {
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    q[at((head * spec_.group() + 1) * spec_.head_dim - 1)] = 0;
  }
}

Floats PlainDecoder::rotated_queries(Floats q, int64_t position, int64_t length) const {
  rotate(q, position, length);
  const bool is_neuron = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (is_neuron && spec_.dms->zero_after_rope) zero_borrowed(q);
  return q;
}

/// [kv_heads]: `h` is the attention's input.
Floats PlainDecoder::kvzap_scores(int64_t layer, Floats h) const {
  if (spec_.kvzap->hidden > 0) {
    h = linear(WeightRole::kvzap_hidden, WeightRole::kvzap_hidden_bias, layer, h);
    for (float& x : h) x = 0.5f * x * (1.0f + std::erf(x / std::sqrt(2.0f)));
  }
  return linear(WeightRole::kvzap, WeightRole::kvzap_bias, layer, h);
}

/// [kv_heads]: `x` is the layer's input, `q` its queries after QK norm and before RoPE.
Floats PlainDecoder::decision_logits(int64_t layer, const Floats& x, const Floats& q) const {
  Floats logits(at(spec_.kv_heads), 0.0f);
  if (spec_.kvzap) return kvzap_scores(layer, normed(WeightRole::attention_norm, layer, x));
  if (!spec_.dms) return logits;
  const DmsSpec& dms = *spec_.dms;
  if (dms.source == DmsSource::adapter) {
    logits = linear(WeightRole::dms_alpha,
                    WeightRole::dms_alpha_bias,
                    layer,
                    normed(WeightRole::dms_alpha_norm, layer, x));
  } else {
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      logits[at(head)] = q[at((head * spec_.group() + 1) * spec_.head_dim - 1)];
    }
  }
  for (float& logit : logits) {
    logit = logit * static_cast<float>(dms.alpha_scale) - static_cast<float>(dms.alpha_offset);
  }
  if (dms.per_layer) std::ranges::fill(logits, logits[0]);
  return logits;
}

/// The fate that this token's logits decide.
void PlainDecoder::settle(const Place& place,
                          const Floats& logits,
                          const PlainPolicy& policy,
                          std::vector<PlainHead>& heads) const {
  const int64_t token = place.position - policy.shift;
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    std::vector<uint8_t>& fates = heads[at(head)].fates;
    if (token < std::ssize(fates)) continue;
    fates.push_back(policy.evicts(
        {.layer = place.layer, .kv_head = head, .token = token, .logit = logits[at(head)]}));
  }
}

/// Writes one query head's share of `mixed`. `far` is the query for keys beyond the window.
void PlainDecoder::attend_head(int64_t q_head,
                               const Place& place,
                               const Floats& near,
                               const Floats& far,
                               const PlainPolicy& policy,
                               const PlainHead& head,
                               Floats& mixed) const {
  const int64_t d = spec_.head_dim;
  const int64_t sliding = spec_.sliding_window_at(place.layer);
  Floats scores(at(place.position + 1), -std::numeric_limits<float>::infinity());
  for (int64_t key = 0; key <= place.position; ++key) {
    const bool is_evicted = key < std::ssize(head.fates) && head.fates[at(key)] != 0;
    if (!policy.sees(place.position, key, is_evicted, sliding)) continue;
    const Floats& query = place.position - key <= policy.window ? near : far;
    scores[at(key)] = dot(query.data() + q_head * d, head.keys.data() + key * d, d) /
                      std::sqrt(static_cast<float>(d));
  }
  softmax(scores);
  for (int64_t key = 0; key <= place.position; ++key) {
    for (int64_t i = 0; i < d; ++i) {
      mixed[at(q_head * d + i)] += scores[at(key)] * head.values[at(key * d + i)];
    }
  }
}

Floats PlainDecoder::attention(const Place& place,
                               const Floats& x,
                               const PlainPolicy& policy,
                               std::vector<PlainHead>& heads) const {
  const int64_t layer = place.layer;
  const Floats h = normed(WeightRole::attention_norm, layer, x);
  Floats q = linear(WeightRole::q, WeightRole::q_bias, layer, h);
  Floats k = linear(WeightRole::k, WeightRole::k_bias, layer, h);
  const Floats v = linear(WeightRole::v, WeightRole::v_bias, layer, h);
  if (spec_.qk_norm) {
    norm_heads(WeightRole::q_norm, layer, q);
    norm_heads(WeightRole::k_norm, layer, k);
  }
  settle(place, decision_logits(layer, x, q), policy, heads);
  if (spec_.dms && spec_.dms->source == DmsSource::neuron) zero_borrowed(q);
  const int64_t far_position =
      policy.far_place < 0 ? place.position : std::min(place.position, policy.far_place);
  const Floats far = rotated_queries(q, far_position, place.length);
  const Floats near = rotated_queries(std::move(q), place.position, place.length);
  rotate(k, place.position, place.length);
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    const auto from = head * spec_.head_dim;
    const auto end = from + spec_.head_dim;
    PlainHead& past = heads[at(head)];
    past.keys.insert(past.keys.end(), k.begin() + from, k.begin() + end);
    past.values.insert(past.values.end(), v.begin() + from, v.begin() + end);
  }
  Floats mixed(near.size(), 0.0f);
  for (int64_t q_head = 0; q_head < spec_.q_heads; ++q_head) {
    attend_head(q_head, place, near, far, policy, heads[at(q_head / spec_.group())], mixed);
  }
  return linear(WeightRole::attention_output, WeightRole::attention_output_bias, layer, mixed);
}

Floats PlainDecoder::mlp(int64_t layer, const Floats& x) const {
  const Floats h = normed(WeightRole::mlp_norm, layer, x);
  Floats gate = linear(WeightRole::gate, WeightRole::gate_bias, layer, h);
  const Floats up = linear(WeightRole::up, WeightRole::up_bias, layer, h);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = silu(gate[i]) * up[i];
  return linear(WeightRole::down, WeightRole::down_bias, layer, gate);
}

Floats PlainDecoder::append(int32_t id,
                            int64_t length,
                            const PlainPolicy& policy,
                            PlainPast& past) const {
  const auto row = weight(WeightRole::embedding).begin() + id * spec_.hidden;
  Floats x(row, row + spec_.hidden);
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    const Place place{.layer = layer, .position = past.tokens, .length = length};
    add(x, attention(place, x, policy, past.layers[at(layer)]));
    add(x, mlp(layer, x));
  }
  ++past.tokens;
  return x;
}

Floats PlainDecoder::logits(const Floats& hidden) const {
  const WeightRole head = spec_.tied_head ? WeightRole::embedding : WeightRole::head;
  constexpr WeightRole kNoBias = WeightRole::final_norm_bias;
  return linear(head, kNoBias, -1, normed(WeightRole::final_norm, -1, hidden));
}

}  // namespace dms::testing_support
