// The devices of the host as the kernel knows them, and their claims: what device.* asks, and where
// `kairo.device.added` and `kairo.device.removed` come from.
//
// From the first request, subscription or claim of an earlier daemon on, that is watch(), a monitor hears of
// what comes and goes; before, nothing is read and nothing wakes up. /sys and the monitor are read on the
// worker thread, one look at a time; the kernel's thread takes over what a look found, in order. A look takes
// what the monitor heard, or, where that is not all, enumerates anew: the first time, after an overrun, after
// a burst (limits::device_burst), and always on a host that gives no monitor.
//
// A claim is put on record before it is answered. It ends when its session or its connection does, by
// device.release, and when the device goes: then `kairo.device.removed` says whose it was. A restart of the
// daemon ends neither: a session's claim goes on, a connection's can be taken over for limits::orphaned_hold.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "kernel/call.hpp"
#include "kernel/timers.hpp"
#include "session/session.hpp"
#include "system/claim_file.hpp"
#include "system/device_cache.hpp"
#include "system/device_claims.hpp"
#include "system/device_monitor.hpp"

namespace kairo::kernel {

class Kernel;

class Devices {
 public:
  explicit Devices(Kernel& kernel);
  ~Devices();
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  /// Reads the claims of the time before. Before any session is adopted.
  Result<void> open(int state_dir);
  /// Once all sessions are known: goes on with the claims.
  void start();
  void stop();

  /// Somebody wants events of this pattern.
  void subscribed(std::string_view pattern);
  void session_ended(const session::Session& session);
  void client_closed(const Client& client);

  /// Calls `then` once everything is known that has happened until now; with an error when /sys cannot be
  /// read.
  using Then = std::function<void(const Result<void>&)>;
  void when_known(Then then);

  // --- from within `then`
  [[nodiscard]] std::vector<api::Device> list(const Client& client,
                                              const api::DeviceListParams& params) const;
  /// For a session, or else for the client.
  void claim(const Client& client, const std::string& id, const session::Session* session,
             Reply<api::Device> reply);
  void release(const Client& client, const std::string& id, const Reply<api::Device>& reply);

 private:
  /// What one look on the worker thread found.
  struct Look {
    std::optional<Result<std::vector<system::FoundDevice>>> all;
    system::DeviceMonitor::Taken taken;
  };
  void watch();
  void look();
  void looked(Look look, std::vector<Then> asked);
  /// Whether no more messages are to be taken one by one.
  bool is_burst(std::size_t messages);
  void await_message();
  void tell(std::vector<system::DeviceCache::News> news);
  [[nodiscard]] api::Device with_holder(api::Device device) const;
  Result<const api::Device*> reach(const std::string& id) const;
  void released(const system::DeviceClaim& claim);
  void released(const std::vector<system::DeviceClaim>& claims);
  void on_record(const Result<void>& written);

  Kernel& kernel_;
  system::DeviceCache cache_;
  system::DeviceClaims claims_;
  std::shared_ptr<system::ClaimFile> file_;  ///< The disk's thread alone uses it.
  bool file_failing_ = false;

  std::shared_ptr<system::DeviceMonitor> monitor_;  ///< None where the host gives none.
  std::string no_monitor_;                          ///< Why not.
  std::optional<boost::asio::posix::stream_descriptor> readable_;
  std::vector<Then> asked_;
  bool watching_ = false;
  bool looking_ = false;
  bool awaiting_ = false;
  bool enumerated_ = false;
  bool whole_ = true;     ///< The next look enumerates.
  bool pausing_ = false;  ///< After a burst, until the pause is over.
  bool stopped_ = false;
  SteadyTime interval_began_{};
  std::size_t in_interval_ = 0;  ///< Messages.
};

}  // namespace kairo::kernel
