#pragma once
// Documents made by rule instead of read: seeded, the same on every machine, for skills that little
// text teaches. A dataset declares one with `generator: {kind: recall | copy, …}`; the settings of
// each kind stand in its file.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/random.h"
#include "train/data/model_text.h"
#include "train/data/token_store.h"

namespace dms::train::data {

/// What every kind is given. What it points to must outlive the generator.
struct GeneratorContext {
  const Json& settings;  // the `generator` object
  std::string where;     // its name in errors: "data.datasets.NAME.generator"
  const ModelText& model;
  const TokenStore* source;  // of the dataset that `source` names, or null
  std::optional<int32_t> end_token;
  int64_t max_length;  // of a context: no document is longer
  uint64_t seed;
};

/// Thread-safe.
class Generator {
 public:
  virtual ~Generator() = default;
  virtual int64_t documents() const = 0;
  /// Document `index`, whichever thread makes it and whatever was made before.
  virtual Document make(int64_t index) const = 0;
};

/// Throws InputError on unknown kinds and settings and on ranges that cannot be met.
std::unique_ptr<Generator> make_generator(const GeneratorContext& context);

/// `source` of the settings: the dataset whose text is used; empty: none.
std::string generator_source(const Json& settings, const std::string& where);

}  // namespace dms::train::data
