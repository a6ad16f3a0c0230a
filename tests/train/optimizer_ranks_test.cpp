// The optimiser's state shared out over ranks: what several compute together is what one computes
// alone, also through a checkpoint that another number of ranks goes on from.

#include <map>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/checkpoint_io.h"
#include "train/optimizer.h"
#include "train/optimizer_fixture.h"
#include "train/thread_ranks.h"

namespace dms::train {
namespace {

using dms::testing_support::TempFolder;
using fixture::Gradients;
using fixture::ThreadRanks;

constexpr int64_t kMicroBatches = 6;  // of a step, all ranks
constexpr int64_t kSteps = 3;

TrainerSection settings_of(OptimizerKind kind) {
  TrainerSection settings;
  settings.optimizer = kind;
  settings.learning_rate = 1e-2;
  settings.weight_decay = 0.1;
  settings.max_grad_norm = 1.0;
  return settings;
}

Parameters parameters_of(at::ScalarType type = at::kDouble) {
  return fixture::trained_parameters({.qk_norm = true}, type);
}

/// [step][micro-batch], made beforehand: ranks run in any order.
std::vector<std::vector<Gradients>> all_gradients(const Parameters& parameters) {
  std::vector<std::vector<Gradients>> all(2 * kSteps);
  int64_t seed = 0;
  for (auto& step : all) {
    for (int64_t i = 0; i < kMicroBatches; ++i) {
      step.push_back(fixture::random_gradients(parameters, ++seed));
    }
  }
  return all;
}

double train_step(Parameters& parameters,
                  Optimizer& optimizer,
                  const Communicator& ranks,
                  const std::vector<Gradients>& micro_batches) {
  for (int64_t i = ranks.rank(); i < kMicroBatches; i += ranks.size()) {
    fixture::give(parameters, micro_batches[static_cast<size_t>(i)]);
    optimizer.accumulate();
  }
  return optimizer.step(1.0, kMicroBatches / ranks.size());
}

std::vector<at::Tensor> values_of(const Parameters& parameters) {
  std::vector<at::Tensor> values;
  for (const Parameter& p : parameters.all()) values.push_back(p.value.detach().clone());
  return values;
}

/// The weights after steps [0, kSteps) on `ranks` ranks; each rank's copy is compared with rank
/// 0's.
std::vector<at::Tensor> train_on(int64_t size, OptimizerKind kind) {
  const auto gradients = all_gradients(parameters_of());
  const TrainerSection settings = settings_of(kind);
  std::vector<std::vector<at::Tensor>> results(static_cast<size_t>(size));
  ThreadRanks(size).run([&](Communicator& ranks) {
    Parameters parameters = parameters_of();
    Optimizer optimizer(parameters, settings, ranks);
    for (size_t step = 0; step < kSteps; ++step) {
      train_step(parameters, optimizer, ranks, gradients[step]);
    }
    results[static_cast<size_t>(ranks.rank())] = values_of(parameters);
  });
  for (const auto& result : results) {
    for (size_t i = 0; i < result.size(); ++i) EXPECT_TRUE(at::equal(result[i], results[0][i]));
  }
  return results[0];
}

TEST(ShardedOptimizer, EqualsOneRankWithMoreAccumulation) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::muon}) {
    const std::vector<at::Tensor> alone = train_on(1, kind);
    for (const int64_t size : {2, 3}) {
      const std::vector<at::Tensor> together = train_on(size, kind);
      // Muon rounds its iterations to bf16, which shows what the order of a sum did to a gradient.
      const double tolerance = kind == OptimizerKind::adamw ? 1e-12 : 1e-3;
      for (size_t i = 0; i < alone.size(); ++i) {
        EXPECT_LT(fixture::distance(alone[i], together[i]), tolerance) << i << " of " << size;
      }
    }
  }
}

TEST(ShardedOptimizer, EachWeightHasOneOwner) {
  const Parameters reference = parameters_of();
  const TrainerSection settings = settings_of(OptimizerKind::adamw);
  std::mutex mutex;
  std::multiset<std::string> owned;
  std::vector<int64_t> loads;
  ThreadRanks(3).run([&](Communicator& ranks) {
    Parameters parameters = parameters_of();
    const Optimizer optimizer(parameters, settings, ranks);
    const std::lock_guard lock(mutex);
    int64_t load = 0;
    for (const NamedTensor& master : optimizer.masters()) {
      owned.insert(master.name);
      load += master.value.numel();
    }
    loads.push_back(load);
  });
  EXPECT_EQ(owned.size(), reference.all().size());
  EXPECT_EQ(std::set<std::string>(owned.begin(), owned.end()).size(), owned.size());
  const auto [least, most] = std::ranges::minmax(loads);
  EXPECT_LT(most - least, reference.trained_count() / 10);
}

TEST(ShardedOptimizer, NormIsThatOfTheMeanGradient) {
  const auto gradients = all_gradients(parameters_of());
  const TrainerSection settings = settings_of(OptimizerKind::adamw);
  double squares = 0.0;
  for (size_t i = 0; i < gradients[0][0].size(); ++i) {
    at::Tensor sum = at::zeros_like(gradients[0][0][i]);
    for (const Gradients& micro : gradients[0]) sum += micro[i];
    squares += (sum / kMicroBatches).square().sum().item<double>();
  }
  ThreadRanks(2).run([&](Communicator& ranks) {
    Parameters parameters = parameters_of();
    Optimizer optimizer(parameters, settings, ranks);
    const double norm = train_step(parameters, optimizer, ranks, gradients[0]);
    EXPECT_NEAR(norm, std::sqrt(squares), 1e-10);
  });
}

/// Float32, as checkpoints are.
std::vector<at::Tensor> train_and_save(int64_t size,
                                       const TrainerSection& settings,
                                       const std::vector<std::vector<Gradients>>& gradients,
                                       const std::filesystem::path& folder) {
  std::vector<at::Tensor> end;
  ThreadRanks(size).run([&](Communicator& ranks) {
    Parameters parameters = parameters_of(at::kFloat);
    Optimizer optimizer(parameters, settings, ranks);
    for (size_t step = 0; step < 2 * kSteps; ++step) {
      if (step == kSteps) {
        save_checkpoint(folder, {.step = kSteps, .seed = 5, .config = "x"}, optimizer, ranks);
      }
      train_step(parameters, optimizer, ranks, gradients[step]);
    }
    if (ranks.rank() == 0) end = values_of(parameters);
  });
  return end;
}

TEST(CheckpointIo, AnyNumberOfRanksGoesOn) {
  const auto gradients = all_gradients(parameters_of(at::kFloat));
  const TrainerSection settings = settings_of(OptimizerKind::adamw);
  for (const int64_t writers : {1, 2, 3}) {
    const TempFolder folder;
    const auto straight = train_and_save(writers, settings, gradients, folder.path());
    const CheckpointFolder saved = open_checkpoint_folder(folder.path() / "checkpoint-3");
    for (const int64_t readers : {1, 2}) {
      ThreadRanks(readers).run([&](Communicator& ranks) {
        Parameters parameters = parameters_of(at::kFloat);
        Optimizer optimizer(parameters, settings, ranks);
        const TrainState state = load_checkpoint(saved, optimizer, ranks);
        EXPECT_EQ(state.step, kSteps);
        EXPECT_EQ(state.seed, 5U);
        for (size_t step = kSteps; step < 2 * kSteps; ++step) {
          train_step(parameters, optimizer, ranks, gradients[step]);
        }
        const auto end = values_of(parameters);
        const double tolerance = readers == writers ? 0.0 : 1e-5;
        for (size_t i = 0; i < end.size(); ++i) {
          EXPECT_LE(fixture::distance(end[i], straight[i]), tolerance)
              << parameters.all()[i].name.name << ": " << writers << " to " << readers;
        }
      });
    }
  }
}

/// A checkpoint made with these patterns and optimiser, read by a run with others.
std::string refusal(const std::string& wrote,
                    OptimizerKind wrote_kind,
                    const std::string& reads,
                    OptimizerKind reads_kind) {
  const TempFolder folder;
  const auto alone = make_communicator(Launch{}, at::kCPU);
  const auto with = [&](const std::string& pattern, OptimizerKind kind, auto&& use) {
    const ModelSpec spec = fixture::tiny_spec({});
    Parameters parameters(spec, fixture::NoiseWeights(1), at::kFloat);
    parameters.train({pattern});
    const TrainerSection settings = settings_of(kind);
    Optimizer optimizer(parameters, settings, *alone);
    use(optimizer);
  };
  with(wrote, wrote_kind, [&](Optimizer& optimizer) {
    save_checkpoint(folder.path(), {.step = 1}, optimizer, *alone);
  });
  std::string text;
  with(reads, reads_kind, [&](Optimizer& optimizer) {
    const CheckpointFolder saved = open_checkpoint_folder(folder.path() / "checkpoint-1");
    text = testing_support::input_error([&] { load_checkpoint(saved, optimizer, *alone); });
  });
  return text;
}

TEST(CheckpointIo, RefusesWhatOtherSettingsMade) {
  using enum OptimizerKind;
  testing_support::expect_parts(refusal("*.q_proj.*", adamw, "*.self_attn.*_proj.*", adamw),
                                {"model.layers.0.self_attn.k_proj.weight", "missing"});
  testing_support::expect_parts(refusal("*.q_proj.*", muon, "*.q_proj.*", adamw),
                                {"model.layers.0.self_attn.q_proj.weight.second", "missing"});
}

/// Going on without them would quietly forget what was learnt.
TEST(CheckpointIo, RefusesWeightsThatTheRunDoesNotTrain) {
  using enum OptimizerKind;
  testing_support::expect_parts(refusal("*.self_attn.*_proj.*", adamw, "*.q_proj.*", adamw),
                                {"checkpoint-1", "model.layers.0.self_attn.k_proj.weight"});
  testing_support::expect_parts(refusal("*.q_proj.*", adamw, "*.q_proj.*", muon),
                                {"checkpoint-1", "model.layers.0.self_attn.q_proj.weight.second"});
}

}  // namespace
}  // namespace dms::train
