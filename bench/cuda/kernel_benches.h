#pragma once
// The groups of kernel_bench, each over all shapes.

#include "bench.h"

namespace dms::bench {

void bench_probes(Bench& bench);             // what the device copies, reads and multiplies at best
void bench_decode_attention(Bench& bench);   // dense and compact, all formats
void bench_prefill_attention(Bench& bench);  // of whole prompts, without sealing
void bench_operations(Bench& bench);         // on ragged batches, beside loops over sequences
void bench_products(Bench& bench);           // a decode step's matrices in all formats
void bench_fused(Bench& bench);              // norm, QKV's end, activation, sealing
void bench_sampling(Bench& bench);

}  // namespace dms::bench
