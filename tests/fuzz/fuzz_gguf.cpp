// Input: a whole .gguf file. It is refused, or its tensors lie in it one behind the other; and what
// it says of model, tokenizer and chat template is refused too, or can be used.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/utf8.h"
#include "dms/error.h"
#include "gguf/file.h"
#include "model/spec/gguf_model.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

template <class Use>
void attempt(const Use& use) {
  try {
    use();
  } catch (const dms::InputError&) {
    return;
  }
}

void check_tensors(const dms::gguf::File& file, int64_t size) {
  int64_t total = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    require(tensor.begin > 0 && tensor.bytes > 0 && tensor.begin + tensor.bytes <= size);
    total += tensor.bytes;
  }
  require(total < size);
}

void read_weights(const std::shared_ptr<const dms::gguf::File>& file) {
  const dms::ModelSpec spec = dms::load_gguf_spec(*file);
  const std::unique_ptr<dms::WeightSource> source = dms::open_gguf_weights(file, spec);
  for (const dms::WeightName& weight : dms::weight_names(spec)) {
    const int64_t rows = weight.shape.size() == 1 ? 1 : weight.shape.front();
    std::vector<float> values(static_cast<size_t>(dms::element_count(weight)));
    source->read_rows(weight, 0, rows, values);
  }
}

void use_tokenizer(const dms::gguf::File& file) {
  const auto tokenizer = dms::text::Tokenizer::from_gguf(file.metadata(), "fuzz");
  const std::vector<int32_t> ids = tokenizer.encode("the text, 123 \xE2\x96\x81\xff", true);
  require(dms::is_well_formed(tokenizer.decode(ids, true)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("fuzz-gguf-" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  attempt([&] {
    const auto file = std::make_shared<const dms::gguf::File>(path);
    check_tensors(*file, static_cast<int64_t>(size));
    attempt([&] { read_weights(file); });
    attempt([&] { use_tokenizer(*file); });
    attempt([&] { dms::text::gguf_chat_template(file->metadata(), "fuzz"); });
  });
  std::filesystem::remove(path);
  return 0;
}
