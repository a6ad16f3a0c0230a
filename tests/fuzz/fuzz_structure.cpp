// Input: a form that an answer is to be held to; its first byte says of which kind. It is refused,
// or a model that says anything is led by it: each token that it leaves is taken, guessed or not,
// and where none is left the answer is complete, or an error says that nothing leads on.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "dms/error.h"
#include "engine/guide.h"
#include "grammar/guides.h"
#include "support/letters.h"

namespace {

constexpr int64_t kVocab = 100;
constexpr size_t kSteps = 40;

using Ids = std::vector<int32_t>;

/// The tokens that the guide leaves.
Ids left_by(dms::engine::Guide& guide) {
  std::vector<float> logits(kVocab, 0.0F);
  Ids left;
  if (!guide.exclude(logits)) return left;
  for (int32_t id = 0; id < kVocab; ++id) {
    if (!std::isinf(logits[static_cast<size_t>(id)])) left.push_back(id);
  }
  if (left.empty()) std::abort();
  return left;
}

void follow(dms::engine::Guide& guide, const std::string& text) {
  for (size_t step = 0; step < kSteps; ++step) {
    const auto byte = static_cast<uint8_t>(text[step % text.size()]);
    const Ids guesses{byte % 100, (byte + 7) % 100};
    guide.look_ahead(guesses);
    const Ids left = left_by(guide);
    if (left.empty()) return;
    const int32_t token = left[(byte + step) % left.size()];
    if (token == dms::testing_support::kEndToken) return;
    guide.accept(token);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const auto guides =
      dms::grammar::make_guides(dms::testing_support::letters_tokenizer(), kVocab);
  dms::Structure structure{.kind = static_cast<dms::Structure::Kind>(1 + data[0] % 6),
                           .text = {reinterpret_cast<const char*>(data + 1), size - 1},
                           .refuses_unenforced = (data[0] & 0x40) == 0,
                           .any_whitespace = (data[0] & 0x80) == 0};
  const Ids ends{dms::testing_support::kEndToken};
  try {
    structure.compiled = guides->compile(structure, {});
    const auto guide = guides->begin(structure, ends);
    follow(*guide, structure.text);
  } catch (const dms::InputError&) {
  } catch (const dms::RunError&) {
  }
  return 0;
}
