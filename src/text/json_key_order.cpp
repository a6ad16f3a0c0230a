#include "text/json_key_order.h"

#include "base/json.h"

namespace dms::text {
namespace {

class KeyRecorder : public nlohmann::json_sax<Json> {
 public:
  explicit KeyRecorder(std::string_view nested_key) : nested_key_(nested_key) {}

  JsonKeyOrder take() { return std::move(order_); }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) {
      in_nested_ = name == nested_key_;
      order_.top.push_back(name);
    } else if (depth_ == 2 && in_nested_) {
      order_.nested.push_back(name);
    }
    return true;
  }

 private:
  bool enter() {
    ++depth_;
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }

  std::string_view nested_key_;
  JsonKeyOrder order_;
  int depth_ = 0;
  bool in_nested_ = false;
};

}  // namespace

JsonKeyOrder json_key_order(std::string_view text, std::string_view nested_key) {
  KeyRecorder recorder(nested_key);
  Json::sax_parse(text, &recorder);
  return recorder.take();
}

}  // namespace dms::text
