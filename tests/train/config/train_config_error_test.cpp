#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seed.h"
#include "support/temp_folder.h"
#include "train/config/documents.h"
#include "train/config/train_config.h"

namespace dms::train {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using testing_support::kMinimal;
using testing_support::kNvidia;
using testing_support::kNvidiaData;

std::string error_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return input_error([&] { parse_train_config(yaml, "t.yaml", overrides); });
}

TEST(TrainConfigError, MisspeltKeysNameLineAndTheRightOne) {
  expect_parts(error_of(kMinimal + "dms:\n  window_sise: 5\n"),
               {"t.yaml:11: dms.window_sise", "unknown key", "did you mean 'window_size'?"});
  expect_parts(error_of(kMinimal + "  max_step: 5\n"),
               {"t.yaml:10: hf_trainer.max_step", "did you mean 'max_steps'?"});
  expect_parts(error_of(kMinimal + "hf_trainr: {}\n"),
               {"t.yaml:10: hf_trainr", "unknown key", "did you mean 'hf_trainer'?"});
  expect_parts(error_of(kMinimal + "dms: {xyzzy: 1}\n"), {"t.yaml:10: dms.xyzzy", "unknown key"});
  expect_parts(error_of("model:\n  nmae: x\n"), {"t.yaml:2: model.nmae", "did you mean 'name'?"});
  expect_parts(error_of(kMinimal, {"data.datasets.books.fliter=x"}),
               {"--set data.datasets.books.fliter", "did you mean 'filter'?"});
  expect_parts(error_of(kMinimal, {"hf_trainer.lr_scheduler_kwargs.min_lr_ration=1"}),
               {"hf_trainer.lr_scheduler_kwargs.min_lr_ration", "did you mean 'min_lr_ratio'?"});
}

struct BadValue {
  const char* setting;
  std::vector<std::string> parts;
};

class TrainConfigValue : public ::testing::TestWithParam<BadValue> {};

TEST_P(TrainConfigValue, IsRefused) {
  const std::string setting = GetParam().setting;
  const std::string text = error_of(kMinimal, {setting});
  expect_parts(text, {"--set " + setting.substr(0, setting.find('='))});
  for (const std::string& part : GetParam().parts) expect_parts(text, {part});
}

INSTANTIATE_TEST_SUITE_P(
    Settings,
    TrainConfigValue,
    ::testing::Values(
        BadValue{"objective=dsm", {"got dsm", "one of dms, lm", "did you mean 'dms'?"}},
        BadValue{"model.dtype=float16", {"got float16", "float32 or bfloat16"}},
        BadValue{"model.dtype=int8", {"got int8"}},
        BadValue{"model.name=\"a\\0b\"", {"control characters"}},
        BadValue{"model.name=''", {"empty"}},
        BadValue{"model.name=[a]", {"got a list", "text"}},
        BadValue{"model.from_scratch=1", {"got 1", "true or false"}},
        BadValue{"model.from_scratch=true", {"objective: lm"}},
        BadValue{"dms=[1]", {"got a list", "a mapping"}},
        BadValue{"dms.window_size=-1", {"got -1", "an integer, 0 to"}},
        BadValue{"dms.window_size=1.5", {"got 1.5", "an integer"}},
        BadValue{"dms.window_size=1e3", {"got 1e3", "an integer"}},
        BadValue{"dms.window_size='512'", {"got \"512\"", "an integer"}},
        BadValue{"dms.window_size=99999999999999999999", {"an integer"}},
        BadValue{"dms.window_size=true", {"got true", "an integer"}},
        BadValue{"dms.window_size={}", {"got a mapping"}},
        BadValue{"dms.separate_alpha=maybe", {"got maybe", "true or false"}},
        BadValue{"dms.alpha_per=heads", {"head, layer", "did you mean 'head'?"}},
        BadValue{"dms.tau=0", {"got 0", "a number"}},
        BadValue{"dms.tau=-0.1", {"got -0.1"}},
        BadValue{"dms.tau=.nan", {"got .nan"}},
        BadValue{"dms.tau=nan", {"got nan"}},
        BadValue{"dms.tau=1e999", {"got 1e999"}},
        BadValue{"dms.tau=inf", {"got inf"}},
        BadValue{"dms.tau_start=0.05", {"below tau", "at least 0.1"}},
        BadValue{"dms.initial_cr=0.5", {"got 0.5", "a number, 1 to"}},
        BadValue{"dms.final_cr=0.99", {"got 0.99"}},
        BadValue{"dms.final_step=0", {"got 0"}},
        BadValue{"dms.decision_shift=2", {"got 2", "0 to 1"}},
        BadValue{"dms.alpha_bias=1", {"got 1", "true or false"}},
        BadValue{"dms.n_sink=-1", {"got -1"}},
        BadValue{"dms.init_scale=2", {"scales nothing", "dms.init"}},
        BadValue{"dms={init: zap, init_scale: 0}", {"got 0", "a number"}},
        BadValue{"dms={init: zap, alpha_bias: false}", {"threshold", "true"}},
        BadValue{"dms={init: zap, separate_alpha: false}", {"separate_alpha: true"}},
        BadValue{"dms={init: zap, decision_shift: 1}", {"decision_shift", "got 1", "expected 0"}},
        BadValue{"dms={init: zap}", {"decision_shift", "expected 0"}},
        BadValue{"dms={init: zap, decision_shift: 0, alpha_per: layer}",
                 {"alpha_per", "got layer", "expected head"}},
        BadValue{"dms={alpha_bias: true, separate_alpha: false}", {"separate_alpha: true"}},
        BadValue{"dms.kl=backward", {"one of reverse, forward"}},
        BadValue{"dms.kl_reduction=total", {"one of mean, sum"}},
        BadValue{"dms.noise=none", {"one of pair, single"}},
        BadValue{"dms.fraction=hard", {"straight_through, soft"}},
        BadValue{"dms.train=adaptor", {"'adaptor'", "adapter, all"}},
        BadValue{"dms.train=[all, adapter]", {"'all'"}},
        BadValue{"dms.train=[]", {"empty list"}},
        BadValue{"dms.train=[[a]]", {"got a list"}},
        BadValue{"dms.fade_steps=10", {"separate_alpha: false"}},
        BadValue{"dms.zero_after_rope=false", {"separate_alpha: false"}},
        BadValue{"data.blend=", {"missing"}},
        BadValue{"data.blend=books:0", {"weights above 0"}},
        BadValue{"data.blend=books:-1", {"weights above 0"}},
        BadValue{"data.blend=books:nan", {"weights above 0"}},
        BadValue{"data.blend=books:1,", {"NAME:WEIGHT"}},
        BadValue{"data.blend=books:1,books:2", {"twice"}},
        BadValue{"data.blend=boks:1", {"'boks'", "did you mean 'books'?"}},
        BadValue{"data.blend=wikipedia:1", {"declare it", "wikipedia: {path:"}},
        BadValue{"data.blend=[books]", {"got a list"}},
        BadValue{"data.max_length=1", {"2 to"}},
        BadValue{"data.train_samples=-1", {"got -1"}},
        BadValue{"data.process_vocab_using_chunk=0", {"got 0"}},
        BadValue{"data.tokenizer_kwargs=[1]", {"a mapping"}},
        BadValue{"data.tokenizer_kwargs.x=.inf", {"finite"}},
        BadValue{"data.loss_on=user", {"all, assistant"}},
        BadValue{"data.loss_on=assistant", {"no dataset of the blend"}},
        BadValue{"data.datasets=[books]", {"got a list"}},
        BadValue{"data.datasets.books=books.jsonl", {"a mapping"}},
        BadValue{"data.datasets.a b={path: x}", {"bad name"}},
        BadValue{"data.datasets.b={text: t}", {"path", "missing"}},
        BadValue{"data.datasets.b={path: [], text: t}", {"empty list"}},
        BadValue{"data.datasets.b={path: x, generator: {}}", {"beside a generator"}},
        BadValue{"data.datasets.b={path: x, text: t, prompt: p}", {"beside conversation"}},
        BadValue{"data.datasets.b={path: x, prompt: p}", {"both"}},
        BadValue{"data.datasets.b={path: x, conversation: c, prompt: p, response: r}",
                 {"one of the two forms"}},
        BadValue{"data.datasets.b={path: x, type: text, conversation: c}", {"contradicts"}},
        BadValue{"data.datasets.b={path: x, type: chat}", {"text, conversation"}},
        BadValue{"data.datasets.b={path: x, split: train}", {"valid_fraction"}},
        BadValue{"data.datasets.b={path: x, split: test, valid_fraction: 0.1}", {"train, valid"}},
        BadValue{"data.datasets.b={path: x, valid_fraction: 0.1}", {"split is missing"}},
        BadValue{"data.datasets.b={path: x, split: train, valid_fraction: 1}", {"0.99"}},
        BadValue{"hf_trainer.max_steps=-1", {"got -1"}},
        BadValue{"hf_trainer.max_steps=0", {"got 0"}},
        BadValue{"hf_trainer.max_steps=9223372036854775807", {"an integer, 1 to"}},
        BadValue{"hf_trainer.per_device_train_batch_size=0", {"got 0"}},
        BadValue{"hf_trainer.learning_rate=-1", {"got -1"}},
        BadValue{"hf_trainer.learning_rate=fast", {"got fast", "a number"}},
        BadValue{"hf_trainer.adam_beta1=1", {"got 1"}},
        BadValue{"hf_trainer.lr_scheduler_type=polynomial", {"warmup_stable_decay"}},
        BadValue{"hf_trainer.optim=adamw_tourch", {"did you mean 'adamw_torch'?"}},
        BadValue{"hf_trainer.save_strategy=epoch", {"steps, no"}},
        BadValue{"hf_trainer.save_steps=0.1", {"an integer"}},
        BadValue{"hf_trainer.num_train_epochs=3", {"max_steps"}},
        BadValue{"hf_trainer.fp16=true", {"bf16: true"}},
        BadValue{"hf_trainer.device=tpu", {"cpu, cuda or cuda:N"}},
        BadValue{"hf_trainer.device=cuda:x", {"cuda:N"}},
        BadValue{"hf_trainer.seed=-1", {"got -1"}},
        BadValue{"hf_trainer.threads=-2", {"got -2"}},
        BadValue{"hf_trainer.lr_scheduler_kwargs.num_decay_steps=9", {"warmup_stable_decay"}},
        BadValue{"hf_trainer.lr_scheduler_kwargs.min_lr_ratio=0.1", {"constant"}}),
    [](const auto& item) { return "Case" + std::to_string(item.index); });

TEST(TrainConfigError, MissingKeysAreNamed) {
  expect_parts(error_of(""), {"t.yaml: model.name", "missing"});
  expect_parts(error_of("model: {name: x}"), {"t.yaml: data.blend", "missing"});
  expect_parts(error_of("model:\n  dtype: float32"), {"t.yaml:1: model.name", "missing"});
  expect_parts(error_of(kMinimal, {"hf_trainer="}), {"hf_trainer.output_dir", "missing"});
}

TEST(TrainConfigError, ContradictionsBetweenKeys) {
  expect_parts(error_of(kMinimal + "dms: {initial_cr: 8, final_cr: 4}"),
               {"t.yaml:10: dms.final_cr", "below initial_cr", "at least 8"});
  expect_parts(error_of(kMinimal + "dms: {separate_alpha: false, train: adapter}"),
               {"t.yaml:10: dms.train", "no adapter"});
  expect_parts(error_of(kMinimal + "dms: {separate_alpha: false, fade_steps: 5, final_step: 5}"),
               {"dms.final_step", "more than 5"});
  expect_parts(error_of(kMinimal + "dms: {tau: 0.1}\nobjective: lm"),
               {"t.yaml:10: dms", "objective: lm"});
  expect_parts(error_of(kMinimal, {"objective=lm", "model.teacher_name=x"}),
               {"--set model.teacher_name", "no teacher"});
  expect_parts(error_of(kMinimal,
                        {"hf_trainer.max_steps=100",
                         "hf_trainer.lr_scheduler_type=warmup_stable_decay",
                         "hf_trainer.warmup_steps=20",
                         "hf_trainer.lr_scheduler_kwargs.num_decay_steps=81"}),
               {"num_decay_steps", "got 81", "max_steps - warmup_steps = 80"});
  expect_parts(error_of(kMinimal, {"hf_trainer.lr_scheduler_type=warmup_stable_decay"}),
               {"num_decay_steps", "missing"});
  expect_parts(
      error_of(kMinimal, {"hf_trainer.lr_scheduler_type=linear", "hf_trainer.warmup_steps=545"}),
      {"--set hf_trainer.warmup_steps", "at most 544"});
  expect_parts(error_of(kMinimal, {"hf_trainer.use_cpu=true", "hf_trainer.device=cuda"}),
               {"--set hf_trainer.device", "use_cpu"});
  expect_parts(error_of(kMinimal,
                        {"hf_trainer.max_steps=100000000",
                         "hf_trainer.per_device_train_batch_size=65536",
                         "hf_trainer.gradient_accumulation_steps=65536",
                         "data.max_length=16777216"}),
               {"hf_trainer.max_steps", "more tokens"});
  expect_parts(error_of(kMinimal + "dms: {tau: 1, dms_tau: 1}"), {"dms.dms_tau", "dms.tau"});
}

TEST(TrainConfigError, UndeclaredOpenR1AsksForItsFile) {
  expect_parts(error_of(kMinimal, {"data.blend=OpenR1Math220k:1.0"}),
               {"data.blend", "not declared", "--set data.datasets.OpenR1Math220k.path="});
}

TEST(TrainConfigError, FilesThatCannotBeRead) {
  const dms::testing_support::TempFolder folder;
  const auto load = [](const std::filesystem::path& file) {
    return input_error([&] { load_train_config(file, {}); });
  };
  expect_parts(load(folder.path() / "none.yaml"), {"none.yaml"});
  expect_parts(load(folder.path()), {folder.path().string()});
  expect_parts(load(folder.write("big.yaml", std::string(300'000, '#'))),
               {"big.yaml", "too large"});
  expect_parts(load(folder.write("binary.yaml",
                                 "\x7f"
                                 "ELF\xff\x00")),
               {"binary.yaml"});
}

/// A configuration with a few bytes changed is read or refused; nothing else may happen.
TEST(TrainConfigError, DamagedFilesAreReadOrRefused) {
  const uint64_t seed = dms::testing_support::seed();
  SCOPED_TRACE("DMS_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string pool = "{}[]:,-&*#?|>!%@`'\"~ \n\tab01.\\\xff";
  int refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    std::string text = kNvidia;
    for (uint64_t edit = random() % 4 + 1; edit > 0; --edit) {
      const size_t at = random() % text.size();
      if (random() % 4 == 0) {
        text.erase(at, random() % 40);
      } else {
        text[at] = pool[random() % pool.size()];
      }
    }
    try {
      parse_train_config(text, "t.yaml", {kNvidiaData});
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);  // and some are read: a comment or a note's key was hit
  EXPECT_LT(refused, 3000);
}

}  // namespace
}  // namespace dms::train
