#include "serve/metric_rows.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dms::serve {
namespace {

double number(int64_t count) { return static_cast<double>(count); }

double used_share(const ServerCounts& counts) {
  const EngineStats& stats = counts.engine;
  return stats.kv_limit_bytes > 0
             ? static_cast<double>(stats.kv_used_bytes) / static_cast<double>(stats.kv_limit_bytes)
             : 0;
}

constexpr std::array kGauges{
    CountRow{"dms:num_requests_active",
             "Requests that have been accepted and not answered",
             [](const ServerCounts& counts) { return number(counts.active); }},
    CountRow{"dms:num_requests_running",
             "Answers being computed",
             [](const ServerCounts& counts) { return number(counts.engine.running); }},
    CountRow{"dms:num_requests_waiting",
             "Requests that have not begun, and answers that were preempted",
             [](const ServerCounts& counts) { return number(counts.engine.waiting); }},
    CountRow{"dms:num_requests_preempted",
             "Of those that wait, answers that were preempted",
             [](const ServerCounts& counts) { return number(counts.engine.preempted); }},
    CountRow{"dms:num_requests_swapped_bytes",
             "Bytes of the caches that were written away",
             [](const ServerCounts& counts) { return number(counts.engine.swapped_bytes); }},
    CountRow{"dms:kv_cache_usage_perc", "Share of the KV cache in use; 1 is full", used_share},
    CountRow{"dms:kv_bytes_used",
             "Bytes of KV pages in use, and of what policies hold beside them",
             [](const ServerCounts& counts) { return number(counts.engine.kv_used_bytes); }},
    CountRow{"dms:kv_bytes_running",
             "Bytes of the caches of what runs, without prefixes that are kept for later",
             [](const ServerCounts& counts) { return number(counts.engine.kv_running_bytes); }},
    CountRow{"dms:kv_bytes_free",
             "Bytes that KV pages may still take",
             [](const ServerCounts& counts) {
               const EngineStats& stats = counts.engine;
               return number(std::max<int64_t>(stats.kv_limit_bytes - stats.kv_used_bytes, 0));
             }},
    CountRow{"dms:kv_bytes_limit",
             "Bytes that KV pages may take; 0: no limit",
             [](const ServerCounts& counts) { return number(counts.engine.kv_limit_bytes); }},
    CountRow{"dms:kv_bytes_peak",
             "Most bytes of KV pages so far",
             [](const ServerCounts& counts) { return number(counts.engine.kv_peak_bytes); }},
    CountRow{"dms:kv_entries_dense",
             "Entries that full caches of what runs would hold",
             [](const ServerCounts& counts) { return number(counts.engine.dense_tokens); }},
    CountRow{"dms:kv_entries_held",
             "Entries that the caches of what runs hold",
             [](const ServerCounts& counts) { return number(counts.engine.held_tokens); }},
    CountRow{"dms:prefix_cache_entries",
             "Beginnings of prompts that are kept",
             [](const ServerCounts& counts) { return number(counts.engine.cached_prefixes); }},
    CountRow{"dms:documents",
             "Documents by name",
             [](const ServerCounts& counts) { return number(counts.documents.documents); }},
    CountRow{"dms:documents_in_memory",
             "Of them, those whose cache is in memory",
             [](const ServerCounts& counts) { return number(counts.documents.in_memory); }},
    CountRow{"dms:document_bytes",
             "Bytes of the KV pages of documents in memory",
             [](const ServerCounts& counts) { return number(counts.documents.memory_bytes); }},
    CountRow{"dms:document_file_bytes",
             "Bytes of the files of documents",
             [](const ServerCounts& counts) { return number(counts.documents.file_bytes); }},
    CountRow{"dms:slots_filled",
             "Slots that hold a cache",
             [](const ServerCounts& counts) { return number(counts.slots.filled); }},
    CountRow{"dms:slot_bytes",
             "Bytes of the KV pages of slots",
             [](const ServerCounts& counts) { return number(counts.slots.held_bytes); }},
};

constexpr std::array kCounters{
    CountRow{"dms:prompt_tokens_total",
             "Prompt tokens",
             [](const ServerCounts& counts) { return number(counts.engine.prompt_tokens); }},
    CountRow{"dms:generation_tokens_total",
             "Generated tokens",
             [](const ServerCounts& counts) { return number(counts.engine.generated_tokens); }},
    CountRow{"dms:prefix_cache_queries_total",
             "Prompt tokens looked for in the prefix cache",
             [](const ServerCounts& counts) { return number(counts.engine.prompt_tokens); }},
    CountRow{"dms:prefix_cache_hits_total",
             "Prompt tokens taken from the prefix cache",
             [](const ServerCounts& counts) { return number(counts.engine.cached_tokens); }},
    CountRow{"dms:spec_decode_num_draft_tokens_total",
             "Tokens guessed ahead of answers",
             [](const ServerCounts& counts) { return number(counts.engine.drafted_tokens); }},
    CountRow{"dms:spec_decode_num_accepted_tokens_total",
             "Of them, those that were right",
             [](const ServerCounts& counts) { return number(counts.engine.accepted_tokens); }},
    CountRow{"dms:num_preemptions_total",
             "Answers that had to give their memory back",
             [](const ServerCounts& counts) { return number(counts.engine.preemptions); }},
    CountRow{"dms:num_swaps_total",
             "Preemptions that wrote the cache away",
             [](const ServerCounts& counts) { return number(counts.engine.swaps); }},
    CountRow{"dms:kv_entries_dense_total",
             "Entries that full caches of ended answers would have held",
             [](const ServerCounts& counts) { return number(counts.engine.dense_tokens_total); }},
    CountRow{"dms:kv_entries_evicted_total",
             "Of them, those that were not held at the end",
             [](const ServerCounts& counts) {
               const EngineStats& stats = counts.engine;
               return number(stats.dense_tokens_total - stats.held_tokens_total);
             }},
    CountRow{"dms:document_hits_total",
             "Requests for a document whose cache was in memory",
             [](const ServerCounts& counts) { return number(counts.documents.uses); }},
    CountRow{"dms:document_loads_total",
             "Caches of documents read from files",
             [](const ServerCounts& counts) { return number(counts.documents.loads); }},
    CountRow{"dms:slot_requests_total",
             "Requests that named a slot",
             [](const ServerCounts& counts) { return number(counts.slots.requests); }},
    CountRow{"dms:slot_hits_total",
             "Of them, those whose prompt began with what the slot held",
             [](const ServerCounts& counts) { return number(counts.slots.hits); }},
    CountRow{"dms:slot_saves_total",
             "Slots written to files",
             [](const ServerCounts& counts) { return number(counts.slots.saves); }},
    CountRow{"dms:slot_restores_total",
             "Slots read from files",
             [](const ServerCounts& counts) { return number(counts.slots.restores); }},
};

}  // namespace

std::span<const CountRow> gauge_rows() { return kGauges; }
std::span<const CountRow> counter_rows() { return kCounters; }

}  // namespace dms::serve
