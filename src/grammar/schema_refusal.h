#pragma once
// How a schema is refused: by the path of what is wrong in it.

#include <string>

namespace dms::grammar {

class SchemaRefusal {
 public:
  /// Errors call the schema `where`. Where not `refuses_unenforced`, keywords that no answer is
  /// held to are left aside.
  SchemaRefusal(bool refuses_unenforced, std::string where);

  bool refuses_unenforced() const { return refuses_unenforced_; }
  const std::string& where() const { return where_; }

  [[noreturn]] void refuse(const std::string& path,
                           const std::string& what,
                           const std::string& hint = {}) const;
  void refuse_unenforced(const std::string& path, const std::string& hint = {}) const;

 private:
  bool refuses_unenforced_;
  std::string where_;
};

}  // namespace dms::grammar
