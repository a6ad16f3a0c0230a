#include "base/token_ids.h"

#include <limits>

#include "base/bounds.h"
#include "base/json.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr const char* kWanted = "a JSON array of integers, or an object that has one under \"ids\"";

class IdReader final : public JsonEvents {
 public:
  explicit IdReader(const std::string& where) : where_(where) {}

  std::vector<int32_t> take() {
    if (!found_) refuse(where_, "holds no ids", "", kWanted);
    return std::move(ids_);
  }

  void null() override { other("null"); }
  void boolean(bool value) override { other(value ? "true" : "false"); }
  void integer(int64_t value) override { other(std::to_string(value)); }
  void number(double, const std::string& text) override { other(text); }
  void string(std::string& value) override { other(quote_json(value)); }
  void natural(uint64_t value) override {
    if (!takes_ || value > static_cast<uint64_t>(kMaxId)) return other(std::to_string(value));
    ids_.push_back(static_cast<int32_t>(value));
  }

  void begin_object() override {
    other("an object");
    in_object_ = in_object_ || depth_ == 0;
    ++depth_;
  }
  void end_object() override { --depth_; }

  void key(std::string& name) override {
    if (!in_object_ || depth_ != 1) return;
    is_next_ = name == "ids";
    if (is_next_ && found_) refuse(where_ + ": ids", "occurs twice", "", "one array");
  }

  void begin_array() override {
    const bool is_wanted = depth_ == 0 || (depth_ == 1 && is_next_);
    if (!is_wanted) other("an array");
    if (is_wanted) takes_ = found_ = true;
    is_next_ = false;
    ++depth_;
  }
  void end_array() override {
    --depth_;
    takes_ = false;  // nothing nests in the ids
  }

 private:
  [[noreturn]] static void refuse(const std::string& where,
                                  const std::string& what,
                                  const std::string& got,
                                  const std::string& expected) {
    throw InputError({.where = where, .what = what, .got = got, .expected = expected});
  }

  /// Something that is no id: an error where one belongs, else passed over.
  void other(const std::string& got) {
    if (takes_) {
      refuse(where_ + ": element " + std::to_string(ids_.size()),
             "bad value",
             got,
             integer_in(0, kMaxId));
    }
    if (is_next_) refuse(where_ + ": ids", "bad value", got, "an array of integers");
    if (depth_ == 0 && got != "an object") refuse(where_, "bad value", got, kWanted);
  }

  const std::string& where_;
  std::vector<int32_t> ids_;
  bool found_ = false;
  bool takes_ = false;      // inside of the array
  bool in_object_ = false;  // the text is an object
  bool is_next_ = false;    // the value that comes is that of "ids"
  int depth_ = 0;
};

}  // namespace

std::vector<int32_t> parse_ids(std::string_view text, const std::string& where) {
  IdReader reader(where);
  read_json_events(text, where, {.values = kNoLimit}, reader);
  return reader.take();
}

}  // namespace dms
