#include "train/config/train_config.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/config/documents.h"

namespace dms::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing_support::kMinimal;
using testing_support::kNvidia;
using testing_support::kNvidiaData;

TrainConfig parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return parse_train_config(yaml, "t.yaml", overrides);
}

TEST(TrainConfig, ReadsNvidiasRecipe) {
  const TrainConfig config = parse(kNvidia, {kNvidiaData});
  EXPECT_EQ(config.objective, Objective::dms);
  EXPECT_EQ(config.model.name, "models/Qwen3-1.7B");
  EXPECT_EQ(config.model.dtype, DType::f32);
  EXPECT_TRUE(config.model.teacher.empty());
  EXPECT_EQ(config.dms.alpha_scale, 100.0);
  EXPECT_EQ(config.dms.initial_alpha_offset, 5.0);
  EXPECT_EQ(config.dms.window_size, 512);
  EXPECT_TRUE(config.dms.separate_alpha);
  EXPECT_FALSE(config.dms.per_layer);
  EXPECT_EQ(config.dms.tau, 0.1);
  EXPECT_EQ(config.dms.final_cr, 16.0);
  EXPECT_EQ(config.dms.final_step, 510);
  EXPECT_EQ(config.dms.decision_shift, 1);
  EXPECT_EQ(config.dms.kl, KlDirection::reverse);
  EXPECT_THAT(config.dms.train, ElementsAre("adapter"));
  EXPECT_EQ(config.data.train_samples, 4000);
  EXPECT_EQ(config.data.max_length, 8192);
  EXPECT_EQ(config.data.tokenizer_kwargs, Json({{"enable_thinking", true}}));
  EXPECT_EQ(config.trainer.output_dir, "outputs/qwen3_1.7b_small");
  EXPECT_EQ(config.trainer.max_steps, 544);
  EXPECT_EQ(config.trainer.accumulation_steps, 16);
  EXPECT_EQ(config.trainer.learning_rate, 3e-5);
  EXPECT_EQ(config.trainer.save_steps, 34);
  EXPECT_EQ(config.trainer.save_total_limit, 5);
  EXPECT_TRUE(config.trainer.gradient_checkpointing);  // by fsdp_config
  EXPECT_EQ(config.trainer.resume, "");
  const DatasetSection& math = config.data.datasets.at("OpenR1Math220k");
  EXPECT_EQ(math.prompt_field, "problem");
  EXPECT_EQ(math.response_field, "generations[correctness_math_verify]");
  EXPECT_EQ(math.filter, "any(correctness_math_verify)");
}

TEST(TrainConfig, NotesWhatHasNoMeaningHere) {
  std::string notes;
  for (const std::string& note : parse(kNvidia, {kNvidiaData}).notes) notes += note + "\n";
  for (const char* key : {"model.forward_fn_kwargs",
                          "hf_trainer.run_name",
                          "hf_trainer.tf32",
                          "hf_trainer.save_safetensors",
                          "hf_trainer.fsdp ",
                          "hf_trainer.fsdp_config: activation_checkpointing turns"}) {
    EXPECT_THAT(notes, HasSubstr(key));
  }
  for (const char* key : {"save_strategy", "logging_strategy", "resume_from_checkpoint"}) {
    EXPECT_EQ(notes.find(key), std::string::npos) << key;
  }
}

TEST(TrainConfig, AbsentKeysTakeTheRecipesDefaults) {
  const TrainConfig config = parse(kMinimal);
  EXPECT_EQ(config.dms.window_size, 512);
  EXPECT_EQ(config.dms.initial_cr, 1.0);
  EXPECT_EQ(config.dms.final_cr, 16.0);
  EXPECT_FALSE(config.dms.final_step.has_value());
  EXPECT_EQ(config.data.max_length, 32768);
  EXPECT_EQ(config.trainer.max_steps, 544);
  EXPECT_EQ(config.trainer.adam_beta2, 0.95);
  EXPECT_EQ(config.trainer.max_grad_norm, 1.0);
  EXPECT_EQ(config.trainer.device, "auto");
  EXPECT_FALSE(config.trainer.offload_optimizer);
  EXPECT_THAT(config.notes, IsEmpty());
}

TEST(TrainConfig, TakesTheModelConfigsSpellingOfDmsKeys) {
  const TrainConfig config = parse(kMinimal, {"dms.dms_window_size=64", "dms.dms_cr=8"});
  EXPECT_EQ(config.dms.window_size, 64);
}

TEST(TrainConfig, ReadsTheTwoPhaseNeuronRecipe) {
  const TrainConfig config = parse(kMinimal +
                                   "dms: {separate_alpha: no, fade_steps: 20, final_step: 27, "
                                   "final_cr: 8, decision_shift: 0, zero_after_rope: false, "
                                   "tau_start: 1, noise: single, fraction: soft, kl: forward, "
                                   "kl_reduction: sum, alpha_per: layer}");
  EXPECT_FALSE(config.dms.separate_alpha);
  EXPECT_THAT(config.dms.train, ElementsAre("all"));
  EXPECT_EQ(config.dms.fade_steps, 20);
  EXPECT_EQ(config.dms.decision_shift, 0);
  EXPECT_FALSE(config.dms.zero_after_rope);
  EXPECT_EQ(config.dms.tau_start, 1.0);
  EXPECT_TRUE(config.dms.single_noise);
  EXPECT_TRUE(config.dms.soft_fraction);
  EXPECT_EQ(config.dms.kl, KlDirection::forward);
  EXPECT_TRUE(config.dms.kl_sum);
  EXPECT_TRUE(config.dms.per_layer);
}

TEST(TrainConfig, AStartFromScoresLeavesTheirSettingsToThem) {
  const TrainConfig config =
      parse(kMinimal, {"dms.init=models/zap", "dms.init_scale=2.5", "dms.decision_shift=0"});
  EXPECT_EQ(config.dms.init, "models/zap");
  EXPECT_EQ(config.dms.init_scale, 2.5);
  EXPECT_FALSE(config.dms.alpha_bias);
  EXPECT_FALSE(config.dms.n_sink);
  EXPECT_EQ(parse(kMinimal, {"dms.n_sink=0"}).dms.n_sink, 0);
  EXPECT_EQ(parse(kMinimal, {"dms.alpha_bias=true"}).dms.alpha_bias, true);
}

TEST(TrainConfig, TrainTakesPatterns) {
  EXPECT_THAT(parse(kMinimal, {"dms.train=all"}).dms.train, ElementsAre("all"));
  EXPECT_THAT(parse(kMinimal, {"dms.train=[adapter, '*.q_proj.*']"}).dms.train,
              ElementsAre("adapter", "*.q_proj.*"));
}

TEST(TrainConfig, TeacherIsTheStudentUnlessItDiffers) {
  EXPECT_EQ(parse(kMinimal, {"model.teacher_name=models/demo"}).model.teacher, "");
  EXPECT_EQ(parse(kMinimal, {"model.teacher_name=models/big"}).model.teacher, "models/big");
  const TrainConfig config = parse(kMinimal, {"model.teacher_dtype=bfloat16"});
  EXPECT_EQ(config.model.teacher, "models/demo");
  EXPECT_EQ(config.model.teacher_dtype, DType::bf16);
  EXPECT_EQ(parse(kMinimal, {"model.dtype=bfloat16"}).model.teacher, "");
}

TEST(TrainConfig, LanguageModelling) {
  const TrainConfig config =
      parse("objective: lm\n" + kMinimal, {"model.from_scratch=true", "hf_trainer.optim=muon"});
  EXPECT_EQ(config.objective, Objective::lm);
  EXPECT_TRUE(config.model.from_scratch);
  EXPECT_EQ(config.trainer.optimizer, OptimizerKind::muon);
  EXPECT_EQ(parse(kNvidia, {kNvidiaData, "objective=lm", "dms="}).objective, Objective::lm);
}

/// Other fields may be named for another version of it.
TEST(TrainConfig, AKnownDatasetCanBeDeclaredOtherwise) {
  const TrainConfig config =
      parse(kNvidia, {"data.datasets.OpenR1Math220k={path: a.jsonl, text: solution}"});
  const DatasetSection& math = config.data.datasets.at("OpenR1Math220k");
  EXPECT_EQ(math.kind, DatasetKind::text);
  EXPECT_EQ(math.field, "solution");
  EXPECT_EQ(math.filter, "");
}

TEST(TrainConfig, Machine) {
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.use_cpu=true"}).trainer.device, "cpu");
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.device=cuda:3"}).trainer.device, "cuda:3");
  EXPECT_TRUE(parse(kMinimal, {"hf_trainer.offload_optimizer=true"}).trainer.offload_optimizer);
}

TEST(TrainConfig, Blend) {
  const TrainConfig config =
      parse(kMinimal,
            {"data.datasets.code={path: [a.jsonl, b/*.jsonl]}", "data.blend=books:0.25, code:3"});
  ASSERT_EQ(config.data.blend.size(), 2u);
  EXPECT_EQ(config.data.blend[0].dataset, "books");
  EXPECT_EQ(config.data.blend[0].weight, 0.25);
  EXPECT_EQ(config.data.blend[1].dataset, "code");
  EXPECT_EQ(config.data.blend[1].weight, 3.0);
  EXPECT_THAT(config.data.datasets.at("code").paths, ElementsAre("a.jsonl", "b/*.jsonl"));
  EXPECT_EQ(parse(kMinimal, {"data.blend=books"}).data.blend[0].weight, 1.0);
}

TEST(TrainConfig, DatasetKindFollowsFromTheFieldsNamed) {
  const auto read = [](const std::string& yaml) {
    return parse(kMinimal, {"data.datasets.books={path: x, " + yaml + "}"})
        .data.datasets.at("books");
  };
  EXPECT_EQ(read("filter: length > 3").kind, DatasetKind::text);
  EXPECT_EQ(read("filter: length > 3").field, "text");
  EXPECT_EQ(read("filter: length > 3").filter, "length > 3");
  EXPECT_EQ(read("text: body").field, "body");
  EXPECT_EQ(read("conversation: messages").kind, DatasetKind::conversation);
  EXPECT_EQ(read("conversation: messages").field, "messages");
  EXPECT_EQ(read("type: conversation").field, "conversation");
  const DatasetSection pair = read("prompt: q, response: a, split: valid, valid_fraction: 0.1");
  EXPECT_EQ(pair.kind, DatasetKind::conversation);
  EXPECT_EQ(pair.field, "");
  EXPECT_EQ(pair.prompt_field, "q");
  EXPECT_EQ(pair.response_field, "a");
  EXPECT_EQ(pair.split, "valid");
  EXPECT_EQ(pair.valid_fraction, 0.1);
}

TEST(TrainConfig, GeneratorSettingsAreKeptAsJson) {
  const TrainConfig config = parse(
      kMinimal, {"data.datasets.books={generator: {kind: recall, seed: 7, keys: [1, 2.5, 'x']}}"});
  const Json expected = {{"kind", "recall"}, {"seed", 7}, {"keys", {1, 2.5, "x"}}};
  EXPECT_EQ(config.data.datasets.at("books").generator, expected);
  const TrainConfig with_source = parse(
      kMinimal, {"data.datasets.needles={generator: {source: books}}", "data.blend=needles:1"});
  EXPECT_THAT(with_source.notes, IsEmpty());
}

TEST(TrainConfig, SchedulesMeanWhatTheyMeanInTransformers) {
  const auto read = [](const std::string& yaml) {
    return parse(kMinimal, {"hf_trainer={output_dir: o, max_steps: 100, " + yaml + "}"}).trainer;
  };
  EXPECT_EQ(read("lr_scheduler_type: constant, warmup_steps: 10").warmup_steps, 0);
  EXPECT_EQ(read("lr_scheduler_type: constant_with_warmup, warmup_steps: 10").warmup_steps, 10);
  EXPECT_EQ(read("lr_scheduler_type: linear, warmup_ratio: 0.055").warmup_steps, 6);
  EXPECT_EQ(read("lr_scheduler_type: linear, warmup_ratio: 0.5, warmup_steps: 3").warmup_steps, 3);
  const TrainerSection cosine =
      read("lr_scheduler_type: cosine_with_min_lr, lr_scheduler_kwargs: {min_lr_rate: 0.1}");
  EXPECT_EQ(cosine.schedule, LrSchedule::cosine);
  EXPECT_EQ(cosine.min_lr_ratio, 0.1);
  const TrainerSection stable = read(
      "lr_scheduler_type: warmup_stable_decay, warmup_steps: 10, "
      "lr_scheduler_kwargs: {num_decay_steps: 90}");
  EXPECT_EQ(stable.schedule, LrSchedule::warmup_stable_decay);
  EXPECT_EQ(stable.decay_steps, 90);
}

TEST(TrainConfig, SavingLoggingAndResuming) {
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.save_strategy='no'"}).trainer.save_steps, 0);
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.save_strategy=no"}).trainer.save_steps, 0);
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.logging_strategy=no"}).trainer.logging_steps, 0);
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.resume_from_checkpoint=auto"}).trainer.resume, "auto");
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.resume_from_checkpoint=true"}).trainer.resume, "auto");
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.resume_from_checkpoint=a/b"}).trainer.resume, "a/b");
  EXPECT_EQ(parse(kMinimal, {"hf_trainer.resume_from_checkpoint=false"}).trainer.resume, "");
}

TEST(TrainConfig, OddButPossibleSettingsAreNoted) {
  const auto note = [](const std::string& override_text) {
    const TrainConfig config = parse(kMinimal, {override_text});
    return config.notes.empty() ? "" : config.notes.front();
  };
  EXPECT_THAT(note("data.max_length=512"), HasSubstr("dms.window_size"));
  EXPECT_EQ(note("data.max_length=513"), "");
  EXPECT_THAT(note("dms.final_step=545"), HasSubstr("dms.final_step"));
  EXPECT_EQ(note("dms.final_step=544"), "");
  EXPECT_THAT(note("dms={disable_eviction: true, train: all}"), HasSubstr("dms.disable_eviction"));
  EXPECT_THAT(note("data.datasets.more={path: x}"), HasSubstr("data.datasets.more"));
  EXPECT_THAT(note("hf_trainer.ddp_timeout=9"), HasSubstr("hf_trainer.ddp_timeout"));
  EXPECT_THAT(note("hf_trainer.dataloader_num_workers=9"), HasSubstr("dataloader_num_workers"));
}

TEST(TrainConfig, SourceHoldsTheOverridesAndReadsBackTheSame) {
  const TrainConfig first = parse(kNvidia,
                                  {kNvidiaData,
                                   "data.max_length=512",
                                   "dms.tau_start=1",
                                   "data.tokenizer_kwargs.note=\"two\\nlines: #1\"",
                                   "data.tokenizer_kwargs.text='true'",
                                   "data.tokenizer_kwargs.none=~",
                                   "data.tokenizer_kwargs.list=[]"});
  const TrainConfig again = parse(first.source);
  EXPECT_EQ(again.data.max_length, 512);
  EXPECT_EQ(again.dms.tau_start, 1.0);
  EXPECT_EQ(again.data.tokenizer_kwargs, first.data.tokenizer_kwargs);
  EXPECT_EQ(again.data.tokenizer_kwargs,
            Json({{"enable_thinking", true},
                  {"note", "two\nlines: #1"},
                  {"text", "true"},
                  {"none", nullptr},
                  {"list", Json::array()}}));
  EXPECT_EQ(again.trainer.output_dir, first.trainer.output_dir);
  EXPECT_EQ(again.notes, first.notes);
}

}  // namespace
}  // namespace dms::train
