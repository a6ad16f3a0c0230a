// dms inspect: what a model is and what its cache costs, without loading a weight.

#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/text_table.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  std::string config;
  std::filesystem::path adapter;
  bool json = false;
};

/// Bytes per token once the window is full of older tokens' survivors; 0: not known.
double compact_bytes_per_token(const ModelInfo& info) {
  double target_cr = 0;
  if (info.dms && !info.dms->disable_eviction) target_cr = info.dms->target_cr;
  if (info.kvzap) target_cr = info.kvzap->target_cr;
  return target_cr > 0 ? static_cast<double>(info.kv_bytes_per_token) / target_cr : 0;
}

OutputJson dms_json(const DmsInfo& dms) {
  return {{"source", dms.source},
          {"window", dms.window},
          {"decision_shift", dms.decision_shift},
          {"alpha_per", dms.alpha_per},
          {"alpha_scale", dms.alpha_scale},
          {"alpha_offset", dms.alpha_offset},
          {"target_cr", dms.target_cr > 0 ? OutputJson(dms.target_cr) : OutputJson()},
          {"disable_eviction", dms.disable_eviction},
          {"origin", dms.origin}};
}

OutputJson kvzap_json(const KvzapInfo& kvzap) {
  return {{"form", kvzap.form},
          {"threshold", kvzap.threshold},
          {"window", kvzap.window},
          {"n_sink", kvzap.sinks},
          {"target_cr", kvzap.target_cr > 0 ? OutputJson(kvzap.target_cr) : OutputJson()},
          {"origin", kvzap.origin}};
}

OutputJson generation_json(const SamplingParams& sampling) {
  return {{"do_sample", sampling.temperature > 0},
          {"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"min_p", sampling.min_p},
          {"repetition_penalty", sampling.repetition_penalty}};
}

OutputJson stored_json(const std::vector<StoredType>& stored) {
  OutputJson types = OutputJson::array();
  for (const StoredType& type : stored) {
    types.push_back({{"type", type.name},
                     {"tensors", type.tensors},
                     {"parameters", type.parameters},
                     {"bytes", type.bytes}});
  }
  return types;
}

OutputJson info_json(const ModelInfo& info) {
  const double compact = compact_bytes_per_token(info);
  return {{"model_type", info.model_type},
          {"parameters", info.parameters},
          {"layers", info.layers},
          {"hidden", info.hidden},
          {"q_heads", info.q_heads},
          {"kv_heads", info.kv_heads},
          {"head_dim", info.head_dim},
          {"ffn", info.ffn},
          {"vocab", info.vocab},
          {"context", info.context},
          {"tied_head", info.tied_head},
          {"bos_id", info.bos_id ? OutputJson(*info.bos_id) : OutputJson()},
          {"eos_ids", info.eos_ids},
          {"generation", generation_json(info.sampling)},
          {"kv_bytes_per_token", info.kv_bytes_per_token},
          {"kv_bytes_per_token_compact", compact > 0 ? OutputJson(compact) : OutputJson()},
          {"dms", info.dms ? dms_json(*info.dms) : OutputJson()},
          {"kvzap", info.kvzap ? kvzap_json(*info.kvzap) : OutputJson()},
          {"policy", info.policy},
          {"stored", stored_json(info.stored)},
          {"notes", info.notes}};
}

std::string dms_line(const DmsInfo& dms) {
  std::string text =
      fmt::format("{} decisions per {}, window {}, shift {}, scale {}, offset {}, target CR {}",
                  dms.source,
                  dms.alpha_per,
                  dms.window,
                  dms.decision_shift,
                  dms.alpha_scale,
                  dms.alpha_offset,
                  dms.target_cr > 0 ? fmt::format("{}", dms.target_cr) : "not stated");
  return dms.disable_eviction ? text + ", eviction disabled" : text;
}

std::string kvzap_line(const KvzapInfo& kvzap) {
  return fmt::format("{} scores, threshold {:.4g}, window {}, first {} tokens kept, target CR {}",
                     kvzap.form,
                     kvzap.threshold,
                     kvzap.window,
                     kvzap.sinks,
                     kvzap.target_cr > 0 ? fmt::format("{:.4g}", kvzap.target_cr) : "not stated");
}

std::string generation_line(const SamplingParams& sampling) {
  std::string text = "greedy";
  if (sampling.temperature > 0) {
    text = fmt::format("temperature {}", sampling.temperature);
    if (sampling.top_k > 0) text += fmt::format(", top-k {}", sampling.top_k);
    if (sampling.top_p < 1) text += fmt::format(", top-p {}", sampling.top_p);
    if (sampling.min_p > 0) text += fmt::format(", min-p {}", sampling.min_p);
  }
  if (sampling.repetition_penalty == 1) return text;
  return text + fmt::format(", repetition penalty {}", sampling.repetition_penalty);
}

std::string memory_line(int64_t bytes_per_token, int64_t context) {
  return fmt::format("{} per token, {} at {} tokens",
                     format_bytes(bytes_per_token),
                     format_bytes(bytes_per_token * context),
                     context);
}

std::string stored_line(const std::vector<StoredType>& stored) {
  std::string text;
  for (const StoredType& type : stored) {
    text += fmt::format("{}{} {} ({})",
                        text.empty() ? "" : ", ",
                        counted(type.tensors, "tensor"),
                        type.name,
                        format_bytes(type.bytes));
  }
  return text;
}

void print_info(const ModelInfo& info) {
  const auto line = [](std::string_view label, const std::string& value) {
    print(labelled_line(label, value, stdout_columns()));
  };
  line("model", info.model_type);
  line("parameters", fmt::format("{} ({})", format_count(info.parameters), info.parameters));
  if (!info.stored.empty()) line("stored as", stored_line(info.stored));
  line("shape",
       fmt::format("{}, hidden {}, ffn {}, {}, {} of {}",
                   counted(info.layers, "layer"),
                   info.hidden,
                   info.ffn,
                   counted(info.q_heads, "query head"),
                   counted(info.kv_heads, "KV head"),
                   info.head_dim));
  line("vocabulary", fmt::format("{}{}", info.vocab, info.tied_head ? ", tied head" : ""));
  line("context", counted(info.context, "token"));
  line("end tokens", fmt::format("{}", fmt::join(info.eos_ids, ", ")));
  line("generation", generation_line(info.sampling));
  line("KV dense", memory_line(info.kv_bytes_per_token, info.context) + ", bf16");
  if (const double compact = compact_bytes_per_token(info); compact > 0) {
    line("KV compact",
         memory_line(static_cast<int64_t>(compact), info.context) + ", survivors at target CR");
  }
  const bool is_plain = !info.dms && info.policy == "none";
  line("DMS",
       info.dms   ? dms_line(*info.dms)
       : is_plain ? "none: a plain model (use --policy to evict)"
                  : "none");
  if (info.dms) line("DMS from", info.dms->origin);
  if (info.kvzap) {
    line("KVzap", kvzap_line(*info.kvzap));
    line("KVzap from", info.kvzap->origin);
  }
  if (!info.dms && info.policy != "none") line("policy", info.policy + ", unless told otherwise");
  for (const std::string& note : info.notes) line("note", note);
}

void inspect(const Options& options) {
  if (options.model.empty() == options.config.empty()) {
    throw InputError({.where = "MODEL",
                      .what = options.model.empty() ? "missing" : "given beside --config",
                      .expected = "a Hugging Face folder, a .gguf file, or --config config.json"});
  }
  const std::filesystem::path path =
      options.model.empty() ? seekable_file(options.config) : std::filesystem::path(options.model);
  const ModelInfo info = inspect_model(path, options.adapter, MetadataScope::with_parent);
  if (options.json) {
    print_json(info_json(info));
  } else {
    print_info(info);
  }
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_input_file(app, "--config", options->config, "A config.json instead of MODEL");
  add_adapter(app, options->adapter);
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { inspect(*options); };
}

}  // namespace

Command inspect_command() {
  return {.name = "inspect",
          .summary = "Show a model's shape, memory per token and DMS settings",
          .examples =
              "  dms inspect models/demo\n"
              "  dms inspect models/demo --json\n"
              "  dms inspect --config configs/shapes/llama-3.2-1b.json\n",
          .define = define};
}

}  // namespace dms::cli
