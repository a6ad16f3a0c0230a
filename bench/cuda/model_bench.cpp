// Whole decode steps and whole prompts of the CUDA backend, weights generated on the device.
//
//   model_bench [--tiny] [--only=decode,prefill] [--limit=SECONDS]
//
// From the checkout's folder: shapes are those of configs/shapes. A decode step is timed in a loop
// that nothing waits for (step_ms), and as the engine asks for one, which waits for the device and
// learns what the caches have grown by (engine_step_ms).

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>

#include "bench.h"
#include "cuda/cuda_model.h"
#include "cuda/decode_loop.h"
#include "dms/error.h"
#include "model/spec/load.h"
#include "timed_attention.h"

namespace dms::bench {
namespace {

using engine::LogitRows;
using engine::Part;
using SequenceStates = std::vector<std::unique_ptr<engine::SequenceState>>;

struct ModelShape {
  std::string name;
  std::string config;
  int64_t window = 0;
  int64_t context = 0;       // of decode, and the first of prefill
  int64_t long_context = 0;  // of decode
  std::vector<int64_t> prompts;
  int64_t generated = 128;
  int64_t step_tokens = 8192;  // of a prompt's pass
};

std::vector<ModelShape> model_shapes(bool tiny) {
  if (tiny) return {{"tiny", "bench/cuda/tiny.json", 32, 70, 100, {70, 100}, 8, 64}};
  return {{"llama-3.2-1b",
           "configs/shapes/llama-3.2-1b.json",
           256,
           8192,
           131072 - 128,
           {8192, 32768, 131072}},
          {"qwen3-8b", "configs/shapes/qwen3-8b.json", 512, 8192, 40960 - 128, {8192, 32768}}};
}

/// A model with what it takes to give it tokens.
class Model {
 public:
  Model(const ModelShape& shape, cuda::MatrixFormat format, const Bench& bench) : shape_(shape) {
    ModelSpec spec = load_spec_from_config(shape.config);
    const auto rows = static_cast<int32_t>(shape.step_tokens + kSequences);
    const auto columns =
        static_cast<int32_t>(std::max({spec.hidden, spec.ffn, spec.q_heads * spec.head_dim}));
    cuda::CudaModelOptions device;
    device.kv_bytes = bench.settings().tiny ? int64_t{8} << 20 : 0;
    device.matmul = cuda::make_cublaslt_matmul(rows, columns);
    if (!device.matmul) device.matmul = cuda::make_simple_matmul(rows, columns);
    device.attend_prompt =
        bench.compute_capability() == 90 ? timed_attention_hopper : timed_attention;
    cpu::ResolvedModelOptions options;
    options.max_step_tokens = shape.step_tokens;
    options.max_sequences = kSequences;
    cuda::DeviceWeights weights = cuda::random_weights(spec, 1, format);
    vocab_ = static_cast<int32_t>(spec.vocab);
    model_ = std::make_unique<cuda::CudaModel>(
        std::move(spec), std::move(weights), options, std::move(device));
  }

  static constexpr int64_t kSequences = 8;

  engine::Model* operator->() const { return model_.get(); }

  std::vector<int32_t> draw(int64_t count) {
    std::uniform_int_distribution<int32_t> token(0, vocab_ - 1);
    std::vector<int32_t> ids(static_cast<size_t>(count));
    for (int32_t& id : ids) id = token(draw_);
    return ids;
  }

  std::shared_ptr<const engine::SequencePlan> plan(const std::string& policy,
                                                   const std::string& survivors) const {
    CacheOptions options{.policy = policy, .kv_dtype = survivors};
    if (policy == "random") {
      options.policy_args.emplace("cr", "8");
      options.window_tokens = shape_.window;
    }
    return model_->plan(options);
  }

  /// Appends a prompt, a pass for each `step_tokens` of it.
  void read_prompt(engine::SequenceState& sequence, int64_t tokens) {
    for (int64_t first = 0; first < tokens; first += shape_.step_tokens) {
      const int64_t count = std::min(shape_.step_tokens, tokens - first);
      const std::vector<int32_t> ids = draw(count);
      const bool ends = first + count == tokens;
      const Part part{
          .sequence = &sequence, .ids = ids, .logits = ends ? LogitRows::last : LogitRows::none};
      model_->forward({&part, 1});
    }
  }

  /// One step as the engine asks for it; logits stay where they are.
  void decode_step(const SequenceStates& sequences) {
    const std::vector<int32_t> ids = draw(std::ssize(sequences));
    std::vector<Part> parts;
    for (size_t i = 0; i < sequences.size(); ++i) {
      parts.push_back(
          {.sequence = sequences[i].get(), .ids = std::span(ids).subspan(i, 1), .decoded = true});
    }
    model_->forward(parts);
  }

  /// Steps that feed themselves, greedily.
  cuda::DecodeLoop loop_of(const SequenceStates& sequences) {
    std::vector<cuda::CudaSequence*> ours;
    for (const auto& one : sequences) ours.push_back(static_cast<cuda::CudaSequence*>(one.get()));
    const std::vector<cuda::SamplingRow> greedy(sequences.size());
    return {*model_, std::move(ours), greedy};
  }

 private:
  const ModelShape& shape_;
  std::unique_ptr<cuda::CudaModel> model_;
  int32_t vocab_ = 0;
  std::mt19937 draw_{5};
};

double milliseconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

struct Case {
  const char* policy;
  const char* survivors;
  int64_t context;
  int64_t concurrency;
};

/// So many sequences of `context` tokens: the first computed, the others copies of it with pages of
/// their own.
SequenceStates make_sequences(Model& model, const Case& one) {
  SequenceStates sequences;
  const auto plan = model.plan(one.policy, one.survivors);
  sequences.push_back(model->new_sequence(plan));
  model.read_prompt(*sequences.front(), one.context);
  if (one.concurrency == 1) return sequences;
  ByteWriter written;
  sequences.front()->write(written);
  for (int64_t i = 1; i < one.concurrency; ++i) {
    ByteReader reader(written.data(), "a copy");
    sequences.push_back(model->read_sequence(plan, reader, one.context));
  }
  return sequences;
}

/// Tokens of each sequence: some to warm up and capture the graph, most in a loop on the device,
/// the last as the engine asks for them.
struct Turns {
  int32_t warm_up;
  int32_t loop;
  int32_t engine;
};

Turns turns_of(int64_t generated) {
  const auto few = static_cast<int32_t>(std::max<int64_t>(2, generated / 16));
  return {.warm_up = few, .loop = static_cast<int32_t>(generated) - 2 * few, .engine = few};
}

/// Milliseconds of `steps` steps.
double run_loop(cuda::DecodeLoop& loop, std::span<const int32_t> first, int32_t steps) {
  std::vector<int32_t> chosen;
  const double ms = milliseconds_of([&] { chosen = loop.run(first, steps); });
  if (std::ranges::find(chosen, -1) != chosen.end()) {
    throw RunError({.where = "model_bench", .what = "logits were not finite"});
  }
  return ms;
}

void bench_decode(
    Bench& bench, const ModelShape& shape, Model& model, const char* weights, const Case& one) {
  const SequenceStates sequences = make_sequences(model, one);
  const Turns turns = turns_of(shape.generated);
  double step_ms = 0;
  {
    cuda::DecodeLoop loop = model.loop_of(sequences);
    const std::vector<int32_t> first = model.draw(one.concurrency);
    run_loop(loop, first, turns.warm_up);
    step_ms = run_loop(loop, first, turns.loop) / turns.loop;
  }
  std::vector<double> times;
  for (int32_t i = 0; i < turns.engine; ++i) {
    times.push_back(milliseconds_of([&] { model.decode_step(sequences); }));
  }
  std::sort(times.begin(), times.end());
  std::vector<const engine::SequenceState*> states;
  for (const auto& sequence : sequences) states.push_back(sequence.get());
  const KvStats kv = model->usage(states);
  bench.write({{"bench", "decode"},
               {"shape", shape.name},
               {"policy", one.policy},
               {"weights", weights},
               {"survivors", one.survivors},
               {"context", one.context},
               {"concurrency", one.concurrency},
               {"step_ms", step_ms},
               {"engine_step_ms", times[times.size() / 2]},
               {"tok_s", 1000 * static_cast<double>(one.concurrency) / step_ms},
               {"kv_bytes", kv.allocated_bytes},
               {"cr", kv.cr}});
}

void bench_prefill(
    Bench& bench, const ModelShape& shape, Model& model, const char* policy, int64_t tokens) {
  const auto read = [&] {
    const auto sequence = model->new_sequence(model.plan(policy, "bf16"));
    model.read_prompt(*sequence, tokens);
  };
  if (tokens == shape.context) read();  // to warm up
  take_attention_milliseconds();
  const double ms = milliseconds_of(read);
  bench.write({{"bench", "prefill"},
               {"shape", shape.name},
               {"policy", policy},
               {"weights", "bf16"},
               {"survivors", "bf16"},
               {"context", tokens},
               {"ms", ms},
               {"attention_ms", take_attention_milliseconds()},
               {"tok_s", 1000 * static_cast<double>(tokens) / ms}});
}

void bench_bf16(Bench& bench, const ModelShape& shape) {
  Model model(shape, cuda::MatrixFormat::bf16, bench);
  const int64_t both = Model::kSequences;
  for (const Case& one : {Case{"none", "bf16", shape.context, both},
                          Case{"random", "bf16", shape.context, both},
                          Case{"random", "bf16", shape.context, 1},
                          Case{"none", "bf16", shape.context, 1},
                          Case{"random", "bf16", shape.long_context, both},
                          Case{"none", "bf16", shape.long_context, both}}) {
    if (bench.wants("decode")) bench_decode(bench, shape, model, "bf16", one);
  }
  for (const int64_t tokens : shape.prompts) {
    for (const char* policy : {"none", "random"}) {
      if (bench.wants("prefill")) bench_prefill(bench, shape, model, policy, tokens);
    }
  }
}

void bench_fp8(Bench& bench, const ModelShape& shape) {
  if (!bench.wants("decode")) return;
  Model model(shape, cuda::MatrixFormat::fp8, bench);
  for (const Case& one : {Case{"random", "fp8", shape.context, Model::kSequences},
                          Case{"random", "fp8", shape.context, 1},
                          Case{"random", "fp8", shape.long_context, Model::kSequences}}) {
    if (bench.wants("decode")) bench_decode(bench, shape, model, "fp8", one);
  }
}

void bench_models(Bench& bench) {
  if (!bench.wants("decode") && !bench.wants("prefill")) return;
  const std::vector<ModelShape> shapes = model_shapes(bench.settings().tiny);
  for (const ModelShape& shape : shapes) {
    bench_bf16(bench, shape);
    bench_fp8(bench, shape);
  }
}

}  // namespace
}  // namespace dms::bench

int main(int count, char** arguments) {
  return dms::bench::run_benches(count, arguments, {dms::bench::bench_models});
}
