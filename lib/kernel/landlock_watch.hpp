// Hears from the host's audit what Landlock denies to sessions, where the host lets it: a daemon of root
// (CAP_AUDIT_READ and CAP_AUDIT_CONTROL), audit switched on, Landlock ABI 7. Nothing of the host's audit is
// changed. Lives on the kernel's thread; owned by the kernel.
//
// A record names the domain, and the first denial of a domain the process that made it, as it was when it
// made it. For a session that is its main process before it became the session's program: by its number,
// which may be another's by then, its user, and its program, which is the keeper's; and while the session
// lived. Domains that programs make for themselves, in a session or elsewhere, are nobody's. Forged records
// cannot come: the socket takes what the kernel sends.
//
// Nothing is missing unnoticed: where records were lost, by the host or here, or the audit was off, all
// sessions that it may have concerned are told to be interrupted.
//
// A filter on the socket leaves all but the two kinds of records out, so that a host that audits much else
// costs nothing here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

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
  /// Takes in what waits, and puts on record what the sessions that go on were denied so far.
  void stop();
  /// Whether what is confined from now on is told, by what the host said in the last second or two. Waits for
  /// its answer, some 0.1 ms, where it was not asked for longer.
  bool on();
  /// Keeps an eye on the host for as long as there are sessions whose denials are told.
  void follow();
  /// Why nothing is told; empty while on().
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  /// How often something may have been missed so far. Sessions know of it by themselves, but for one whose
  /// launch is under way.
  [[nodiscard]] std::uint64_t losses() const { return losses_; }
  /// The keeper's program as it was a moment ago, for session::Record::launcher.
  const std::string& launcher();
  /// Calls `then` once what was denied until now has been taken in; with false when that took too long
  /// (hear_at_most). Not from within the call.
  void when_heard(std::function<void(bool all)> then);
  /// A session of the time before, whose domain is known.
  void know(std::uint64_t domain, std::uint64_t key);

 private:
  /// Denials of a domain that is not known yet: the record of a domain comes behind its first denial.
  struct Early {
    std::vector<sandbox::LandlockAccess> accesses;
    std::uint64_t more = 0;  ///< Beyond these.
    SteadyTime since{};
    /// Its record, once it has come; it may be of a launch that is under way.
    std::optional<sandbox::LandlockDomain> told;
  };
  struct Waiter {
    std::uint32_t question = 0;  ///< Answers to later ones count.
    int quiet = 0;               ///< How many in a row told of no backlog.
    SteadyTime until{};
    std::function<void(bool)> then;
  };

  /// Takes in what waits in the socket.
  void read();
  void watch();
  bool take(int socket);
  void on_domain(const sandbox::LandlockDomain& domain);
  void on_access(const sandbox::LandlockAccess& access);
  void look_up_launcher();
  /// Whether the keeper's program is or just was this one.
  bool is_launcher(std::string_view program);
  /// Whose the domain is; it may be a session's whose launch is under way.
  session::Session* maker_of(const sandbox::LandlockDomain& domain);
  void settle(std::uint64_t domain, session::Session* maker);
  void settle_early();
  bool settle_told();
  void make_room();
  void know_foreign(std::uint64_t domain);
  void note(session::Session& session, const sandbox::LandlockAccess& access);
  void ask_host();
  void ask_and_wait(std::chrono::milliseconds at_most);
  void on_status(std::uint32_t question, const sandbox::AuditStatus& status);
  void on_answer(std::uint32_t question, bool quiet);
  void hear();
  /// Of everybody who ran after `since` (boot_clock_us) something may be missing.
  void missed(std::uint64_t since_boot_us);

  Kernel& kernel_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> socket_;
  std::string why_not_ = "the host does not say whether its audit is on";
  bool enabled_ = false;
  std::uint64_t losses_ = 0;
  std::string launcher_;
  SteadyTime launcher_at_{};
  std::uint32_t question_ = 0;  ///< Number of the last one, and of the last one answered.
  std::uint32_t answered_ = 0;
  std::map<std::uint32_t, std::uint64_t> asked_boot_us_;  ///< Of those that are not answered.
  SteadyTime answered_at_{};
  std::uint64_t sure_until_boot_us_ = 0;       ///< Until then nothing was lost unnoticed.
  std::optional<std::uint32_t> lost_by_host_;  ///< As last told.
  bool following_ = false;                     ///< A timer will ask.
  bool hearing_ = false;                       ///< A timer will look after the waiters.
  bool settling_ = false;                      ///< A timer will look after the early ones.
  std::vector<Waiter> waiters_;
  std::map<std::uint64_t, std::uint64_t> sessions_;  ///< Domain to the session's key.
  std::set<std::uint64_t> foreign_;                  ///< Domains that are no session's.
  std::map<std::uint64_t, Early> early_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kairo::kernel
