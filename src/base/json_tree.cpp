// parse_json, parse_ordered_json and read_json_file (declared in json.h).

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/input_file.h"
#include "base/json.h"
#include "dms/error.h"

namespace dms {
namespace {

/// Finds or adds the keys of one object that is being built.
class SortedKeys {
 public:
  explicit SortedKeys(Json& object) : object_(object.get_ref<Json::object_t&>()) {}
  std::pair<Json*, bool> add(std::string& name) {
    const auto [place, is_new] = object_.try_emplace(std::move(name));
    return {&place->second, is_new};
  }

 private:
  Json::object_t& object_;
};

/// The library's ordered objects look through all their keys for each one that is added.
class OrderedKeys {
 public:
  explicit OrderedKeys(OrderedJson& object) : object_(object.get_ref<OrderedJson::object_t&>()) {}
  std::pair<OrderedJson*, bool> add(std::string& name) {
    const auto [place, is_new] = places_.try_emplace(name, entries().size());
    if (is_new) entries().emplace_back(std::move(name), OrderedJson());
    return {&entries()[place->second].second, is_new};
  }

 private:
  OrderedJson::object_t::Container& entries() { return object_; }

  OrderedJson::object_t& object_;
  std::map<std::string, size_t> places_;
};

template <class Tree, class Keys>
class TreeBuilder final : public JsonEvents {
 public:
  TreeBuilder(const std::string& where, bool unique_keys)
      : where_(where), unique_keys_(unique_keys) {}

  Tree take() { return std::move(root_); }

  void null() override { put(nullptr); }
  void boolean(bool value) override { put(value); }
  void integer(int64_t value) override { put(value); }
  void natural(uint64_t value) override { put(value); }
  void number(double value, const std::string&) override { put(value); }
  void string(std::string& value) override { put(std::move(value)); }
  void begin_object() override {
    Tree& object = put(Tree::object());
    open_.push_back({.array = nullptr, .keys = std::make_unique<Keys>(object)});
  }
  void begin_array() override {
    Tree& array = put(Tree::array());
    open_.push_back({.array = &array.template get_ref<typename Tree::array_t&>(), .keys = nullptr});
  }
  void end_object() override { open_.pop_back(); }
  void end_array() override { open_.pop_back(); }
  void key(std::string& name) override {
    const std::string quoted_name = unique_keys_ ? name : std::string();
    const auto [place, is_new] = open_.back().keys->add(name);
    if (unique_keys_ && !is_new) {
      throw InputError({.where = where_ + ": key " + quoted_name,
                        .what = "occurs twice",
                        .got = "2 entries",
                        .expected = "one"});
    }
    value_of_key_ = place;
  }

 private:
  /// An array or object that is still being filled.
  struct Open {
    typename Tree::array_t* array;
    std::unique_ptr<Keys> keys;
  };

  Tree& put(Tree value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back().array != nullptr) return open_.back().array->emplace_back(std::move(value));
    return *value_of_key_ = std::move(value);
  }

  const std::string& where_;
  bool unique_keys_;
  Tree root_;
  std::vector<Open> open_;
  Tree* value_of_key_ = nullptr;
};

template <class Tree, class Keys>
Tree parse(std::string_view text, const std::string& where, const JsonLimits& limits) {
  TreeBuilder<Tree, Keys> builder(where, limits.unique_keys);
  read_json_events(text, where, limits, builder);
  return builder.take();
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  return parse<Json, SortedKeys>(text, where, limits);
}

OrderedJson parse_ordered_json(std::string_view text,
                               const std::string& where,
                               const JsonLimits& limits) {
  return parse<OrderedJson, OrderedKeys>(text, where, limits);
}

Json read_json_file(const std::filesystem::path& path, int64_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

}  // namespace dms
