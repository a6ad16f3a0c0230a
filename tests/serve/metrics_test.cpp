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
  const std::string text = metrics.text({.running = 3,
                                         .kv_limit_bytes = 1000,
                                         .kv_used_bytes = 250,
                                         .kv_running_bytes = 150,
                                         .prompt_tokens = 7,
                                         .dense_tokens_total = 100,
                                         .held_tokens_total = 20},
                                        5);
  for (const char* line : {
           "dms:num_requests_active{model_name=\"demo\"} 5\n",
           "dms:num_requests_running{model_name=\"demo\"} 3\n",
           "dms:kv_cache_usage_perc{model_name=\"demo\"} 0.25\n",
           "dms:kv_bytes_free{model_name=\"demo\"} 750\n",
           "dms:kv_bytes_running{model_name=\"demo\"} 150\n",
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
  metrics.text({.generated_tokens = 5}, 0);
  EXPECT_THAT(metrics.text({.generated_tokens = 12}, 0),
              HasSubstr("dms:generation_tokens_total{model_name=\"demo\"} 12\n"));
}

}  // namespace
}  // namespace dms::serve
