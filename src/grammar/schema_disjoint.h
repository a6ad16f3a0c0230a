#pragma once
// Whether alternatives of a schema have no value in common, so that "oneOf" asks for no more than
// "anyOf": by their types, their values, or a property that all of them require, as the
// discriminator of a union. References are followed.

#include <cstddef>
#include <string>
#include <vector>

#include "base/json.h"

namespace dms::grammar {

class Disjointness {
 public:
  /// `root` is where references lead; it outlives this and may change between calls.
  explicit Disjointness(const OrderedJson& root) : root_(root) {}

  /// False too where it cannot be told, or only with more work than is left: the calls together
  /// have a bounded amount, since schemas come from strangers.
  bool are_disjoint(const OrderedJson& schemas);

 private:
  using Parts = std::vector<const OrderedJson*>;

  bool take(size_t steps);
  bool collect(const OrderedJson& schema, int depth, Parts& out);
  bool collect_all(const OrderedJson& schemas, int depth, Parts& out);
  const OrderedJson* find(const OrderedJson& reference);
  bool overlap(const Parts& a, const Parts& b, int depth);
  bool overlap(const OrderedJson& a, const OrderedJson& b, int depth);
  bool values_overlap(const OrderedJson& a, const OrderedJson& b);
  bool objects_overlap(const OrderedJson& a, const OrderedJson& b, int depth);

  const OrderedJson& root_;
  size_t steps_left_ = size_t{1} << 21;
};

}  // namespace dms::grammar
