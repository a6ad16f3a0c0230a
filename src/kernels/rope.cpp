#include "kernels/rope.h"

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {

void rope(std::span<float> heads,
          int64_t head_dim,
          std::span<const float> cos,
          std::span<const float> sin) {
  const int64_t half = std::ssize(cos);
  ensure(head_dim > 0 && std::ssize(heads) % head_dim == 0, "rope of partial heads");
  ensure(cos.size() == sin.size() && 2 * half <= head_dim, "rope angles of a wrong size");
  const RowTable& table = row_table();
  for (int64_t at = 0; at < std::ssize(heads); at += head_dim) {
    float* head = heads.data() + at;
    table.rotate(head, head + half, cos.data(), sin.data(), half);
  }
}

}  // namespace dms::kernels
