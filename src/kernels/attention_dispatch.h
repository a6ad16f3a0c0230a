#pragma once
// The attention kernels of the active instruction set.

#include "kernels/attention_table.h"

namespace dms::kernels {

const AttentionTable& attention_table();

}  // namespace dms::kernels
