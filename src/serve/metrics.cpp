#include "serve/metrics.h"

#include <array>
#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace dms::serve {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Labels = prometheus::Labels;

struct GaugeRow {
  const char* name;
  const char* help;
  double (*read)(const EngineStats& stats);
};

struct CounterRow {
  const char* name;
  const char* help;
  int64_t (*read)(const EngineStats& stats);
};

double used_share(const EngineStats& stats) {
  return stats.kv_limit_bytes > 0
             ? static_cast<double>(stats.kv_used_bytes) / static_cast<double>(stats.kv_limit_bytes)
             : 0;
}

constexpr std::array kGauges{
    GaugeRow{"dms:num_requests_running",
             "Answers being computed",
             [](const EngineStats& stats) { return static_cast<double>(stats.running); }},
    GaugeRow{"dms:num_requests_waiting",
             "Requests that have not begun, and answers that were preempted",
             [](const EngineStats& stats) { return static_cast<double>(stats.waiting); }},
    GaugeRow{"dms:num_requests_preempted",
             "Of those that wait, answers that were preempted",
             [](const EngineStats& stats) { return static_cast<double>(stats.preempted); }},
    GaugeRow{"dms:num_requests_swapped_bytes",
             "Bytes of the caches that were written away",
             [](const EngineStats& stats) { return static_cast<double>(stats.swapped_bytes); }},
    GaugeRow{"dms:kv_cache_usage_perc", "Share of the KV cache in use; 1 is full", used_share},
    GaugeRow{"dms:kv_bytes_used",
             "Bytes of KV pages in use",
             [](const EngineStats& stats) { return static_cast<double>(stats.kv_used_bytes); }},
    GaugeRow{"dms:kv_bytes_running",
             "Bytes of the caches of what runs, without prefixes that are kept for later",
             [](const EngineStats& stats) { return static_cast<double>(stats.kv_running_bytes); }},
    GaugeRow{"dms:kv_bytes_free",
             "Bytes that KV pages may still take",
             [](const EngineStats& stats) {
               const int64_t left = stats.kv_limit_bytes - stats.kv_used_bytes;
               return static_cast<double>(left > 0 ? left : 0);
             }},
    GaugeRow{"dms:kv_bytes_limit",
             "Bytes that KV pages may take; 0: no limit",
             [](const EngineStats& stats) { return static_cast<double>(stats.kv_limit_bytes); }},
    GaugeRow{"dms:kv_bytes_peak",
             "Most bytes of KV pages so far",
             [](const EngineStats& stats) { return static_cast<double>(stats.kv_peak_bytes); }},
    GaugeRow{"dms:kv_entries_dense",
             "Entries that full caches of what runs would hold",
             [](const EngineStats& stats) { return static_cast<double>(stats.dense_tokens); }},
    GaugeRow{"dms:kv_entries_held",
             "Entries that the caches of what runs hold",
             [](const EngineStats& stats) { return static_cast<double>(stats.held_tokens); }},
    GaugeRow{"dms:prefix_cache_entries",
             "Beginnings of prompts that are kept",
             [](const EngineStats& stats) { return static_cast<double>(stats.cached_prefixes); }},
};

constexpr std::array kCounters{
    CounterRow{"dms:prompt_tokens_total",
               "Prompt tokens",
               [](const EngineStats& stats) { return stats.prompt_tokens; }},
    CounterRow{"dms:generation_tokens_total",
               "Generated tokens",
               [](const EngineStats& stats) { return stats.generated_tokens; }},
    CounterRow{"dms:prefix_cache_queries_total",
               "Prompt tokens looked for in the prefix cache",
               [](const EngineStats& stats) { return stats.prompt_tokens; }},
    CounterRow{"dms:prefix_cache_hits_total",
               "Prompt tokens taken from the prefix cache",
               [](const EngineStats& stats) { return stats.cached_tokens; }},
    CounterRow{"dms:spec_decode_num_draft_tokens_total",
               "Tokens guessed ahead of answers",
               [](const EngineStats& stats) { return stats.drafted_tokens; }},
    CounterRow{"dms:spec_decode_num_accepted_tokens_total",
               "Of them, those that were right",
               [](const EngineStats& stats) { return stats.accepted_tokens; }},
    CounterRow{"dms:num_preemptions_total",
               "Answers that had to give their memory back",
               [](const EngineStats& stats) { return stats.preemptions; }},
    CounterRow{"dms:num_swaps_total",
               "Preemptions that wrote the cache away",
               [](const EngineStats& stats) { return stats.swaps; }},
    CounterRow{"dms:kv_entries_dense_total",
               "Entries that full caches of ended answers would have held",
               [](const EngineStats& stats) { return stats.dense_tokens_total; }},
    CounterRow{"dms:kv_entries_evicted_total",
               "Of them, those that were not held at the end",
               [](const EngineStats& stats) {
                 return stats.dense_tokens_total - stats.held_tokens_total;
               }},
};

double seconds(Metrics::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

const Histogram::BucketBoundaries kFirstTokenBounds{
    0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640};
const Histogram::BucketBoundaries kNextTokenBounds{
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10};
const Histogram::BucketBoundaries kRequestBounds{0.1, 0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,
                                                 15,  20,  30,  40,  50, 60,  120, 240, 480, 960};
const Histogram::BucketBoundaries kTokenBounds{
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

}  // namespace

struct Metrics::State {
  explicit State(const std::string& model_name)
      : labels{{"model_name", model_name}},
        first_token(histogram("dms:time_to_first_token_seconds",
                              "From a request's arrival to its first token",
                              kFirstTokenBounds)),
        next_token(histogram(
            "dms:inter_token_latency_seconds", "Between tokens of an answer", kNextTokenBounds)),
        queue(histogram("dms:request_queue_time_seconds",
                        "From a request's arrival to the first pass for it",
                        kRequestBounds)),
        whole(histogram("dms:e2e_request_latency_seconds",
                        "From a request's arrival to an answer's end",
                        kRequestBounds)),
        prompt(histogram("dms:request_prompt_tokens", "Prompt tokens of an answer", kTokenBounds)),
        generated(histogram(
            "dms:request_generation_tokens", "Generated tokens of an answer", kTokenBounds)),
        successes(prometheus::BuildCounter()
                      .Name("dms:request_success_total")
                      .Help("Answers by how they ended")
                      .Register(registry)),
        http(prometheus::BuildCounter()
                 .Name("dms:http_requests_total")
                 .Help("HTTP requests by endpoint and status")
                 .Register(registry)),
        active(prometheus::BuildGauge()
                   .Name("dms:num_requests_active")
                   .Help("Requests that have been accepted and not answered")
                   .Register(registry)
                   .Add(labels)) {
    for (const GaugeRow& row : kGauges) {
      gauges.push_back(
          &prometheus::BuildGauge().Name(row.name).Help(row.help).Register(registry).Add(labels));
    }
    for (const CounterRow& row : kCounters) {
      counters.push_back(
          &prometheus::BuildCounter().Name(row.name).Help(row.help).Register(registry).Add(labels));
    }
  }

  Histogram& histogram(const char* name,
                       const char* help,
                       const Histogram::BucketBoundaries& bounds) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                                     bounds);
  }

  prometheus::Registry registry;
  Labels labels;
  Histogram& first_token;
  Histogram& next_token;
  Histogram& queue;
  Histogram& whole;
  Histogram& prompt;
  Histogram& generated;
  prometheus::Family<Counter>& successes;
  prometheus::Family<Counter>& http;
  Gauge& active;
  std::vector<Gauge*> gauges;
  std::vector<Counter*> counters;
};

Metrics::Metrics(const std::string& model_name) : state_(std::make_unique<State>(model_name)) {}
Metrics::~Metrics() = default;

void Metrics::http_request(std::string_view endpoint, int status) {
  state_->http.Add({{"handler", std::string(endpoint)}, {"status", std::to_string(status)}})
      .Increment();
}

void Metrics::first_token(Duration since_arrival) {
  state_->first_token.Observe(seconds(since_arrival));
}

void Metrics::next_token(Duration since_last) { state_->next_token.Observe(seconds(since_last)); }
void Metrics::left_queue(Duration since_arrival) { state_->queue.Observe(seconds(since_arrival)); }

void Metrics::finished(const Generation& answer, Duration since_arrival) {
  Labels labels = state_->labels;
  labels["finished_reason"] = answer.finish_reason;
  state_->successes.Add(labels).Increment();
  state_->whole.Observe(seconds(since_arrival));
  state_->prompt.Observe(static_cast<double>(answer.prompt_tokens));
  state_->generated.Observe(static_cast<double>(answer.ids.size()));
}

std::string Metrics::text(const EngineStats& stats, size_t active) {
  state_->active.Set(static_cast<double>(active));
  for (size_t i = 0; i < kGauges.size(); ++i) state_->gauges[i]->Set(kGauges[i].read(stats));
  for (size_t i = 0; i < kCounters.size(); ++i) {
    Counter& counter = *state_->counters[i];
    const auto value = static_cast<double>(kCounters[i].read(stats));
    if (value > counter.Value()) counter.Increment(value - counter.Value());
  }
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace dms::serve
