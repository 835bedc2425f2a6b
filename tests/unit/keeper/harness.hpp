// kairod's part, as far as these tests need it: a state directory, a Link to a real keeper process, sessions
// with their slots. Nothing here waits for time; run_until() gives up after a bound that only a failure
// reaches.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <poll.h>
#include <signal.h>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "base/clock.hpp"
#include "keeper/link.hpp"
#include "support/temp_dir.hpp"

namespace kairo::test {

using namespace kairo::keeper;

/// A directory that goes with its contents.
struct HostOptions {
  std::string soft = "1000";
  std::string hard = "2000";
  std::string idle_seconds = "60";
  std::string own_limit = {};  ///< Empty: as much as there is.
  std::string program = KEEPER_HOST;
  int next_program = -1;  ///< See LinkOptions.
};

/// What a session of a test is started with; defaults are those of a plain session.
struct Order {
  std::vector<std::string> argv;
  std::vector<std::string> env = {"PATH=/usr/bin:/bin"};
  bool whole_env = true;  ///< Else the last variable lacks its NUL.
  std::string cwd = "/";
  Stdio standard_input = Stdio::null;
  Stdio standard_output = Stdio::pipe;
  Stdio standard_error = Stdio::pipe;
  std::uint32_t umask = 022;
  std::uint64_t retain_bytes = 64u << 20;
  std::uint64_t grace_ms = 2000;
  bool detach = false;
  std::uint64_t pin = stream::no_pin;
  std::string mark = {};
  std::string record = {};
};

class Kairod final : Listener {
 public:
  explicit Kairod(const std::string& state_dir, HostOptions host = {});
  ~Kairod();

  struct Started {
    std::uint64_t key;
    std::uint32_t slot;
    std::optional<Result<Launched>> result;
    [[nodiscard]] std::int32_t pid() const { return (*result)->pid; }
  };
  /// Orders a launch; its end comes with run_until.
  std::shared_ptr<Started> order(const Order& order, std::vector<UniqueFd> descriptors = {});
  /// Orders and waits for the answer.
  std::shared_ptr<Started> launch(const Order& order, std::vector<UniqueFd> descriptors = {});
  /// The answer to a launch that is to fail.
  Error launch_fails(const Order& order);

  void run_until(const std::function<bool()>& condition);
  Exited wait_exit(std::uint64_t key);
  /// Launches, waits for the end, gives stdout, releases.
  std::string output_of(const Order& order);
  std::string read_log(std::uint64_t key, std::uint32_t slot, unsigned stream = 0);
  void release(std::shared_ptr<Started> session);
  int signal(std::uint64_t key, int number, SignalScope scope);

  SessionSlot& slot(const std::shared_ptr<Started>& session) { return link->table().slot(session->slot); }
  /// Asks to be told and then looks, until the condition holds.
  void wait_stream(std::uint32_t slot, unsigned stream,
                   const std::function<bool(stream::StreamSlot&)>& condition);

  boost::asio::io_context io;
  std::unique_ptr<Link> link;
  std::string state_dir;
  std::map<std::uint64_t, Exited> exits;
  std::size_t changes = 0;
  bool lost = false;
  bool stop_keeper_at_end = true;

 private:
  void on_changed(std::uint32_t) override { ++changes; }
  void on_exited(const Exited& exited) override { exits[exited.key] = exited; }
  void on_lost(const Error&) override { lost = true; }

  std::uint64_t next_key_;
  std::vector<bool> slots_used_;
};

/// stdin's ring as kairod fills it.
class Ring {
 public:
  Ring();
  /// Accepts as many bytes as there is room for and rings if the keeper wants it.
  std::size_t write(Link& link, std::uint64_t key, StdinSlot& slot, std::string_view data);
  void close(Link& link, std::uint64_t key, StdinSlot& slot);
  UniqueFd file;
  bool passed = false;

 private:
  void ring_bell(Link& link, std::uint64_t key, StdinSlot& slot);
};

bool alive(pid_t pid);  ///< Exists and is no zombie.
std::size_t open_descriptors(pid_t pid);
std::size_t zombies_of(pid_t pid);
std::vector<std::string> words(std::initializer_list<std::string> rest);  ///< argv of the test child
/// Polls a condition that no event tells of; fails the test after 30 s.
void eventually(const std::function<bool()>& condition);

}  // namespace kairo::test
