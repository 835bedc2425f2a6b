// What the kernel knows of one connection: who it acts as, what it is subscribed to, which subscriptions have
// something to give.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "access/policy.hpp"
#include "access/principal.hpp"
#include "event/bus.hpp"
#include "ipc/connection.hpp"
#include "kernel/audit.hpp"
#include "kernel/event_subscription.hpp"
#include "kernel/subscription.hpp"

namespace kairo::kernel {

class Kernel;
struct Method;

/// Queries of one connection that may wait at once: each looks again with whatever is recorded.
inline constexpr std::size_t waiting_queries = 16;

class Client final : public ipc::Handler, public std::enable_shared_from_this<Client> {
 public:
  Client(Kernel& kernel, std::shared_ptr<ipc::Connection> connection, std::uint64_t number,
         access::Principal principal, std::vector<gid_t> groups);
  ~Client() override;

  ipc::Connection& connection() { return *connection_; }
  [[nodiscard]] const ipc::Connection& connection() const { return *connection_; }
  [[nodiscard]] bool open() const { return !connection_->closed(); }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const access::Principal& principal() const { return principal_; }
  void set_principal(access::Principal principal) {
    principal_ = std::move(principal);
    rules_version_ = 0;
  }
  /// The peer's supplementary groups; where the daemon serves several users.
  [[nodiscard]] const std::vector<gid_t>& groups() const { return groups_; }
  /// The rules of the policy that bind it.
  const std::vector<access::Policy::Binding>& rules();

  // --- answers and events
  /// What was asked for, and when it came.
  struct Asked {
    std::uint32_t method = 0;  ///< Its place in Counters::methods.
    SteadyTime at{};
    std::uint32_t audited = 0;  ///< The place of its AuditedRequest, from 1 on; 0: it is not audited.
  };
  /// A request was taken; false when too many are unanswered.
  bool begin_request(const Asked& asked);
  void answered(const Asked& asked, std::optional<Code> error = {});
  /// A request was refused for want of a right: says so by `kairo.security.denied`.
  void refused(const Asked& asked, const Error& error);
  /// What the audit will tell of a request that is not answered yet; nullptr where it is not audited.
  [[nodiscard]] AuditedRequest* audited(const Asked& asked) {
    return asked.audited > 0 ? &audited_[asked.audited - 1] : nullptr;
  }
  [[nodiscard]] std::size_t unanswered() const { return unanswered_; }
  /// Sends an event, or counts it as missed when the peer does not read. What was missed is told, as one
  /// range, when the peer has taken all that waits for it; nothing is sent in between, so the range is exact.
  void send_event(const event::Recorded& recorded, std::string_view subscription_id);
  /// Since when an event has been waiting for this peer to read, where one has.
  [[nodiscard]] std::optional<SteadyTime> event_waits_since() const;
  /// So many events were put into the outbox.
  void note_event_frames(std::size_t count);

  // --- output
  OutputSubscription& subscribe(session::Session& session, OutputSubscription::Options options);
  OutputSubscription* find_output(const std::string& id);
  void unsubscribe(const std::string& id);
  /// Whether `id` is a name that this connection's output subscriptions have or had.
  [[nodiscard]] bool issued(const std::string& id) const;
  /// Ends all of its output subscriptions.
  void drop_output();
  [[nodiscard]] std::size_t output_subscriptions() const { return outputs_.size(); }
  /// The subscription may have something to give: it gets its turn at the next flush.
  void ready(OutputSubscription& subscription);
  /// Puts what the subscription has left into the outbox, before an event that must not overtake it; not when
  /// this peer lags behind.
  void give_last(OutputSubscription& subscription);

  // --- events
  /// Live from now on, or, with `since_seq`, what follows that number first.
  std::string subscribe_events(const std::string& pattern, std::optional<std::uint64_t> since_seq);
  bool unsubscribe_events(const std::string& id);
  [[nodiscard]] std::size_t event_subscriptions() const { return events_.size(); }

  /// Queries of a connection are answered one after the other, each when the peer has taken what waits for
  /// it, so that neither the answers nor the store's time are one client's. `start` calls queried() in the
  /// end.
  void query_events(std::function<void()> start);
  void queried();
  /// A query that waits for something to come has no turn meanwhile. False where too many wait already.
  [[nodiscard]] bool begin_waiting_query() {
    return waiting_queries_ < waiting_queries && ++waiting_queries_ > 0;
  }
  void end_waiting_query() { --waiting_queries_; }

  /// Sessions that have not ended and whose events are pushed to this connection, by key.
  std::unordered_set<std::uint64_t> owned;
  /// Sessions to be killed with this connection (onOwnerExit "kill"), by key.
  std::unordered_set<std::uint64_t> kill_with;

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>& descriptors) override;
  void parsed() override;
  void sending() override { kernel_audit().write(); }
  [[nodiscard]] bool has_output() const override { return !ready_.empty(); }
  void fill(stream::Batch& batch, std::size_t bytes) override;
  void filled() override;
  void on_drained() override;
  [[nodiscard]] bool owes() const override {
    return unanswered_ > 0 || !outputs_.empty() || !events_.empty() || !owned.empty();
  }
  void on_closed(const Error* why) override;

 private:
  /// An EVENT that the client sends: never answered, but audited, and told where it is refused.
  void take_event(const msgpack::object& payload, std::vector<UniqueFd>& descriptors);
  /// Makes room for what the audit will tell of a request.
  std::uint32_t begin_audited(const Method* method, std::string_view name, std::string_view correlation_id,
                              SteadyTime asked);
  void end_audited(AuditedRequest& request, std::string_view outcome);
  Audit& kernel_audit();
  /// False when the batch took nothing although there was something: it is full.
  bool give(OutputSubscription& subscription, stream::Batch& batch, std::size_t bytes, SteadyTime now);

  /// Output that give_last may copy.
  static constexpr std::size_t last_output_bytes = 64u << 10;

  Kernel& kernel_;
  std::shared_ptr<ipc::Connection> connection_;
  std::uint64_t number_;
  access::Principal principal_;
  std::vector<gid_t> groups_;
  std::uint64_t rules_version_ = 0;  ///< Kernel::policy_version() that rules_ are of; 0: of none.
  std::vector<access::Policy::Binding> rules_;
  std::size_t unanswered_ = 0;
  std::vector<AuditedRequest> audited_;
  std::vector<std::uint32_t> audited_free_;  ///< Places in it.
  std::string audited_as_;                   ///< The path of the principal in audited_who_.
  std::string audited_who_;                  ///< Audit::describe of this client.
  /// Answers to requests of the batch that is being parsed, by method, whose time is yet to be taken.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> answered_in_batch_;
  std::uint64_t next_subscription_ = 1;
  std::uint64_t next_event_subscription_ = 1;
  std::unordered_map<std::string, std::unique_ptr<OutputSubscription>> outputs_;
  std::deque<OutputSubscription*> ready_;
  std::vector<OutputSubscription*> in_batch_;
  std::vector<std::string> doomed_;  ///< Subscriptions that end once the batch is handed over.
  std::unordered_map<std::string, std::shared_ptr<EventSubscription>> events_;
  void next_query();
  std::deque<std::function<void()>> queries_;
  bool querying_ = false;
  std::size_t waiting_queries_ = 0;
  struct Missed {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t count = 0;
  } missed_;
  /// One of the oldest events that the socket has not taken: where it ends among all bytes sent, and since
  /// when it waits. The next one is marked when this one has gone.
  struct WaitingEvent {
    std::uint64_t end = 0;
    SteadyTime since{};
  } waiting_event_;
};

}  // namespace kairo::kernel
