#pragma once
// The endpoints of /documents, and the caches of documents for those who ask. All of it is the I/O
// thread's.

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "serve/attempt.h"
#include "serve/document_request.h"
#include "serve/documents.h"
#include "serve/exchange.h"
#include "serve/workplace.h"

namespace dms::serve {

class DocumentEndpoints {
 public:
  /// `place` and `documents` outlive this. `timeout`: of a document that is made; 0: none.
  DocumentEndpoints(const Workplace& place, Documents& documents, std::chrono::seconds timeout)
      : place_(place), documents_(documents), timeout_(timeout) {}

  HttpResponse list() const;
  HttpResponse get(const std::string& name) const;
  /// Has its prompt computed by the engine like any other.
  void put(const std::shared_ptr<Exchange>& exchange, const std::string& name);
  void erase(const std::shared_ptr<Exchange>& exchange, const std::string& name);

  /// Calls `then` with the document's cache, at once or when it has been read from its file.
  using Then = std::function<void(const Attempt<Document>&)>;
  void with_cache(const EntryPointer& entry, Then then);

  /// Requests for documents, and those that wait for the cache of one.
  size_t active() const;
  void cancel_all();
  void fail_all(const std::string& why);

 private:
  /// A document whose prompt is computed.
  struct Put {
    std::shared_ptr<Exchange> exchange;
    std::string name;
    DocumentRequest request;
    std::chrono::steady_clock::time_point arrival;
    std::shared_ptr<Mailbox> mailbox{};
    RequestId id = 0;
  };
  using PutPointer = std::shared_ptr<Put>;

  Planner planner() const;
  OutJson json_of(const DocumentEntry& entry, bool is_in_memory) const;
  void compute(const PutPointer& put);
  void take_mail(const PutPointer& put);
  void finish(const PutPointer& put, const Generation& result);
  void save(const PutPointer& put, DocumentEntry entry, Document document);
  void add(const PutPointer& put, DocumentEntry entry, Document document);
  void read(const EntryPointer& entry);
  void take_cache(const EntryPointer& entry, const Attempt<Document>& cache);

  const Workplace& place_;
  Documents& documents_;
  std::chrono::seconds timeout_;
  std::set<PutPointer> puts_;
  std::map<EntryPointer, std::vector<Then>> waiting_;  // for a cache that is being read
  size_t working_ = 0;                                 // calls that are under way elsewhere
};

}  // namespace dms::serve
