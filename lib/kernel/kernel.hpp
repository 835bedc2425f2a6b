// The kernel: everything that a request may touch, on one thread. It composes the modules below; what a
// method does stands in the file of its domain (process_methods.cpp, output_methods.cpp, ...), one row each
// in methods.cpp. Its own parts: kernel.cpp (the life of a session, events), clients.cpp (who is served, and
// what they may do), attribution.cpp (who they are), admission.cpp (what a spawn gets), adoption.cpp (the
// time before, a keeper that has gone), records.cpp (what is on disk), readers.cpp (who reads output).
//
// Order of calls: create() (finds or starts the keeper, listens), run() until stop() was called and has
// finished.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "access/policy.hpp"
#include "access/principal.hpp"
#include "api/methods.hpp"
#include "event/archive.hpp"
#include "event/bus.hpp"
#include "event/file_journal.hpp"
#include "ipc/listener.hpp"
#include "keeper/leftovers.hpp"
#include "keeper/link.hpp"
#include "keeper/process_tree.hpp"
#include "kernel/call.hpp"
#include "kernel/client.hpp"
#include "kernel/counters.hpp"
#include "kernel/cpu_watch.hpp"
#include "kernel/landlock_watch.hpp"
#include "kernel/methods.hpp"
#include "kernel/monitor.hpp"
#include "kernel/settings.hpp"
#include "kernel/timers.hpp"
#include "session/book.hpp"
#include "session/registry.hpp"
#include "stream/batch.hpp"
#include "system/metrics.hpp"
#include "system/process_metrics.hpp"

namespace kairo::kernel {

/// How often ended sessions and the size of the logs are looked after; the shorter where logs may grow.
inline constexpr std::chrono::seconds expiry_interval{60};
inline constexpr std::chrono::seconds growth_interval{5};
/// How often those are looked at who could not be attributed for want of descriptors, or while a launch
/// hangs.
inline constexpr std::chrono::milliseconds attribution_interval{100};
/// What the clock may be off between two looks before it counts as set.
inline constexpr std::chrono::seconds clock_tolerance{1};

inline std::uint64_t unix_us(SystemTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

/// Milliseconds until boot_clock_us() is `boot_us`, 0 where that is over; at most a year: longer waits would
/// overflow a time point.
inline std::uint64_t until_boot_ms(std::uint64_t boot_us) {
  const std::uint64_t now = boot_clock_us();
  return boot_us > now ? std::min<std::uint64_t>((boot_us - now) / 1000, 365ull * 24 * 3600 * 1000) : 0;
}

class Devices;
class Executors;

/// What to do with the processes when the daemon stops.
using OnShutdown = api::Processes;

/// The process that the kernel lives in, for kernel.stop and kernel.upgrade. But for find_next, everything is
/// called on the kernel's thread, and neither stop nor upgrade calls the kernel before it has returned.
class Host {
 public:
  struct Next {
    std::string program;
    std::string version;
  };
  /// Looks for a program that can take this one's place. May take seconds; called on a worker thread.
  virtual Result<Next> find_next() = 0;
  /// What the configuration says of the processes at a stop.
  [[nodiscard]] virtual OnShutdown on_shutdown() const = 0;
  virtual void stop(OnShutdown what) = 0;
  virtual void upgrade() = 0;
  /// Where metrics are served over HTTP, if they are.
  [[nodiscard]] virtual std::optional<std::string> metrics_address() const = 0;

 protected:
  ~Host() = default;
};

struct KernelOptions {
  std::string socket_path;  ///< For children and for kernel.info.
  UniqueFd listener;        ///< Listening socket.
  std::string state_dir;    ///< Absolute.
  std::vector<std::string> keeper_command;
  UniqueFd next_keeper;         ///< A program that a keeper which runs already is to become; or none.
  mode_t umask = 022;           ///< Of children whose spawn names none.
  std::string host_root = "/";  ///< Below it the host's /proc and /sys are read for metrics.
  std::function<void(const std::string&)> log = [](const std::string&) {};
  Settings settings;
  access::Policy policy;
  /// Serve every user that may connect, each process as its caller (SPEC 3.1); of root alone.
  bool serves_users = false;
  Host* host = nullptr;  ///< Without one kernel.stop and kernel.upgrade are E_UNSUPPORTED.
};

class Kernel final : public keeper::Listener {
 public:
  static Result<std::unique_ptr<Kernel>> create(boost::asio::io_context& io, KernelOptions options);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  void start();
  /// Refuses new spawns, ends or keeps what runs, closes every connection; `done` is called once.
  void stop(OnShutdown what, std::function<void()> done);
  [[nodiscard]] bool stopping() const { return stopping_; }
  /// From now on these settings hold. What was made under the former keeps its bounds: a connection its
  /// frames', a session its grace and its logs' size, a subscription its pace.
  void configure(const Settings& settings, access::Policy policy);

  // --- for the handlers
  [[nodiscard]] const KernelOptions& options() const { return options_; }
  [[nodiscard]] const Settings& settings() const { return options_.settings; }
  [[nodiscard]] const std::string& instance_id() const { return instance_id_; }
  [[nodiscard]] SystemTime started_at() const { return started_at_; }
  keeper::Link& link() { return *link_; }
  [[nodiscard]] const keeper::Link& link() const { return *link_; }
  session::Registry& sessions() { return registry_; }
  [[nodiscard]] const session::Registry& sessions() const { return registry_; }
  event::Bus& bus() { return *bus_; }
  [[nodiscard]] const event::Bus& bus() const { return *bus_; }
  Timers& timers() { return timers_; }
  const MethodTable& methods() const { return methods_; }
  boost::asio::io_context& io() { return io_; }
  boost::asio::thread_pool& worker() { return worker_; }
  boost::asio::thread_pool& disk() { return disk_; }
  Devices& devices() { return *devices_; }
  Executors& executors() { return *executors_; }
  /// These two are the worker's: nobody else touches them.
  system::MetricsSampler& metrics() { return metrics_; }
  system::ProcessSampler& process_metrics() { return process_metrics_; }
  Monitor& monitor() { return monitor_; }
  LandlockWatch& landlock_watch() { return landlock_watch_; }
  Audit& audit() { return *audit_; }
  /// The newest record of the audit that the event store knew of when it was opened.
  [[nodiscard]] const std::optional<audit::Head>& known_audit_head() const { return known_audit_head_; }
  Counters& counters() { return counters_; }
  /// E_INTERNAL when the state directory was removed: nothing can be kept of a process any more.
  Result<void> check_state_dir();
  [[nodiscard]] int logs_dir() const { return logs_dir_.get(); }
  void log(const std::string& line) const { options_.log(line); }
  /// The same for what a client can bring about as often as it likes: 20 lines a second for all of them, and
  /// then how many were left out.
  void log_client(const std::string& line);

  [[nodiscard]] const access::Policy& policy() const { return options_.policy; }
  /// Another one with each policy.
  [[nodiscard]] std::uint64_t policy_version() const { return policy_version_; }
  /// Whether the client may call the method at all: what the method's row says that it needs, and the policy.
  Result<void> admit(const access::Principal& who, const std::vector<access::Policy::Binding>& rules,
                     const Method& method) const;
  /// Whether `who` may act on what `owner`, a path, created.
  [[nodiscard]] bool may_act(const access::Principal& who, std::string_view owner) const;
  /// Whether `who` may stop or replace the daemon.
  [[nodiscard]] static bool may_rule(const access::Principal& who);
  /// The session `id`, if the caller may act on it; else E_NOT_FOUND or E_PERMISSION_DENIED.
  Result<session::Session*> reach(const Client& client, const std::string& id) const;
  /// The same for looking at it: what is inside a session may look at that.
  Result<session::Session*> look_at(const Client& client, const std::string& id) const;

  // --- sessions
  /// Ids that are being launched, with the requests that came for them meanwhile (a client may pipeline an
  /// attach behind its spawn): they are taken up once the launch is decided, in their order.
  std::unordered_map<std::string, std::vector<std::function<void()>>> starting;
  void launch_decided(const std::string& id);
  void began(session::Session& session, const std::shared_ptr<Client>& owner,
             const std::string& subscription_id);
  /// SIGTERM now and SIGKILL after `grace`; the outcome will tell `reason` and `by`.
  void terminate(session::Session& session, api::EndReason reason, const std::string& by,
                 std::chrono::milliseconds grace);
  void kill_after(session::Session& session, std::chrono::milliseconds grace);
  /// Puts the session on record as it is now.
  /// False when the disk refuses it.
  bool put_on_record(const session::Session& session);
  /// Launches that were under way when the keeper was lost; on_lost ends what they may have started.
  std::vector<keeper::Leftover> lost_launches;
  /// Has the keeper keep the session's note, ahead of the orders that follow.
  void remember(const session::Session& session);
  /// An adopted session of onOwnerExit "kill" has found its owner again.
  void own_again(session::Session& session, const std::shared_ptr<Client>& owner,
                 const std::string& subscription_id);
  /// Cancels with event; false when it does not run.
  bool cancel(session::Session& session, const std::string& by, const std::optional<std::string>& reason,
              std::chrono::milliseconds grace, std::string_view correlation_id,
              std::string_view causation_id);
  void forget(session::Session& session);

  /// `call` is the request that waits.
  void add_wait(session::Session& session, const Call& call, Reply<api::ProcessSession> reply,
                std::optional<std::uint64_t> timeout_ms);
  /// Answers the waits that were asked for under a correlation id by principals on whose behalf `by` may act.
  void cancel_waits(std::string_view correlation_id, const access::Principal& by,
                    const std::optional<std::string>& reason);

  // --- output
  void add_reader(OutputSubscription& subscription);
  void remove_reader(OutputSubscription& subscription);
  /// Tells the keeper what the readers of this session still need.
  void update_pins(session::Session& session);
  /// Asks to be told when a log of this session grows. False when it has grown meanwhile.
  bool arm(OutputSubscription& subscription);
  /// Bytes up to `position` have been had by somebody (whenFull "block").
  void note_read(session::Session& session, unsigned stream, std::uint64_t position);
  /// A long poll: `try_answer` says whether it has answered.
  struct PendingRead {
    std::function<bool(bool give_up)> try_answer;
    Timers::Id timer = 0;
  };
  void add_pending_read(session::Session& session, unsigned stream, std::function<bool(bool)> try_answer,
                        std::chrono::milliseconds wait);

  // --- stdin
  Result<session::StdinQueue*> stdin_of(session::Session& session);
  void after_stdin(session::Session& session);

  // --- events
  /// Publishes a fact of this process: to the bus, and to its owner. `members` are added to processId and
  /// pid. The ids are those of the request that led to it; when empty, the session's own.
  using Members = std::vector<
      std::pair<std::string, std::variant<std::int64_t, std::uint64_t, std::string, reflect::Any>>>;
  void emit(const session::Session& session, const std::string& type, const Members& members = {},
            std::string_view correlation_id = {}, std::string_view causation_id = {});
  void emit_kernel(const std::string& type, const Members& members = {});
  void emit_kernel(const std::string& type, reflect::Any data);
  /// `kairo.security.denied`: for who was refused, and those above.
  void emit_denied(const access::Principal& who, const Members& members);
  /// How many refusals of a user were told in the present interval, and how many were not.
  struct Refusals {
    SteadyTime since{};
    unsigned told = 0;
    std::uint64_t untold = 0;
  };
  Refusals& refusals_of(uid_t uid) { return refusals_[uid]; }
  /// Says, in the log and by `kairo.kernel.degraded`, that the daemon itself does less than it should.
  void degraded(const std::string& what, const std::string& message);
  /// The same of one stream's log.
  void emit_log_fault(const session::Session& session, unsigned stream, const std::string& message);
  [[nodiscard]] bool may_see(const access::Principal& who, const event::Fact& fact) const;
  /// The same rule as event::Query::viewer.
  [[nodiscard]] std::optional<std::string> viewer(const access::Principal& who) const;
  /// Puts the fact on record and tells it to those who want it; `recorded` is what they were told. What the
  /// journal refuses is told all the same, without a seq; then its error is given back, and
  /// `kairo.kernel.degraded` told once.
  Result<void> announce(event::Fact& fact, event::Window::Entry& recorded);
  event::Archive& archive() { return *archive_; }
  [[nodiscard]] const event::Archive& archive() const { return *archive_; }

  // --- attribution
  /// Who is at the other end; `process`: a pidfd of it, or -1. Nothing while that depends on launches that
  /// are under way.
  [[nodiscard]] std::optional<access::Principal> attribute(const ipc::Peer& peer, int process) const;
  /// The session that the client's process belongs to, or nullptr.
  [[nodiscard]] session::Session* origin_of(const Client& client) const;
  /// The correlation id of a request: as named, or else inherited from the session that the client belongs
  /// to.
  [[nodiscard]] std::string correlation_of(const Client& client, std::string_view named) const;

  // --- clients
  /// Serves a connection that was made for the processes of a session, whoever holds its other end: they act
  /// as the session's principal. `spawner` and its groups: whose user the session runs as.
  void accept_for(const session::Session& session, UniqueFd socket, const ipc::Peer& spawner,
                  std::vector<gid_t> groups);
  /// Serves one more connection of a client's (`kairo.connect`), under the same rights. E_INVALID_REQUEST
  /// where the descriptor is no connected Unix socket.
  Result<void> accept_further(const Client& client, UniqueFd socket);
  void client_closed(Client& client);
  [[nodiscard]] std::size_t clients() const { return clients_.size(); }
  /// Of all clients together.
  struct ClientTotals {
    std::size_t unanswered = 0;
    std::size_t output_subscriptions = 0;
    std::size_t event_subscriptions = 0;
    double event_lag_seconds = 0;
  };
  [[nodiscard]] ClientTotals client_totals() const;
  stream::Batch& batch() { return batch_; }

  void on_changed(std::uint32_t slot) override;
  void on_exited(const keeper::Exited& exited) override;
  void on_lost(const Error& why) override;

 private:
  Kernel(boost::asio::io_context& io, KernelOptions options);
  void accept(UniqueFd socket, ipc::Peer peer);
  void serve(UniqueFd socket, const ipc::Peer& peer, access::Principal principal);
  /// nullptr where too many are served.
  Client* serve_as(UniqueFd socket, const ipc::Peer& peer, access::Principal principal,
                   std::vector<gid_t> groups);
  /// The session in whose control group a process is, by key; 0: in one that is nobody's now.
  /// `cgroup`: id of the group, or 0.
  [[nodiscard]] std::optional<std::uint64_t> group_of(pid_t pid, std::uint64_t cgroup) const;
  /// The session whose main process that is.
  [[nodiscard]] const session::Session* main_process(pid_t pid, const keeper::Lineage& lineage) const;
  /// Serves those of the peers that wait who can be attributed by now.
  void look_at_waiting_peers();
  void adopt(std::vector<keeper::Link::Held> held);
  [[nodiscard]] keeper::LinkOptions link_options() const {
    return {options_.state_dir, instance_id_, options_.keeper_command, options_.next_keeper.get()};
  }
  Result<void> open_files();
  void start_archive(Result<event::Store::Opened> opened);
  void bound_archive();
  void restore_ended();
  void sync_journal_soon();
  void feed_archive_soon();
  void journal_synced(const Result<void>& synced);
  /// Looks for what nobody tells: a clock that was set, a state directory that was removed.
  void look_around();
  bool write_book(const session::Entry& entry);
  void book_refused(const Error& why);
  void compact_book();
  void compact_on();
  void compact_later();
  /// Tells of the faults of a session's logs that began since it was last called.
  void tell_log_faults(session::Session& session);
  void emit_exited(const session::Session& session);
  void replace_keeper();
  void end_leftovers(std::vector<keeper::Leftover> sessions);
  void take_note(session::Session& session, std::string_view note);
  void finish(session::Session& session);
  void release_if_recorded(session::Session& session);
  /// An ended session's logs are final: who waits for more of them is told.
  void settle(session::Session& session);
  void give_last_output(session::Session& session);
  void wake_readers(session::Session& session);
  /// Looks after ended sessions and the size of the logs within `delay`, and again and again while there are
  /// sessions.
  void expire_within(std::chrono::seconds delay);
  void expire();
  void stop_growth();
  void sweep_logs();
  void remove_logs(std::uint64_t key);
  bool drop_logs(session::Session& session);
  void publish(event::Fact fact, const session::Session* session);
  void stop_when_idle(bool at_once = false);

  boost::asio::io_context& io_;
  KernelOptions options_;
  std::string instance_id_;
  SystemTime started_at_;
  UniqueFd logs_dir_;
  std::unique_ptr<keeper::Link> link_;
  session::Registry registry_;
  std::optional<event::Bus> bus_;            ///< Made by open_files().
  event::FileJournal* journal_ = nullptr;    ///< The bus's.
  std::unique_ptr<event::Archive> archive_;  ///< Made by open_files(); uses the bus and the journal.
  bool journal_sync_due_ = false;
  bool feed_due_ = false;
  std::uint64_t unfed_events_ = 0;
  bool journal_failing_ = false;
  bool journal_unsynced_ = false;
  bool state_dir_gone_ = false;
  ClockWatch clock_watch_{clock_tolerance};
  SteadyTime journal_refused_at_{};
  std::string keeper_problem_;
  Timers timers_;
  MethodTable methods_;
  stream::Batch batch_;
  boost::asio::thread_pool worker_{1};  ///< What may block, and not on the disk that the state is on.
  boost::asio::thread_pool disk_{1};    ///< What waits for that disk.
  system::MetricsSampler metrics_;
  std::unique_ptr<Devices> devices_;
  std::unique_ptr<Executors> executors_;
  std::unique_ptr<Audit> audit_;
  std::optional<audit::Head> known_audit_head_;
  system::ProcessSampler process_metrics_;
  Counters counters_;
  LandlockWatch landlock_watch_{*this};
  Monitor monitor_{*this};
  CpuWatch cpu_watch_{*this};
  std::unique_ptr<ipc::Listener> listener_;
  std::unordered_map<Client*, std::shared_ptr<Client>> clients_;
  std::uint64_t next_client_ = 1;
  std::uint64_t policy_version_ = 1;
  struct ClientLines {
    SteadyTime since{};
    unsigned told = 0;
    std::uint64_t left_out = 0;
  } client_lines_;
  /// Connected, and yet to be attributed.
  struct WaitingPeer {
    UniqueFd socket;
    ipc::Peer peer;
    UniqueFd process;
    bool held = false;  ///< `process` was had from the system, or it is known that there is none to be had.
  };
  std::vector<WaitingPeer> waiting_peers_;
  bool attribution_due_ = false;  ///< A timer will look at them.
  void await_attribution(WaitingPeer peer);
  std::unordered_map<uid_t, Refusals> refusals_;
  mutable std::unordered_map<std::uint64_t, std::string> known_groups_;
  mutable std::string known_groups_below_;  ///< The tree that they are in.

  /// What a session has beside itself while somebody cares; most have none of it.
  struct Attention {
    std::vector<OutputSubscription*> readers;
    std::weak_ptr<Client> owner;  ///< Is pushed the session's events.
    std::string owner_subscription;
    struct Wait {
      Reply<api::ProcessSession> reply;
      Timers::Id timer = 0;
      std::string principal = {};
      std::string correlation_id = {};
    };
    std::vector<std::shared_ptr<Wait>> waits;
    std::vector<std::shared_ptr<PendingRead>> reads[2];
    Timers::Id deadline = 0;
    Timers::Id kill = 0;
    std::uint64_t had[2] = {0, 0};  ///< whenFull "block": how far somebody has read.
    bool stdin_closed_told = false;
  };
  std::unordered_map<std::uint64_t, Attention> attention_;
  void answer_reads(session::Session& session, bool give_up);

  /// What the list of sessions on disk says; emptied by start().
  std::map<std::uint64_t, session::Entry> remembered_;
  /// What the lossless readers of an earlier daemon still hold, until as many have come back or their time is
  /// over.
  struct Inherited {
    std::uint64_t pins[2];
    std::uint32_t readers;
  };
  std::unordered_map<std::uint64_t, Inherited> inherited_;
  std::unordered_set<std::uint64_t> forgotten_;  ///< Of those that the keeper may still hold; until start().
  std::optional<session::Book> book_;
  /// A walk over all sessions that writes them into a new segment.
  struct Compaction {
    std::uint64_t done = 0;  ///< Key of the last one that was written.
    bool again = false;      ///< An entry was refused meanwhile: once more, into another segment.
  };
  std::optional<Compaction> compaction_;
  bool compaction_due_ = false;  ///< A timer will begin one.
  bool book_failing_ = false;
  bool book_damaged_ = false;
  bool restored_ = false;                         ///< start() has taken over all that is known.
  std::unordered_set<std::uint64_t> unrecorded_;  ///< Ended, and only the keeper knows how.
  /// The table of a keeper that may be gone, for what it knew of the logs; until start().
  std::optional<keeper::Table> old_table_;
  /// Sessions whose `exited` an earlier daemon has told.
  std::unordered_set<std::uint64_t> exit_told_;

  Timers::Id expiry_ = 0;
  SteadyTime expiry_at_{};
  std::uint64_t log_bytes_ = 0;       ///< Of all logs, when they were last looked at.
  bool logs_want_attention_ = false;  ///< They may soon pass their bound.
  bool stopping_ = false;
  bool stop_keeper_ = false;
  bool keeper_lost_ = false;  ///< Until another one serves.
  std::function<void()> stopped_;
};

}  // namespace kairo::kernel
