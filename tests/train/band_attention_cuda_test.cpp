// The GPU's path of training attention with stand-ins for its kernels: the numbers on the CPU, and
// on the meta device that a whole distillation step stays on the model's device.

#include "train/band_attention_cuda.h"

#include <random>

#include <gtest/gtest.h>

#include "train/loss.h"
#include "train/stand_in_kernels.h"
#include "train/tiny_student.h"

namespace dms::train {
namespace {

/// For dispatch keys that no kernel of LibTorch's own takes.
void add_stand_ins(torch::Library& library) {
  using torch::CppFunction;
  library.impl("_flash_attention_forward",
               CppFunction::makeFromBoxedFunction<&fixture::flash_forward>());
  library.impl("_flash_attention_backward",
               CppFunction::makeFromBoxedFunction<&fixture::flash_backward>());
  library.impl("_efficient_attention_forward",
               CppFunction::makeFromBoxedFunction<&fixture::efficient_forward>());
  library.impl("_efficient_attention_backward",
               CppFunction::makeFromBoxedFunction<&fixture::efficient_backward>());
}

/// Operations whose shapes LibTorch knows in Python alone.
void add_missing_shapes(torch::Library& library) {
  library.impl("index_select", [](const at::Tensor& x, int64_t, const at::Tensor& index) {
    return at::empty({index.size(0), x.size(1)}, x.options());
  });
  library.impl("embedding_dense_backward",
               [](const at::Tensor& grad, const at::Tensor&, int64_t rows, int64_t, bool) {
                 return at::empty({rows, grad.size(-1)}, grad.options());
               });
  library.impl("logical_and", [](const at::Tensor& a, const at::Tensor& b) {
    TORCH_CHECK(b.is_meta(), "another device");
    return at::empty(a.sizes(), a.options().dtype(at::kBool));
  });
  library.impl("log_sigmoid_forward", [](const at::Tensor& x) {
    return std::tuple(at::empty_like(x), at::empty({0}, x.options()));
  });
  library.impl("log_sigmoid_backward",
               [](const at::Tensor& grad, const at::Tensor&, const at::Tensor&) {
                 return at::empty_like(grad);
               });
}

// Macros, and run before main: nothing else reaches the dispatcher.
TORCH_LIBRARY_IMPL(aten, CPU, library) { add_stand_ins(library); }
TORCH_LIBRARY_IMPL(aten, Meta, library) {
  add_stand_ins(library);
  add_missing_shapes(library);
}

struct Case {
  int64_t batch;
  int64_t kv_heads;
  int64_t group;
  int64_t tokens;
  int64_t head_dim;
  int64_t reach;
};

Case random_case(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int64_t> values) {
    return *(values.begin() + static_cast<ptrdiff_t>(random() % values.size()));
  };
  return {.batch = pick({1, 2}),
          .kv_heads = pick({1, 3}),
          .group = pick({1, 2, 7}),
          .tokens = pick({1, 2, 31, 32, 33, 64, 65, 97, 150}),
          .head_dim = pick({5, 8, 20, 64, 72}),
          .reach = pick({0, 1, 31, 63, 64, 149, kAllKeys})};
}

void expect_near(const at::Tensor& ours, const at::Tensor& theirs, double tolerance) {
  ASSERT_EQ(ours.sizes(), theirs.sizes());
  ASSERT_EQ(ours.scalar_type(), theirs.scalar_type());
  const at::Tensor wide = theirs.to(at::kDouble);
  const double scale = std::max(1.0, wide.abs().max().item<double>());
  EXPECT_LT((ours.to(at::kDouble) - wide).abs().max().item<double>(), tolerance * scale);
}

/// Against the CPU's kernels, which are themselves held to the definition.
TEST(BandAttentionCuda, EqualsTheCpu) {
  std::mt19937 random(3);
  at::manual_seed(3);
  for (int round = 0; round < 60; ++round) {
    const Case c = random_case(random);
    for (const auto& [type, tolerance] : {std::pair(at::kFloat, 1e-5), {at::kBFloat16, 2e-2}}) {
      SCOPED_TRACE(testing::Message()
                   << "tokens " << c.tokens << " head_dim " << c.head_dim << " group " << c.group
                   << " reach " << c.reach << " " << at::toString(type));
      const auto normal = [&](int64_t heads) {
        return at::randn({c.batch, heads, c.tokens, c.head_dim}).to(type);
      };
      const AttentionInputs in{
          normal(c.kv_heads * c.group), normal(c.kv_heads), normal(c.kv_heads)};
      const AttentionOutputs ours = cuda_band_forward(in, c.reach, 0.3);
      const AttentionOutputs theirs = band_forward(in, c.reach, 0.3);
      expect_near(ours.out, theirs.out, tolerance);
      expect_near(ours.lse, theirs.lse, tolerance);
      // A whole of which the band is a part: shares of less than one.
      const AttentionOutputs whole{theirs.out * 0.5, theirs.lse + 0.7};
      const at::Tensor grad = normal(c.kv_heads * c.group);
      const AttentionGradients own = cuda_band_backward(grad, in, whole, c.reach, 0.3);
      const AttentionGradients other = band_backward(grad, in, whole, c.reach, 0.3);
      expect_near(own.q, other.q, tolerance);
      expect_near(own.k, other.k, tolerance);
      expect_near(own.v, other.v, tolerance);
    }
  }
}

/// Any tensor made on the CPU and used beside the model's would stop this.
TEST(BandAttentionCuda, StepStaysOnTheModelsDevice) {
  for (const DmsSource source : {DmsSource::adapter, DmsSource::neuron}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const ModelSpec spec =
          fixture::tiny_spec({.qk_norm = true, .dms = DmsSpec{.source = source, .window = 3}});
      Parameters parameters(spec, fixture::NoiseWeights(1), type, at::kMeta);
      parameters.train({"all"});
      const Student student(spec, std::move(parameters));
      ASSERT_TRUE(student.device().is_meta());
      PassOptions options;
      options.eviction = PassOptions::Eviction::soft;
      options.noise = gumbel_noise(spec, 2, 15, 1, 2, 3, false).to(at::kMeta);
      options.checkpointing = true;
      const at::Tensor ids = at::zeros({2, 15}, at::device(at::kMeta).dtype(at::kLong));
      const at::Tensor lengths = at::full({2}, 15, ids.options());
      const PassResult pass = student.forward(ids, lengths, options);
      const at::Tensor hidden = pass.hidden.flatten(0, 1);
      const KlResult result = distillation_loss(hidden,
                                                student.head(),
                                                hidden.detach(),
                                                student.head().detach(),
                                                at::zeros({30}, ids.options()),
                                                at::ones({30}, ids.options().dtype(at::kBool)),
                                                {.vocab_chunk = 7});
      (result.kl + pass.fraction.mean()).backward();
      for (const Parameter& parameter : student.parameters().all()) {
        EXPECT_TRUE(parameter.value.grad().is_meta()) << parameter.name.name;
      }
    }
  }
}

}  // namespace
}  // namespace dms::train
