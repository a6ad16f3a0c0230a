// The plain version stands in here.

#include "kernels/attention_table.h"

namespace dms::kernels {

const AttentionTable kAttentionAvx512 = kAttentionGeneric;

}  // namespace dms::kernels
