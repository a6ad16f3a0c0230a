#include <algorithm>
#include <array>

#include "train/config/sections.h"

namespace dms::train::config {
namespace {

constexpr double kMaxCr = 10'000;
constexpr int64_t kMaxWindow = int64_t{1} << 24;
constexpr int64_t kMaxSteps = int64_t{1} << 27;

void read_eviction(yaml::Fields& fields, DmsSection& dms) {
  fields.number("alpha_scale", dms.alpha_scale, {1e-6, 1e6});
  fields.number("initial_alpha_offset", dms.initial_alpha_offset, {-1e6, 1e6});
  fields.integer("window_size", dms.window_size, {0, kMaxWindow});
  fields.boolean("disable_eviction", dms.disable_eviction);
  fields.boolean("separate_alpha", dms.separate_alpha);
  fields.choice("alpha_per", dms.per_layer, {{"head", false}, {"layer", true}});
  fields.integer("decision_shift", dms.decision_shift, {0, 1});
  if (fields.has("alpha_bias")) fields.boolean("alpha_bias", dms.alpha_bias.emplace());
  if (fields.has("n_sink")) fields.integer("n_sink", dms.n_sink.emplace(), {0, kMaxWindow});
}

void read_start(yaml::Fields& fields, DmsSection& dms) {
  fields.path("init", dms.init);
  fields.number("init_scale", dms.init_scale, {1e-3, 1e3});
  if (dms.init.empty()) {
    if (fields.has("init_scale"))
      fields.refuse("init_scale", "scales nothing", "dms.init beside it");
    return;
  }
  if (!dms.separate_alpha) {
    fields.refuse("init", "a borrowed channel starts as it is", "separate_alpha: true");
  }
  if (dms.alpha_bias == false) {
    fields.refuse("alpha_bias", "a start from scores needs it for their threshold", "true");
  }
  if (dms.per_layer) {
    fields.refuse("alpha_per", "the scores that init names are of each head", "head");
  }
  if (dms.decision_shift != 0) {
    fields.refuse("decision_shift", "the scores that init names are of the token itself", "0");
  }
}

void read_schedule(yaml::Fields& fields, DmsSection& dms) {
  constexpr yaml::Range<double> tau_range{1e-6, 1e6};
  fields.number("tau", dms.tau, tau_range);
  if (fields.has("tau_start")) fields.number("tau_start", dms.tau_start.emplace(), tau_range);
  fields.number("initial_cr", dms.initial_cr, {1.0, kMaxCr});
  fields.number("final_cr", dms.final_cr, {1.0, kMaxCr});
  if (fields.has("final_step")) {
    fields.integer("final_step", dms.final_step.emplace(), {1, kMaxSteps});
  }
  fields.integer("fade_steps", dms.fade_steps, {0, kMaxSteps});
}

void read_loss(yaml::Fields& fields, DmsSection& dms) {
  fields.choice(
      "kl", dms.kl, {{"reverse", KlDirection::reverse}, {"forward", KlDirection::forward}});
  fields.choice("kl_reduction", dms.kl_sum, {{"mean", false}, {"sum", true}});
  fields.choice("noise", dms.single_noise, {{"pair", false}, {"single", true}});
  fields.choice("fraction", dms.soft_fraction, {{"straight_through", false}, {"soft", true}});
  fields.boolean("zero_after_rope", dms.zero_after_rope);
}

/// "adapter", "all" or patterns of weight names.
void read_train(yaml::Fields& fields, DmsSection& dms) {
  if (!dms.separate_alpha) dms.train = {"all"};
  fields.texts("train", dms.train);
  const bool has_adapter = std::ranges::find(dms.train, "adapter") != dms.train.end();
  if (has_adapter && !dms.separate_alpha) {
    fields.refuse("train",
                  "separate_alpha: false has no adapter to train",
                  "all, or patterns of weight names");
  }
  for (const std::string& part : dms.train) {
    const bool is_all = part == "all" && dms.train.size() == 1;
    const bool is_pattern = part.find_first_of("*.") != std::string::npos;
    if (is_all || is_pattern || part == "adapter") continue;
    fields.refuse("train",
                  "'" + part + "' is no pattern of weight names",
                  "adapter, all, or a list of patterns such as '*.self_attn.*'");
  }
}

void check(yaml::Fields& fields, const DmsSection& dms) {
  if (dms.final_cr < dms.initial_cr) {
    fields.refuse("final_cr", "below initial_cr", "at least " + Json(dms.initial_cr).dump());
  }
  if (dms.tau_start && *dms.tau_start < dms.tau) {
    fields.refuse("tau_start", "below tau", "at least " + Json(dms.tau).dump());
  }
  if (dms.fade_steps > 0 && dms.separate_alpha) {
    fields.refuse("fade_steps",
                  "an adapter borrows no channel that could fade",
                  "0, or separate_alpha: false");
  }
  if (dms.disable_eviction && dms.train == std::vector<std::string>{"adapter"}) {
    fields.refuse("disable_eviction",
                  "an adapter alone has nothing to learn where nothing is evicted",
                  "false, or train: all");
  }
  if (dms.alpha_bias == true && !dms.separate_alpha) {
    fields.refuse("alpha_bias", "a borrowed channel has none", "separate_alpha: true");
  }
  if (fields.has("zero_after_rope") && dms.separate_alpha) {
    fields.refuse("zero_after_rope", "an adapter borrows no channel", "separate_alpha: false");
  }
  if (dms.final_step && *dms.final_step <= dms.fade_steps) {
    fields.refuse("final_step",
                  "the CR rises after fade_steps",
                  "more than " + std::to_string(dms.fade_steps));
  }
}

}  // namespace

void read_dms_section(yaml::Fields fields, TrainConfig& config) {
  // Fields of NVIDIA's model configuration, which their trainer passes on from this section.
  constexpr std::array<std::string_view, 6> ignored{"cr",
                                                    "paged_attention_block_size",
                                                    "compile_limit",
                                                    "manual_inference_mode",
                                                    "chunked_prefill",
                                                    "preallocate_for_tokens"};
  DmsSection& dms = config.dms;
  read_eviction(fields, dms);
  read_start(fields, dms);
  read_schedule(fields, dms);
  read_loss(fields, dms);
  read_train(fields, dms);
  fields.ignore(ignored, config.notes);
  fields.finish();
  check(fields, dms);
  if (dms.disable_eviction) {
    config.notes.push_back("dms.disable_eviction: nothing is evicted, so no decision is learnt");
  }
}

}  // namespace dms::train::config
