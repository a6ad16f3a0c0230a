#include "grammar/guides.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include <xgrammar/compiler.h>

#include "dms/error.h"
#include "grammar/cached_forms.h"
#include "grammar/compile.h"
#include "grammar/compiled_structure.h"
#include "grammar/field_name.h"
#include "grammar/grammar_guide.h"
#include "grammar/named_tokens.h"
#include "grammar/vocabulary.h"
#include "text/tokenizer.h"

namespace dms {

bool has_structures() { return true; }

namespace grammar {
namespace {

/// xgrammar's compiler for a vocabulary, which takes a while to read.
struct Toolbox {
  Toolbox(const text::Tokenizer& tokenizer, int64_t vocab, std::span<const int32_t> named)
      : tokens(tokenizer_info(tokenizer, vocab, named)),
        compiler(tokens, kThreads, kCaches, kNoLimit, kWhenNeeded) {}

  static constexpr int kThreads = 1;
  static constexpr bool kCaches = false;  // CachedForms does
  static constexpr int64_t kNoLimit = -1;
  static constexpr bool kWhenNeeded = true;  // masks are made for states that an answer comes to

  xgrammar::TokenizerInfo tokens;
  xgrammar::GrammarCompiler compiler;
};

class Compiler {
 public:
  Compiler(std::shared_ptr<const text::Tokenizer> tokenizer, int64_t vocab)
      : tokenizer_(std::move(tokenizer)), vocab_(vocab) {}

  std::shared_ptr<const CompiledStructure> compile(const Structure& structure) {
    const std::shared_ptr<Toolbox> tools =
        toolbox_for(named_tokens(structure, *tokenizer_, vocab_));
    const xgrammar::Grammar grammar = grammar_of(structure, tools->tokens);
    std::shared_ptr<const CompiledStructure> form;
    bool is_possible = false;
    try {
      form =
          std::make_shared<const CompiledStructure>(tools->compiler.CompileGrammar(grammar), mark_);
      is_possible = has_answers(*form);
    } catch (const std::exception& error) {
      throw InputError({.field = field_name(structure), .what = error.what()});
    }
    if (!is_possible) {
      throw InputError({.field = field_name(structure),
                        .what = "no answer can be begun: no token of the model leads on"});
    }
    return form;
  }

  /// Compiled here, and not for another model.
  bool has_made(const CompiledStructure& form) const { return form.maker() == mark_.get(); }

 private:
  /// Made where somebody asks for it. Of those for forms that name tokens the last one is kept: a
  /// model's calls name the same ones.
  std::shared_ptr<Toolbox> toolbox_for(std::vector<int32_t> named) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Toolbox>& tools = named.empty() ? plain_ : naming_;
    if (tools == nullptr || (!named.empty() && named != named_)) {
      tools = std::make_shared<Toolbox>(*tokenizer_, vocab_, named);
    }
    if (!named.empty()) named_ = std::move(named);
    return tools;
  }

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  int64_t vocab_;
  std::shared_ptr<const void> mark_ = std::make_shared<const char>();  // on what is made here
  std::mutex mutex_{};
  std::shared_ptr<Toolbox> plain_{};
  std::shared_ptr<Toolbox> naming_{};
  std::vector<int32_t> named_{};  // by naming_'s forms
};

class Guides final : public engine::GuideMaker {
 public:
  Guides(std::shared_ptr<const text::Tokenizer> tokenizer, int64_t vocab)
      : tokenizer_(tokenizer),
        vocab_(vocab),
        compiler_(std::make_shared<Compiler>(tokenizer, vocab)),
        forms_([compiler =
                    compiler_](const Structure& structure) { return compiler->compile(structure); },
               {}) {}

  std::shared_ptr<const CompiledStructure> compile(const Structure& structure,
                                                   const std::stop_token& given_up) override {
    return forms_.get(structure, given_up);
  }
  std::shared_ptr<const CompiledStructure> find(const Structure& structure) override {
    return forms_.find(structure);
  }

  std::unique_ptr<engine::Guide> begin(const Structure& structure,
                                       std::span<const int32_t> ends) override {
    if (structure.compiled == nullptr || !compiler_->has_made(*structure.compiled)) {
      throw InputError({.field = field_name(structure), .what = "is compiled for another model"});
    }
    std::vector<int32_t> known;
    std::ranges::copy_if(
        ends, std::back_inserter(known), [this](int32_t id) { return id >= 0 && id < vocab_; });
    return std::make_unique<GrammarGuide>(structure, std::move(known), *tokenizer_, worker_);
  }

 private:
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  int64_t vocab_;
  std::shared_ptr<Compiler> compiler_;
  CachedForms forms_;
  MaskWorker worker_;
};

/// Of a model whose answers are ids.
class NoText final : public engine::GuideMaker {
 public:
  std::shared_ptr<const CompiledStructure> compile(const Structure& structure,
                                                   const std::stop_token&) override {
    throw InputError({.field = field_name(structure),
                      .what = "the model has no tokenizer, so that its answers are no text"});
  }
  std::shared_ptr<const CompiledStructure> find(const Structure&) override { return nullptr; }
  std::unique_ptr<engine::Guide> begin(const Structure&, std::span<const int32_t>) override {
    return nullptr;
  }
};

}  // namespace

std::unique_ptr<engine::GuideMaker> make_guides(std::shared_ptr<const text::Tokenizer> tokenizer,
                                                int64_t vocab) {
  if (tokenizer == nullptr) return std::make_unique<NoText>();
  return std::make_unique<Guides>(std::move(tokenizer), vocab);
}

}  // namespace grammar
}  // namespace dms
