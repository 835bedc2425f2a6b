// Topologies under a real daemon: made of nodes in a row, driven through the client library. Streams are the
// numbered data of support/pattern.hpp: their source is kairo-test-child spew, their sink verify-stdin, which
// says `ok TOTAL` or the place of the first byte that is missing, came twice or came too early.
//
//   Daemon daemon;
//   Rig rig(daemon, row({program("source", {"spew", "1000"}), plain("middle", {"cat"}), verifier()}));
//   CHECK(rig.end().exit_code == 0);             // the executor's session, once it has ended
//   CHECK(rig.verdict() == "ok 1000\n");
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/topology.hpp"
#include "system/rig.hpp"

namespace kairo::test {

/// Whether these tests are not to be run here.
bool gated();

/// By how much less is done under sanitizers.
inline const std::uint64_t scale = sanitized() ? 8 : 1;

/// More than any test moves.
inline constexpr std::uint64_t endless = std::uint64_t{1} << 50;

// --- nodes -------------------------------------------------------------------------------------------

/// A process of whatever program.
api::TopologyNode plain(const std::string& id, std::vector<std::string> argv);
/// kairo-test-child with these words.
api::TopologyNode program(const std::string& id, std::vector<std::string> words);
api::TopologyNode worker(const std::string& id, const std::string& module,
                         const std::map<std::string, std::string>& params = {});
/// The source of `bytes` numbered bytes, and the sink that checks them; what it says is its session's log.
api::TopologyNode numbered(std::uint64_t bytes);
api::TopologyNode verifier();
api::TopologyNode restarted(api::TopologyNode node, std::uint64_t max_restarts = 1'000'000);

/// Connected in their order. The name is "t".
api::Topology row(std::vector<api::TopologyNode> nodes);
void join(api::Topology& topology, const std::string& from, const std::string& to,
          api::ConnectionType type = api::ConnectionType::direct);

api::Replacement by_program(std::vector<std::string> words);
api::Replacement by_plain(std::vector<std::string> argv);
api::Replacement by_module(const std::string& module);

// --- a topology that runs ----------------------------------------------------------------------------

/// What the events of nodes and topologies carry.
struct NodeEvent {
  std::string type;
  std::string topology;
  std::optional<std::string> node;
  std::optional<std::string> process_id;
  std::optional<std::uint64_t> generation;
  std::optional<std::string> message;
  std::optional<std::uint64_t> consumed;
  std::optional<std::uint64_t> unread;
  std::optional<std::uint64_t> misses;
  static constexpr auto fields() {
    using S = NodeEvent;
    using reflect::defaulted;
    using reflect::field;
    return std::tuple(defaulted("type", &S::type, ""), field("topology", &S::topology, ""),
                      field("node", &S::node, ""), field("processId", &S::process_id, ""),
                      field("generation", &S::generation, ""), field("message", &S::message, ""),
                      field("consumed", &S::consumed, ""), field("unread", &S::unread, ""),
                      field("misses", &S::misses, ""));
  }
};

class Rig {
 public:
  /// Brings it up; that has to succeed.
  Rig(Daemon& daemon, const api::Topology& topology, const std::string& cwd = "/");

  client::Client& client() { return client_; }
  /// After another daemon has taken the place of the one before.
  void connect_again() { client_ = connect(daemon_); }

  api::TopologyStatus status();
  api::NodeStatus node(const std::string& id);
  /// Whether that session is there, and has not ended.
  bool runs(const std::string& id);
  Result<api::CutoverResult> try_cutover(const api::CutoverParams& params);
  api::CutoverResult cutover(const std::string& node, api::Replacement with,
                             api::Boundary boundary = api::Boundary::bytes);
  [[nodiscard]] api::CutoverParams cutover_of(const std::string& node, api::Replacement with) const;
  api::TopologyDownResult down(std::optional<std::uint64_t> drain_timeout_ms = {});
  /// The executor's session, once it has ended.
  api::ProcessSession end();

  /// `kairo.node.TYPE` or `kairo.topology.TYPE`: those that are stored.
  std::vector<NodeEvent> events(const std::string& type);
  void await_event(const std::string& type, std::size_t count = 1);
  /// Until so many bytes have been given to that node.
  void await_bytes(const std::string& node, std::uint64_t bytes);
  /// Until as many more as there are now have gone through, or at least `bytes`.
  void await_more(const std::string& node, std::uint64_t bytes);

  /// What that session wrote to its stdout (a node that nothing is connected to), or to its stderr.
  std::string log_of(const std::string& id, api::StreamName stream = api::StreamName::standard_output);
  std::string verdict() { return log_of(name_ + ".sink.1"); }
  /// What its executor has logged.
  std::string said() { return log_of(name_ + ".executor", api::StreamName::standard_error); }
  /// No session runs, and nothing of it lies on the disk or in /proc.
  void check_nothing_left();

 private:
  Daemon& daemon_;
  client::Client client_;
  std::string name_;
};

/// To the process of a session.
void send_signal(client::Client& client, const std::string& id, int number);

}  // namespace kairo::test
