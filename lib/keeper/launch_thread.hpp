// The thread that launches. It alone may hang in a launch (an exec on a dead mount); pumping goes on beside
// it. It serves the `launch` connections: Launch in, Launched or LaunchFailed out, in order.
//
// While the system gives no thread (the pids limit), the owner calls refuse_orders() now and then: orders are
// refused with the reason, until start() succeeds.
//
// A connection belongs to an epoch, the time of one kairod. Orders of an epoch that is over are not carried
// out any more, so that nothing is started that nobody asked for; one that was being carried out when its
// kairod died becomes a session like any other, for the next kairod to find.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <poll.h>
#include <thread>
#include <vector>

#include "keeper/channel.hpp"
#include "keeper/groups.hpp"
#include "keeper/launcher.hpp"
#include "keeper/pump.hpp"
#include "keeper/table.hpp"

namespace kairo::keeper {

class LaunchThread {
 public:
  LaunchThread(Launcher launcher, int epoll, int logs_dir, Table& table, Arrivals& arrivals,
               DescriptorBudget& budget, Groups& groups);
  ~LaunchThread();

  /// Does nothing when it runs.
  Result<void> start();
  [[nodiscard]] bool runs() const { return thread_.joinable(); }
  /// Of a thread that does not run: answers what has been ordered since with `error_number`.
  void refuse_orders(int error_number);
  /// A connection that has been welcomed.
  void add(UniqueFd socket, std::uint64_t epoch);
  void set_epoch(std::uint64_t epoch) { epoch_ = epoch; }
  [[nodiscard]] bool busy() const { return busy_; }
  LaunchWatch& watch() { return watch_; }
  /// Ends the thread, to be start()ed again; its children become the main thread's. False, and it goes on,
  /// when a launch does not end within `patience`.
  bool rest(std::chrono::milliseconds patience);

 private:
  struct Connection {
    Channel channel;
    std::uint64_t epoch;
    bool closed = false;
  };

  void run();
  bool turn(int timeout_ms, int refuse_with);
  void serve(Connection& connection, int refuse_with);
  void launch(Connection& connection, const Launch& order, int refuse_with);
  std::unique_ptr<Session> make_session(const Launch& order, Child child, std::uint64_t epoch);
  std::variant<Child, LaunchError> launch_in_group(const Launch& order, std::span<UniqueFd> descriptors,
                                                   cgroup::Group& group,
                                                   std::map<std::string, std::string>& degraded);

  Launcher launcher_;
  LaunchWatch watch_;
  int epoll_;
  int logs_dir_;
  Table& table_;
  Arrivals& arrivals_;
  DescriptorBudget& budget_;
  Groups& groups_;

  UniqueFd poke_;
  std::mutex mutex_;
  std::vector<Connection> added_;
  std::vector<Connection> connections_;
  std::vector<pollfd> polled_;
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<bool> busy_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace kairo::keeper
