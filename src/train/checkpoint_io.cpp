#include "train/checkpoint_io.h"

#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "dms/error.h"
#include "model/spec/safetensors.h"
#include "model/spec/safetensors_writer.h"
#include "train/agreement.h"
#include "train/checkpoint/checkpoint_save.h"

namespace dms::train {
namespace {

void write_tensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const NamedTensor& tensor : tensors) {
    declarations.push_back(
        {.name = tensor.name, .dtype = "F32", .shape = tensor.value.sizes().vec()});
  }
  SafetensorsWriter writer(path, declarations);
  for (const NamedTensor& tensor : tensors) {
    const at::Tensor values = tensor.value.to(at::kCPU, at::kFloat).contiguous();
    writer.write_floats({values.const_data_ptr<float>(), static_cast<size_t>(values.numel())});
  }
  writer.close();
}

/// The tensors of every rank's files of one kind.
class SavedTensors {
 public:
  explicit SavedTensors(const CheckpointFolder& folder) {
    for (int64_t rank = 0; rank < folder.manifest.world_size; ++rank) {
      files_.emplace_back(folder.file(rank_file("weights", rank)));
      files_.emplace_back(folder.file(rank_file("moments", rank)));
    }
  }

  /// Something trained that a run would not go on with would be lost without a word.
  void refuse_others(const std::vector<std::string>& known) const {
    const std::set<std::string_view> names(known.begin(), known.end());
    for (const SafetensorsFile& file : files_) {
      for (const auto& [name, entry] : file.tensors()) {
        if (names.contains(name)) continue;
        throw InputError(
            {.where = file.path().string() + ": tensor " + name,
             .what = "this run does not train it",
             .hint = "was the checkpoint made with other dms.train or optim settings?"});
      }
    }
  }

  at::Tensor find(const std::string& name) const {
    for (const SafetensorsFile& file : files_) {
      const auto it = file.tensors().find(name);
      if (it == file.tensors().end()) continue;
      if (it->second.dtype != "F32") {
        throw InputError({.where = file.path().string() + ": tensor " + name,
                          .what = "wrong dtype",
                          .got = it->second.dtype,
                          .expected = "F32"});
      }
      at::Tensor value = at::empty(it->second.shape, at::kFloat);
      file.read(it->second,
                0,
                {static_cast<std::byte*>(value.mutable_data_ptr()),
                 static_cast<size_t>(it->second.bytes)});
      return value;
    }
    return {};
  }

 private:
  std::vector<SafetensorsFile> files_;
};

}  // namespace

std::filesystem::path save_checkpoint(const std::filesystem::path& output_dir,
                                      const TrainState& state,
                                      const Optimizer& optimizer,
                                      Communicator& ranks) {
  at::Tensor run = at::full({1}, static_cast<int64_t>(getpid()), at::kLong);
  ranks.broadcast(run, 0);
  CheckpointSave save(output_dir,
                      {.step = state.step,
                       .rank = ranks.rank(),
                       .world_size = ranks.size(),
                       .run_id = std::to_string(run.item<int64_t>())});
  all_or_none(ranks, [&] { save.begin(); });
  all_or_none(ranks, [&] {
    write_tensors(save.path_for(rank_file("weights", ranks.rank())), optimizer.masters());
    write_tensors(save.path_for(rank_file("moments", ranks.rank())), optimizer.moments());
    if (ranks.rank() == 0) write_train_state(save.path_for(kTrainStateFile), state);
  });
  std::filesystem::path path;
  all_or_none(ranks, [&] { path = save.finish(); });
  return path;
}

TrainState load_checkpoint(const CheckpointFolder& folder,
                           Optimizer& optimizer,
                           Communicator& ranks) {
  TrainState state;
  std::optional<SavedTensors> saved;
  all_or_none(ranks, [&] {
    state = read_train_state(folder.file(kTrainStateFile));
    saved.emplace(folder);
    saved->refuse_others(optimizer.state_names());
  });
  optimizer.load([&](const std::string& name) { return saved->find(name); }, state.step);
  return state;
}

}  // namespace dms::train
