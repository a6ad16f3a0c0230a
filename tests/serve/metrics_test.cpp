#include "serve/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dms::serve {
namespace {

using testing::HasSubstr;

TEST(Metrics, AreVllmsNamesAndOurs) {
  Metrics metrics("demo");
  metrics.http_request("/health", 200);
  metrics.first_token(std::chrono::milliseconds(50));
  Generation answer;
  answer.ids = {1, 2};
  answer.finish_reason = "stop";
  answer.prompt_tokens = 7;
  metrics.finished(answer, std::chrono::seconds(1));
  const std::string text = metrics.text(
      {.engine = {.running = 3,
                  .kv_limit_bytes = 1000,
                  .kv_used_bytes = 250,
                  .kv_running_bytes = 150,
                  .prompt_tokens = 7,
                  .dense_tokens_total = 100,
                  .held_tokens_total = 20},
       .documents = {.documents = 4, .in_memory = 3, .memory_bytes = 70, .uses = 11, .loads = 6},
       .slots = {.filled = 2, .held_bytes = 80, .requests = 9, .hits = 8, .restores = 1},
       .active = 5});
  for (const char* line : {
           "dms:num_requests_active{model_name=\"demo\"} 5\n",
           "dms:num_requests_running{model_name=\"demo\"} 3\n",
           "dms:kv_cache_usage_perc{model_name=\"demo\"} 0.25\n",
           "dms:kv_bytes_free{model_name=\"demo\"} 750\n",
           "dms:kv_bytes_running{model_name=\"demo\"} 150\n",
           "dms:documents{model_name=\"demo\"} 4\n",
           "dms:documents_in_memory{model_name=\"demo\"} 3\n",
           "dms:document_bytes{model_name=\"demo\"} 70\n",
           "dms:document_hits_total{model_name=\"demo\"} 11\n",
           "dms:document_loads_total{model_name=\"demo\"} 6\n",
           "dms:slots_filled{model_name=\"demo\"} 2\n",
           "dms:slot_bytes{model_name=\"demo\"} 80\n",
           "dms:slot_requests_total{model_name=\"demo\"} 9\n",
           "dms:slot_hits_total{model_name=\"demo\"} 8\n",
           "dms:slot_restores_total{model_name=\"demo\"} 1\n",
           "dms:prompt_tokens_total{model_name=\"demo\"} 7\n",
           "dms:kv_entries_evicted_total{model_name=\"demo\"} 80\n",
           "dms:request_success_total{finished_reason=\"stop\",model_name=\"demo\"} 1\n",
           "dms:http_requests_total{handler=\"/health\",status=\"200\"} 1\n",
           "dms:time_to_first_token_seconds_count{model_name=\"demo\"} 1\n",
           "dms:request_generation_tokens_sum{model_name=\"demo\"} 2\n",
           "# TYPE dms:e2e_request_latency_seconds histogram\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, CountersFollowTheEngines) {
  Metrics metrics("demo");
  metrics.text({.engine = {.generated_tokens = 5}});
  EXPECT_THAT(metrics.text({.engine = {.generated_tokens = 12}}),
              HasSubstr("dms:generation_tokens_total{model_name=\"demo\"} 12\n"));
}

}  // namespace
}  // namespace dms::serve
