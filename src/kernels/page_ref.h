#pragma once
// A page as a tile of queries sees it. Plain data: the files of each instruction set read it too.

#include <cstddef>
#include <cstdint>

namespace dms::kernels {

struct PageRef {
  const std::byte* data = nullptr;  // a page in the call's KvPageLayout
  // [positions] visible tokens, bit j = slot j; null: all 32. Masked slots may hold anything
  // finite.
  const uint32_t* masks = nullptr;
  bool far = false;  // read with q_far (streaming's position shift)
  // [group, 32] added to q . k of each query head, before it is scaled; null: nothing.
  const float* biases = nullptr;
};

}  // namespace dms::kernels
