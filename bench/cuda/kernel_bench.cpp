// Kernels of the CUDA backend one by one, at the shapes of Llama-3.2-1B and Qwen3-8B.
//
//   kernel_bench [--tiny] [--only=NAME,...] [--limit=SECONDS]
//
// In order of importance: a run that is cut off has the most of it.

#include "kernel_benches.h"

int main(int count, char** arguments) {
  using namespace dms::bench;
  return run_benches(count,
                     arguments,
                     {bench_probes,
                      bench_decode_attention,
                      bench_prefill_attention,
                      bench_operations,
                      bench_products,
                      bench_fused,
                      bench_sampling});
}
