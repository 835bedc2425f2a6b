// The executor's connection to the kernel, on the executor's loop. It outlives the daemon: when the
// connection is lost it is made again, and what was asked and not answered is asked again, so that every
// request is answered once, however long that takes. What it asks may be repeated: a spawn carries an id, and
// finding the session that it started is its answer; a wait and a cancel change nothing when done twice. An
// event whose answer was lost is published again.
//
// Nothing that moves data waits for it: a topology goes on while there is no daemon.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/methods.hpp"
#include "base/unique_fd.hpp"
#include "client/channel.hpp"
#include "wire/payload.hpp"

namespace kairo::executor {

/// Events that wait for a daemon; later ones push out the oldest, and the first that is told then says how
/// many are missing.
inline constexpr std::size_t waiting_events = 4096;

class KernelLink {
 public:
  using Answer = std::function<void(Result<std::string>)>;
  using Started = std::function<void(Result<api::ProcessSession>)>;
  using Ended = std::function<void(Result<api::ProcessSession>)>;
  using Log = std::function<void(const std::string&)>;

  KernelLink(boost::asio::io_context& io, Log log);
  ~KernelLink();
  KernelLink(const KernelLink&) = delete;
  KernelLink& operator=(const KernelLink&) = delete;

  /// E_NOT_RUNNING where no daemon answers now; later losses are its own affair.
  Result<void> start();
  /// No more answers come. What is published is sent first, as far as the socket takes it at once.
  void stop();

  /// `descriptors` are kept until the answer, in the order stdin, stdout, stderr.
  void spawn(api::SpawnParams params, std::vector<UniqueFd> descriptors, Started started);
  /// Of a session that has ended, or when it does.
  void wait(const std::string& id, Ended ended);
  /// SIGTERM, and SIGKILL after the grace. One that has ended already is none of its business.
  void cancel(const std::string& id, const std::string& reason, std::chrono::milliseconds grace);
  void publish(const std::string& type, reflect::Any data);
  /// Calls `done` once everything that was published before is on record, or there is no daemon.
  void after_published(std::function<void()> done);
  [[nodiscard]] bool connected() const { return channel_.has_value(); }

 private:
  struct Pending {
    std::string method;
    std::string params;
    std::vector<UniqueFd> descriptors = {};
    Answer answer = {};
    bool event = false;
    /// A spawn: what was asked, and since when.
    struct Spawn {
      api::SpawnParams params;
      SystemTime asked;
      bool probing = false;  ///< Without `replace`, to see whether it was done already.
      bool repeated = false;
    };
    std::optional<Spawn> spawn = {};
  };

  void add(Pending pending);
  void send(std::uint64_t number);
  void connect();
  void connect_later();
  void lost(const Error& why);
  void wait_readable();
  void wait_writable();
  void take_frames();
  void answered(std::uint64_t number, Result<std::string> answer);
  void settle_spawn(std::uint64_t number, Error error);

  boost::asio::io_context& io_;
  Log log_;
  std::optional<client::Channel> channel_;
  std::optional<boost::asio::posix::stream_descriptor> socket_;
  boost::asio::steady_timer retry_;
  std::map<std::uint64_t, Pending> pending_;     ///< In the order in which they were asked.
  std::map<std::uint64_t, std::uint64_t> sent_;  ///< Request id on the present connection -> number.
  std::uint64_t next_ = 1;
  std::size_t events_ = 0;
  std::uint64_t events_dropped_ = 0;
  wire::PayloadDecoder decoder_;
  std::vector<std::function<void()>> after_published_;
  bool writing_ = false;
  bool stopped_ = false;
  bool told_ = false;  ///< That there is no daemon was logged.
  std::uint64_t connection_ = 0;
};

}  // namespace kairo::executor
