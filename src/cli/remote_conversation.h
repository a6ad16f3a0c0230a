#pragma once
// A conversation with a server of OpenAI's API. The messages are kept here, the cache there.

#include <optional>
#include <string>

#include "base/json.h"
#include "cli/conversation.h"
#include "client/api_client.h"

namespace dms::cli {

class RemoteConversation final : public Conversation {
 public:
  /// `fields` are those of every request; the messages are added, and, where it `is_seeded`, the
  /// seed. `system` may be empty.
  RemoteConversation(client::ApiClient client,
                     OrderedJson fields,
                     bool is_seeded,
                     std::string system);

  /// Messages alone, to a file whose name ends in .json.
  void save(const std::filesystem::path& path) override;
  void load(const std::filesystem::path& path) override;

  Timings timings() const override { return timings_; }
  std::string holdings() const override;
  std::string memory() const override;
  std::string what_is_full() const override;
  bool has_cache() const override { return false; }

 private:
  Answer answer(const std::vector<ChatMessage>& messages,
                const SamplingParams& sampling,
                const TextSink& on_text,
                const Progress& progress) override;
  void forget() override { usage_.reset(); }
  std::string body_of(const std::vector<ChatMessage>& messages,
                      const SamplingParams& sampling) const;

  client::ApiClient client_;
  OrderedJson fields_;
  bool is_seeded_;
  std::optional<client::ApiUsage> usage_;  // of the last answer, where the server told it
  Timings timings_;                        // as seen from here
  bool was_cut_by_server_ = false;
};

}  // namespace dms::cli
