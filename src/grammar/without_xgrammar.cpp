// What stands in for structured answers in a build without xgrammar.

#include "dms/error.h"
#include "grammar/field_name.h"
#include "grammar/guides.h"

namespace dms {

bool has_structures() { return false; }

namespace grammar {
namespace {

class NoGuides final : public engine::GuideMaker {
 public:
  std::shared_ptr<const CompiledStructure> compile(const Structure& structure,
                                                   const std::stop_token&) override {
    throw InputError({.field = field_name(structure),
                      .what = "this build holds no answer to a form",
                      .hint = "run scripts/setup_xgrammar and build again with -DDMS_XGRAMMAR=ON"});
  }
  std::shared_ptr<const CompiledStructure> find(const Structure&) override { return nullptr; }
  std::unique_ptr<engine::Guide> begin(const Structure&, std::span<const int32_t>) override {
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<engine::GuideMaker> make_guides(std::shared_ptr<const text::Tokenizer>, int64_t) {
  return std::make_unique<NoGuides>();
}

}  // namespace grammar
}  // namespace dms
