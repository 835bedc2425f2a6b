// One subscription to the output of one session: a feed per stream, their shared credit. Owned by the Client
// it sends to; the session's hub (output_hub.hpp) knows it, too, and wakes it when the log grows.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "api/methods.hpp"
#include "session/session.hpp"
#include "stream/feed.hpp"

namespace kairo::kernel {

class Client;

class OutputSubscription {
 public:
  struct Options {
    std::array<bool, 2> streams{true, true};
    std::array<std::uint64_t, 2> from{0, 0};
    api::Mode mode = api::Mode::chunk;
    api::Encoding encoding = api::Encoding::utf8;
    api::Flow flow = api::Flow::follow;
    std::size_t max_chunk_bytes = limits::chunk_bytes;
    std::uint64_t max_bytes_per_second = limits::throttle_bytes_per_second;  ///< Under throttle.
    std::optional<std::uint64_t> window;
    bool owner = false;  ///< The spawning connection's own, implicit one.
  };

  OutputSubscription(Client& client, session::Session& session, int logs_dir, std::string id,
                     const Options& options);

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] session::Session& session() const { return session_; }
  [[nodiscard]] Client& client() const { return client_; }
  [[nodiscard]] bool owner() const { return owner_; }
  [[nodiscard]] bool lossless() const { return flow_ == api::Flow::lossless; }
  [[nodiscard]] api::Flow flow() const { return flow_; }
  [[nodiscard]] stream::Credit& credit() { return credit_; }
  [[nodiscard]] stream::Feed* feed(unsigned stream) { return feeds_[stream].get(); }
  [[nodiscard]] bool finished() const;
  /// Whether this stream's feed had given all there was when it was last asked: it waits for the log to grow.
  [[nodiscard]] bool waits_for_log(unsigned stream) const { return waits_for_log_[stream]; }

  /// Fills from both streams in turn. Returns true when it may have more to give at once (the batch was
  /// full).
  struct Given {
    bool more = false;
    std::optional<SteadyTime> again_at;
    std::array<std::optional<stream::Throttled>, 2> throttled;
    std::uint64_t chunks = 0;     ///< Frames given.
    std::uint64_t dropped = 0;    ///< Bytes passed over.
    std::optional<Error> failed;  ///< A log that cannot be read.
    unsigned failed_stream = 0;
  };
  Given give(stream::Batch& batch, std::size_t bytes, SteadyTime now);

  bool queued = false;      ///< Stands in the client's ready queue.
  std::uint64_t timer = 0;  ///< Of the pace.

 private:
  Client& client_;
  session::Session& session_;
  std::string id_;
  stream::Credit credit_;
  std::array<std::unique_ptr<stream::Feed>, 2> feeds_;
  std::array<bool, 2> waits_for_log_{false, false};
  unsigned turn_ = 0;
  bool owner_;
  api::Flow flow_;
};

}  // namespace kairo::kernel
