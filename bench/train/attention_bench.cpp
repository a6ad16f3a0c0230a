// Training attention, forward and backward, beside the explicit mask: time, and the memory both
// need on top of their inputs.
//
//   dms_train_attention_bench [LENGTH…]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "train/attention.h"

namespace {

using dms::train::AttentionOptions;

constexpr int64_t kQHeads = 6;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kHeadDim = 64;
constexpr int64_t kWindow = 128;
constexpr int kRounds = 3;

at::Tensor explicit_mask(const at::Tensor& q,
                         const at::Tensor& k,
                         const at::Tensor& v,
                         const at::Tensor& bias,
                         const AttentionOptions& options) {
  const int64_t tokens = q.size(2);
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor distance =
      at::arange(tokens, at::kLong).unsqueeze(1) - at::arange(tokens, at::kLong);
  const at::Tensor far = (distance > options.window).to(q.scalar_type());
  at::Tensor scores = at::matmul(q, k.repeat_interleave(group, 1).transpose(2, 3)) * options.scale;
  scores = scores + bias.repeat_interleave(group, 1).unsqueeze(2) * far;
  scores = scores.masked_fill(distance < 0, -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, 3, at::kFloat).to(q.scalar_type()),
                    v.repeat_interleave(group, 1));
}

using Attention = at::Tensor (*)(const at::Tensor&,
                                 const at::Tensor&,
                                 const at::Tensor&,
                                 const at::Tensor&,
                                 const AttentionOptions&);

struct Inputs {
  std::vector<at::Tensor> leaves;  // q, k, v, bias
};

Inputs make_inputs(int64_t tokens) {
  const auto normal = [&](int64_t heads) {
    return at::randn({1, heads, tokens, kHeadDim}, at::kBFloat16).set_requires_grad(true);
  };
  const at::Tensor z = at::randn({1, kKvHeads, tokens}, at::kFloat) * 10.0;
  return {{normal(kQHeads),
           normal(kKvHeads),
           normal(kKvHeads),
           at::log_sigmoid(z).set_requires_grad(true)}};
}

/// A field of /proc/self/status, in MiB.
double status_mib(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field))
      return std::strtod(line.c_str() + field.size() + 1, nullptr) / 1024;
  }
  return 0.0;
}

void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

struct Cost {
  double seconds;
  double mib;
};

Cost measure(Attention attention, int64_t tokens) {
  const Inputs inputs = make_inputs(tokens);
  const AttentionOptions options{1.0 / std::sqrt(static_cast<double>(kHeadDim)), kWindow, 0};
  Cost best{std::numeric_limits<double>::infinity(), 0.0};
  for (int round = 0; round < kRounds; ++round) {
    reset_peak();
    const double before = status_mib("VmRSS:");
    const auto begin = std::chrono::steady_clock::now();
    const auto& x = inputs.leaves;
    const at::Tensor out = attention(x[0], x[1], x[2], x[3], options);
    torch::autograd::grad({out.sum()}, x);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    best.seconds = std::min(best.seconds, elapsed.count());
    best.mib = std::max(best.mib, status_mib("VmHWM:") - before);
  }
  return best;
}

/// In a process of its own: memory that an earlier measurement gave back would hide this one's.
Cost measure_apart(Attention attention, int64_t tokens) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    const Cost cost = measure(attention, tokens);
    _exit(write(ends[1], &cost, sizeof cost) == sizeof cost ? 0 : 1);
  }
  close(ends[1]);
  Cost cost{};
  if (read(ends[0], &cost, sizeof cost) != sizeof cost) std::abort();
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return cost;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int64_t> lengths;
  for (int i = 1; i < argc; ++i) lengths.push_back(std::strtoll(argv[i], nullptr, 10));
  if (lengths.empty()) lengths = {1024, 2048, 4096, 8192};
  std::printf("%lld query heads, %lld KV heads of %lld, window %lld, bf16; best of %d\n",
              static_cast<long long>(kQHeads),
              static_cast<long long>(kKvHeads),
              static_cast<long long>(kHeadDim),
              static_cast<long long>(kWindow),
              kRounds);
  std::puts("| tokens | ours ms | explicit ms | ours MiB | explicit MiB |\n|---|---|---|---|---|");
  for (const int64_t tokens : lengths) {
    const Cost ours = measure_apart(dms::train::attention, tokens);
    const Cost theirs = measure_apart(explicit_mask, tokens);
    std::printf("| %lld | %.0f | %.0f | %.0f | %.0f |\n",
                static_cast<long long>(tokens),
                ours.seconds * 1e3,
                theirs.seconds * 1e3,
                ours.mib,
                theirs.mib);
    std::fflush(stdout);
  }
  return 0;
}
