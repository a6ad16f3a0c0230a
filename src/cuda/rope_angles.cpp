#include "cuda/rope_angles.h"

#include <algorithm>
#include <array>
#include <vector>

#include "model/rope_table.h"

namespace dms::cuda {

DeviceBuffer rope_angles(const ModelSpec& spec) {
  if (spec.position != PositionKind::rope) return {};
  model::RopeTable table(spec.rope);
  const std::array needs{
      model::RopeTable::Need{.prompt_tokens = spec.context, .positions = spec.context}};
  table.prepare(needs);
  std::vector<float> angles;
  angles.reserve(static_cast<size_t>(spec.context * spec.rope.rotary_dim));
  for (int64_t position = 0; position < spec.context; ++position) {
    const model::RopeTable::Angles of_position = table.at(spec.context, position);
    for (size_t i = 0; i < of_position.cos.size(); ++i) {
      angles.push_back(of_position.cos[i]);
      angles.push_back(of_position.sin[i]);
    }
  }
  const size_t bytes = angles.size() * sizeof(float);
  DeviceBuffer buffer(bytes, "rotary angles");
  check(cudaMemcpy(buffer.data(), angles.data(), bytes, cudaMemcpyHostToDevice),
        "copying rotary angles to the device");
  // From pageable memory a copy may go on after the call; other streams do not wait for it.
  check(cudaDeviceSynchronize(), "copying rotary angles to the device");
  return buffer;
}

}  // namespace dms::cuda
