#pragma once
// A form that answers of one model can be held to.

#include <string>
#include <utility>

#include <xgrammar/compiler.h>

namespace dms {

class CompiledStructure {
 public:
  explicit CompiledStructure(xgrammar::CompiledGrammar grammar) : grammar_(std::move(grammar)) {}
  const xgrammar::CompiledGrammar& grammar() const { return grammar_; }

 private:
  xgrammar::CompiledGrammar grammar_;
};

}  // namespace dms
