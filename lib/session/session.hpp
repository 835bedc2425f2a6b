// One process session as kairod keeps it: what does not change, how far it has come, and how it ended.
// Offsets and flags that change often are in the slot shared with the keeper until the session has ended.
// Lives on the kernel's thread; owned by the Registry.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/session.hpp"
#include "base/clock.hpp"
#include "base/limits.hpp"
#include "keeper/protocol.hpp"
#include "keeper/table.hpp"
#include "session/state.hpp"
#include "session/stdin_queue.hpp"
#include "stream/log_reader.hpp"

namespace kairo::session {

// Moments that another daemon must know are kept twice: by boot_clock_us(), which nobody can set, and in Unix
// time under the name that earlier daemons knew. Members of both are 0 for none.

/// The moment by boot_clock_us(), whichever of both was written.
std::uint64_t on_boot_clock(std::uint64_t boot_us, std::uint64_t unix_us);
/// The moment in Unix time, microseconds.
std::uint64_t on_unix_clock(std::uint64_t boot_us);

/// What the keeper holds for kairod, so that a later kairod knows the session again.
struct Record {
  std::string id;
  std::vector<std::string> argv;
  std::string cwd;
  std::string owner;  ///< Name of the principal that created it.
  std::string
      owner_path;  ///< Its path (access::Principal); empty in records of earlier daemons: the name is.
  std::map<std::string, std::string> labels;
  std::optional<api::Permissions> permissions;  ///< In force, normalised; none: not confined.
  std::string correlation_id;
  std::string causation_id;
  std::uint64_t parent = 0;  ///< Key of the session whose process started it; 0: none.
  std::uint64_t kill_grace_ms = static_cast<std::uint64_t>(limits::kill_grace.count());
  std::uint64_t retain_bytes = limits::retain_bytes;
  std::uint64_t deadline_boot_us = 0;  ///< When options.timeoutMs, or limits.wallMs, is over.
  std::uint64_t deadline_us = 0;
  std::uint64_t timeout_ms = 0;                 ///< The smaller of both.
  std::optional<api::ResourceLimits> limits;    ///< Those in force.
  std::map<std::string, std::string> degraded;  ///< Those that could not be set (limitsMode), and why.
  std::string topology;                         ///< Of which it is the executor; empty: of none.
  bool stdin_pipe = false;
  bool block_when_full = false;
  bool kill_on_owner_exit = false;
  bool detach_descendants = false;
  bool stdout_pipe = true;
  bool stderr_pipe = true;
  bool audited = false;  ///< The host's audit is told what Landlock denies to it.
  // By these the audit's records are known to be the session's; of one that is audited.
  std::uint32_t uid = 0;  ///< Its user at the launch.
  std::string launcher;   ///< The keeper's program at the launch (sandbox::program_of); empty: not known.
  [[nodiscard]] const std::string& owned_by() const { return owner_path.empty() ? owner : owner_path; }
  static constexpr auto fields() {
    using S = Record;
    using reflect::defaulted;
    return std::tuple(
        defaulted("id", &S::id, ""), defaulted("argv", &S::argv, ""), defaulted("cwd", &S::cwd, ""),
        defaulted("owner", &S::owner, ""), defaulted("ownerPath", &S::owner_path, ""),
        defaulted("labels", &S::labels, ""), reflect::field("permissions", &S::permissions, ""),
        defaulted("correlationId", &S::correlation_id, ""), defaulted("causationId", &S::causation_id, ""),
        defaulted("parent", &S::parent, ""), defaulted("killGraceMs", &S::kill_grace_ms, ""),
        defaulted("retainBytes", &S::retain_bytes, ""), defaulted("deadlineBootUs", &S::deadline_boot_us, ""),
        defaulted("deadlineUs", &S::deadline_us, ""), defaulted("timeoutMs", &S::timeout_ms, ""),
        reflect::field("limits", &S::limits, ""), defaulted("degraded", &S::degraded, ""),
        defaulted("topology", &S::topology, ""), defaulted("stdinPipe", &S::stdin_pipe, ""),
        defaulted("blockWhenFull", &S::block_when_full, ""),
        defaulted("killOnOwnerExit", &S::kill_on_owner_exit, ""),
        defaulted("detachDescendants", &S::detach_descendants, ""),
        defaulted("stdoutPipe", &S::stdout_pipe, ""), defaulted("stderrPipe", &S::stderr_pipe, ""),
        defaulted("audited", &S::audited, ""), defaulted("uid", &S::uid, ""),
        defaulted("launcher", &S::launcher, ""));
  }
};

/// What became known of a session after its launch and must outlive this daemon: why its end was asked for,
/// and what is still to be done. Kept by the keeper.
struct Note {
  std::optional<api::EndReason> end_reason;
  std::string end_by;
  std::uint64_t end_requested_boot_us = 0;
  std::uint64_t end_requested_us = 0;
  std::uint64_t kill_at_boot_us = 0;  ///< Of the SIGKILL that follows; 0: none.
  std::uint64_t kill_at_us = 0;
  std::int32_t signaled_with = 0;
  std::string signaled_by;
  bool paused = false;
  std::uint64_t landlock_domain = 0;  ///< As the host's audit names it; 0: not known.
  bool operator==(const Note&) const = default;
  static constexpr auto fields() {
    using S = Note;
    using reflect::defaulted;
    return std::tuple(
        reflect::field("endReason", &S::end_reason, ""), defaulted("endBy", &S::end_by, ""),
        defaulted("endRequestedBootUs", &S::end_requested_boot_us, ""),
        defaulted("endRequestedUs", &S::end_requested_us, ""),
        defaulted("killAtBootUs", &S::kill_at_boot_us, ""), defaulted("killAtUs", &S::kill_at_us, ""),
        defaulted("signaledWith", &S::signaled_with, ""), defaulted("signaledBy", &S::signaled_by, ""),
        defaulted("paused", &S::paused, ""), defaulted("landlockDomain", &S::landlock_domain, ""));
  }
};

/// What the host's audit told of a session's denied accesses.
struct DeniedAccess {
  std::string what;    ///< "read", "write", "connect", ...
  std::string target;  ///< As sandbox::explain() takes it; empty: none.
  std::uint64_t count = 0;
  std::uint64_t first_us = 0;  ///< Unix time.
  std::uint64_t last_us = 0;
  static constexpr auto fields() {
    using S = DeniedAccess;
    using reflect::field;
    return std::tuple(field("what", &S::what, ""), reflect::defaulted("target", &S::target, ""),
                      field("count", &S::count, ""), field("firstUs", &S::first_us, ""),
                      field("lastUs", &S::last_us, ""));
  }
};
struct DeniedAccesses {
  std::vector<DeniedAccess> listed;  ///< At most sandbox::denials_max.
  std::uint64_t unlisted = 0;        ///< Accesses beyond these.
  bool interrupted = false;  ///< No daemon listened for a time, the audit was off, or records were lost.
  static constexpr auto fields() {
    return std::tuple(reflect::defaulted("listed", &DeniedAccesses::listed, ""),
                      reflect::defaulted("unlisted", &DeniedAccesses::unlisted, ""),
                      reflect::defaulted("interrupted", &DeniedAccesses::interrupted, ""));
  }
};

/// How a session ended.
struct End {
  SystemTime at;
  int wait_status = 0;  ///< As waitpid gives it; meaningless when `lost`.
  bool lost = false;
  std::uint64_t boot_us = 0;  ///< The moment by boot_clock_us(); 0 where it lies before the machine's start.
  SystemTime even_at;         ///< And by even_now(), for the session's age.
  std::optional<keeper::LimitReport> report;
  std::optional<keeper::DenialReport> denials;
};

/// What is left of one stream's log.
struct LogRemains {
  std::uint64_t tail = 0;
  std::uint64_t floor = 0;
  std::uint64_t capacity = 0;
  std::uint32_t flags = 0;
  std::uint32_t index_count = 0;
  static constexpr auto fields() {
    using S = LogRemains;
    using reflect::defaulted;
    return std::tuple(defaulted("tail", &S::tail, ""), defaulted("floor", &S::floor, ""),
                      defaulted("capacity", &S::capacity, ""), defaulted("flags", &S::flags, ""),
                      defaulted("indexCount", &S::index_count, ""));
  }
};

/// What is left of a session that has ended.
struct Remains {
  std::uint64_t at_us = 0;       ///< Unix time.
  std::uint64_t at_boot_us = 0;  ///< The same by boot_clock_us(), of the machine's run `boot` (boot_mark()).
  std::uint64_t boot = 0;
  std::int32_t wait_status = 0;
  bool lost = false;
  std::optional<keeper::LimitReport> report;
  std::optional<keeper::DenialReport> denials;
  std::optional<DeniedAccesses> denied_accesses;
  std::uint64_t stdin_offset = 0;
  LogRemains standard_output;
  LogRemains standard_error;
  static constexpr auto fields() {
    using S = Remains;
    using reflect::defaulted;
    return std::tuple(
        defaulted("atUs", &S::at_us, ""), defaulted("atBootUs", &S::at_boot_us, ""),
        defaulted("boot", &S::boot, ""), defaulted("waitStatus", &S::wait_status, ""),
        defaulted("lost", &S::lost, ""), reflect::field("report", &S::report, ""),
        reflect::field("denials", &S::denials, ""), reflect::field("deniedAccesses", &S::denied_accesses, ""),
        defaulted("stdinOffset", &S::stdin_offset, ""), defaulted("stdout", &S::standard_output, ""),
        defaulted("stderr", &S::standard_error, ""));
  }
};

/// What stream::log_degraded or log_stalled means, for people.
std::string_view describe_log_fault(std::uint32_t flag);

class Session {
 public:
  Session(Record record, std::uint64_t key, std::uint32_t slot_index, keeper::SessionSlot* slot);
  ~Session();

  [[nodiscard]] const Record& record() const { return record_; }
  [[nodiscard]] const std::string& id() const { return record_.id; }
  [[nodiscard]] std::uint64_t key() const { return key_; }
  [[nodiscard]] std::uint32_t slot_index() const { return slot_index_; }
  /// nullptr once the session has let go of its slot.
  [[nodiscard]] keeper::SessionSlot* slot() const { return slot_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool running() const { return phase_ == Phase::running || phase_ == Phase::ending; }
  [[nodiscard]] bool ended() const { return phase_ == Phase::ended; }
  [[nodiscard]] std::int32_t pid() const { return pid_; }
  [[nodiscard]] SystemTime started_at() const { return started_at_; }
  /// By boot_clock_us(); 0 where it is not known.
  [[nodiscard]] std::uint64_t started_boot_us() const { return started_boot_us_; }
  [[nodiscard]] const std::optional<End>& end() const { return end_; }
  [[nodiscard]] api::Outcome outcome() const;
  [[nodiscard]] api::Status status() const;

  /// Its control group, cgroup::Group::in; 0: it has none.
  [[nodiscard]] std::uint32_t group() const { return group_; }
  void set_group(std::uint32_t group) { group_ = group; }
  /// Whether the host's audit is told what Landlock denies to it, and what it has told.
  [[nodiscard]] const std::optional<DeniedAccesses>& denied_accesses() const { return denied_accesses_; }
  /// From now on the list is told, an empty one too; what stands in it stays.
  void expect_denied_accesses() {
    if (!denied_accesses_) denied_accesses_.emplace();
  }
  /// What an earlier daemon has heard.
  void restore_denied_accesses(std::optional<DeniedAccesses> heard) { denied_accesses_ = std::move(heard); }
  /// Something may be missing from the list; false where that is known already, or no list is told.
  bool interrupt_denied_accesses();
  /// True when it stands in the list for the first time.
  bool denied(const std::string& what, const std::string& target, std::uint64_t at_us);
  /// So many accesses more, of which nothing else is known.
  void denied_unlisted(std::uint64_t count);
  /// The first domain of Landlock that was told to be the session's; false for a later one.
  bool note_domain(std::uint64_t domain);
  /// Limits that could not be set at the launch, and why.
  void degrade(const std::map<std::string, std::string>& limits);

  [[nodiscard]] bool paused() const { return note_.paused; }
  void set_paused(bool paused) { note_.paused = paused; }

  /// `boot_us`: the same moment by boot_clock_us(); 0: not known.
  void launched(std::int32_t pid, SystemTime at, std::uint64_t boot_us);
  void launch_failed();
  /// Of a session that ended in the time of an earlier daemon, after launched() and restore().
  void ended_before(const Remains& remains);
  /// What is to be put on record; of a session that has ended.
  [[nodiscard]] Remains remains() const;
  /// The first request wins: it is the reason that the outcome tells.
  void request_end(api::EndReason reason, std::string by);
  /// Who sent the last terminating signal, for the outcome's `by`.
  void note_signal(int number, std::string by) {
    note_.signaled_with = number;
    note_.signaled_by = std::move(by);
  }
  /// When SIGKILL follows, by boot_clock_us(); 0: not.
  void set_kill_at(std::uint64_t boot_us) {
    note_.kill_at_boot_us = boot_us;
    note_.kill_at_us = on_unix_clock(boot_us);
  }
  [[nodiscard]] const Note& note() const { return note_; }
  /// Of a session that was launched by an earlier daemon.
  void restore(Note note);
  /// `boot_us`: the same moment by boot_clock_us(); 0: now. False when it had ended already.
  bool exited(int wait_status, SystemTime at, std::uint64_t boot_us,
              std::optional<keeper::LimitReport> report = {},
              std::optional<keeper::DenialReport> denials = {});
  bool lost(SystemTime at);

  /// The log of one stream; made on first use. `logs_dir` outlives the session.
  stream::LogReader& log(unsigned stream, int logs_dir);
  [[nodiscard]] stream::LogState log_state(unsigned stream) const;
  [[nodiscard]] bool all_recorded() const { return log_state(0).eof() && log_state(1).eof(); }
  /// Which of a log's faults (stream::log_degraded, log_stalled) began since this was last asked.
  std::uint32_t take_log_faults(unsigned stream);
  /// Keeps the logs' last state and lets go of the slot, which the keeper may then give to another session.
  void freeze(int logs_dir);
  /// An ended session gives up its logs: all of their bytes count as dropped. Nobody may be reading them.
  void drop_logs();

  [[nodiscard]] StdinQueue* standard_input() { return stdin_.get(); }
  StdinQueue& make_standard_input();
  [[nodiscard]] api::StdinState stdin_state() const;

  /// The session as clients see it, brought up to date; valid until the next call. Kept rather than made
  /// anew, because process.status is the most frequent request and most of it never changes.
  [[nodiscard]] const api::ProcessSession& view() const;
  /// view() as MsgPack; packed again only when something has changed.
  [[nodiscard]] const reflect::Any& packed_view() const;
  /// Gives up what view() and packed_view() keep; an ended session is seldom asked for.
  void drop_view();

 private:
  /// What of the view may change, in the form in which it is cheap to compare.
  struct Changing {
    Phase phase = Phase::starting;
    bool paused = false;
    api::StdinState standard_input;
    api::StreamStates streams;
    std::uint32_t log_flags[2] = {0, 0};
    bool operator==(const Changing&) const = default;
  };
  [[nodiscard]] Changing changing() const;
  struct View;
  View& current_view() const;

  Record record_;
  std::uint64_t key_;
  std::uint32_t slot_index_;
  keeper::SessionSlot* slot_;
  std::int32_t pid_ = 0;
  std::uint32_t group_ = 0;
  Phase phase_ = Phase::starting;
  SystemTime started_at_{};
  std::uint64_t started_boot_us_ = 0;
  std::optional<End> end_;
  std::optional<DeniedAccesses> denied_accesses_;
  Note note_;
  std::unique_ptr<stream::LogReader> logs_[2];
  stream::LogState frozen_[2];
  std::uint32_t faults_told_[2] = {0, 0};
  api::StdinState frozen_stdin_;
  std::unique_ptr<StdinQueue> stdin_;
  mutable std::unique_ptr<View> view_;  ///< Made when first asked for.
};

}  // namespace kairo::session
