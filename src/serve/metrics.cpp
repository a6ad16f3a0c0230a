#include "serve/metrics.h"

#include <span>
#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "serve/metric_rows.h"

namespace dms::serve {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Labels = prometheus::Labels;

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
                 .Register(registry)) {
    for (const CountRow& row : gauge_rows()) {
      gauges.push_back(
          &prometheus::BuildGauge().Name(row.name).Help(row.help).Register(registry).Add(labels));
    }
    for (const CountRow& row : counter_rows()) {
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

std::string Metrics::text(const ServerCounts& counts) {
  const std::span<const CountRow> gauges = gauge_rows();
  for (size_t i = 0; i < gauges.size(); ++i) {
    state_->gauges[i]->Set(gauges[i].read(counts));
  }
  const std::span<const CountRow> counters = counter_rows();
  for (size_t i = 0; i < counters.size(); ++i) {
    Counter& counter = *state_->counters[i];
    const double value = counters[i].read(counts);
    if (value > counter.Value()) counter.Increment(value - counter.Value());
  }
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace dms::serve
