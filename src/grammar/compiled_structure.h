#pragma once
// A form that answers of one model can be held to.

#include <memory>
#include <utility>

#include <xgrammar/compiler.h>

namespace dms {

class CompiledStructure {
 public:
  CompiledStructure(xgrammar::CompiledGrammar grammar, std::shared_ptr<const void> maker)
      : grammar_(std::move(grammar)), maker_(std::move(maker)) {}
  const xgrammar::CompiledGrammar& grammar() const { return grammar_; }
  /// Stands for the compiler that has made it, one a model.
  const void* maker() const { return maker_.get(); }

 private:
  xgrammar::CompiledGrammar grammar_;
  std::shared_ptr<const void> maker_;
};

}  // namespace dms
