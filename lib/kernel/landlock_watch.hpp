// Hears from the host's audit what Landlock denies to sessions, where the host lets it: a daemon of root
// (CAP_AUDIT_READ and CAP_AUDIT_CONTROL), audit switched on, Landlock ABI 7. Nothing of the host's audit is
// changed. Lives on the kernel's thread; owned by the kernel.
//
// A record names the domain, and the first denial of a domain the process that made it, which for a session
// is its main process. So no text in a record decides whose it is, and forged ones cannot come: the socket
// takes what the kernel sends.
//
// A filter on the socket leaves all but the two kinds of records out, so that a host that audits much else
// costs nothing here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/clock.hpp"
#include "sandbox/landlock_record.hpp"
#include "session/session.hpp"

namespace kairo::kernel {

class Kernel;

class LandlockWatch {
 public:
  explicit LandlockWatch(Kernel& kernel);
  ~LandlockWatch();

  void start();
  void stop();
  /// Whether what is confined from now on is told. Asks the host at most once a second.
  bool on();
  /// Why nothing is told; empty while on().
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  /// Whether records were lost since the start.
  [[nodiscard]] bool lost() const { return lost_; }
  /// A session of the time before, whose domain is known.
  void know(std::uint64_t domain, std::uint64_t key);
  /// Takes in what waits in the socket.
  void read();

 private:
  void watch();
  bool take(int socket);
  void on_domain(const sandbox::LandlockDomain& domain);
  void on_access(const sandbox::LandlockAccess& access);
  void note(session::Session& session, const sandbox::LandlockAccess& access);
  void ask_host();
  void on_status(std::string_view status);

  Kernel& kernel_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> socket_;
  std::string why_not_ = "the host does not say whether its audit is on";
  bool enabled_ = false;
  bool lost_ = false;
  SteadyTime asked_at_{};
  std::map<std::uint64_t, std::uint64_t> sessions_;  ///< Domain to the session's key.
  /// Of domains that are not known: the record of a new domain comes behind its first denial.
  std::deque<sandbox::LandlockAccess> early_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kairo::kernel
