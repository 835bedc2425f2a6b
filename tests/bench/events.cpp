// Events: 20,000 a second from one client to 10 subscribers and the store, and what that costs kairod's one
// thread that does everything, beside the same without a subscriber; then event.query by correlation id among
// a million of them, beside a kernel.ping. All clients are one thread.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/bench.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr unsigned most_subscribers = 10;
constexpr unsigned per_second = 20'000;
/// Sent together, every few milliseconds.
constexpr unsigned burst = 100;
constexpr unsigned events_per_correlation = 20;

/// Seconds of processor time that the daemon's main thread has used.
double main_thread_seconds(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream rest(text.substr(text.rfind(')') + 2));
  std::string word;
  double ticks = 0;
  for (int field = 3; field <= 15 && rest >> word; ++field)
    if (field >= 14) ticks += std::stod(word);  // utime, stime
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

api::PublishParams message(unsigned number) {
  api::PublishParams params;
  params.type = "bench.events.step";
  params.correlation_id = "intent-" + std::to_string(number / events_per_correlation);
  params.data.msgpack = reflect::to_msgpack(std::string(40, 'd'));
  return params;
}

struct Fanout {
  double core_percent = 0;
  double rate = 0;
};

Fanout time_fanout(const Daemon& daemon, unsigned count, unsigned subscribers) {
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<std::unique_ptr<Connection>> connections;  // the last one publishes
  for (unsigned i = 0; i <= subscribers; ++i) {
    connections.push_back(std::make_unique<Connection>(daemon.socket()));
    if (i < subscribers)
      connections[i]->call<api::EventSubscribeResult>("event.subscribe",
                                                      api::EventSubscribeParams{"bench.>", {}});
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connections[i].get();
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connections[i]->fd(), &event) != 0)
      throw_errno("cannot watch a connection");
  }
  Connection& writer = *connections.back();
  const double before = main_thread_seconds(daemon.pid());
  const auto start = Clock::now();
  unsigned sent = 0;
  std::uint64_t events = 0, answers = 0;
  while (answers < count || events < std::uint64_t{count} * subscribers) {
    const double due = seconds_since(start) * per_second;
    if (sent < count && due >= sent) {
      for (unsigned i = 0; i < burst && sent < count; ++i) writer.add("event.publish", message(sent++));
      writer.flush();
    }
    epoll_event ready[most_subscribers + 1];
    const int wait_ms = sent < count ? 1 : static_cast<int>(patience.count() * 1000);
    const int got = ::epoll_wait(epoll.get(), ready, subscribers + 1, wait_ms);
    if (got < 0 && errno != EINTR) throw_errno("cannot wait for events");
    if (got == 0 && sent == count) throw std::runtime_error("no event came for a minute");
    for (int i = 0; i < got; ++i) {
      Connection& each = *static_cast<Connection*>(ready[i].data.ptr);
      each.fill();
      while (const auto frame = each.next_arrived())
        ++(frame->type == wire::FrameType::event ? events : answers);
    }
  }
  const double seconds = seconds_since(start);
  // That the store has them, too, is part of the work.
  api::EventQueryParams last;
  last.correlation_id = *message(count - 1).correlation_id;
  Connection(daemon.socket()).call<api::EventQueryResult>("event.query", last);
  return {100 * (main_thread_seconds(daemon.pid()) - before) / seconds, count / seconds};
}

/// Publishes until so many are stored; as fast as it goes.
void fill_store(const Daemon& daemon, unsigned from, unsigned to) {
  Connection writer(daemon.socket());
  for (unsigned next = from; next < to;) {
    unsigned under_way = 0;
    for (; under_way < 500 && next < to; ++under_way) writer.add("event.publish", message(next++));
    writer.flush();
    for (; under_way > 0; --under_way) Connection::answered(writer.decode(writer.next()));
  }
}

}  // namespace

void run_events(const Settings& settings) {
  const Daemon daemon(settings);
  const unsigned count = settings.sizes.event_tenths * per_second / 10;
  Figure cost{"events", "20,000 a second to 10 subscribers and the store", "% of a core", {}, {}};
  cost.goal = value_at_most(60);
  std::vector<double> rates;
  unsigned published = 0;
  for (unsigned i = 0; i < settings.repeats; ++i) {
    const Fanout fanout = time_fanout(daemon, count, most_subscribers);
    cost.raws.push_back(time_fanout(daemon, count, 0).core_percent);
    cost.values.push_back(fanout.core_percent);
    rates.push_back(fanout.rate);
    published += 2 * count;
  }
  cost.numbers = {{"eventsPerSecond", median(rates)}, {"events", count}};
  report(cost);

  const unsigned stored = std::max(settings.sizes.stored_events, published + 2000);
  fill_store(daemon, published, stored);
  Figure query{"events", "event.query by correlation id", "ms", {}, {}};
  query.goal = value_at_most(20);
  Connection reader(daemon.socket());
  for (unsigned i = 0; i < 20 * settings.repeats; ++i) {
    api::EventQueryParams params;
    params.correlation_id =
        "intent-" + std::to_string((i * 7919u) % ((stored - published) / events_per_correlation) +
                                   published / events_per_correlation);
    const auto start = Clock::now();
    const auto page = reader.call<api::EventQueryResult>("event.query", params);
    query.values.push_back(seconds_since(start) * 1000);
    const auto ping = Clock::now();
    reader.call<api::PingResult>("kernel.ping", api::NoParams{});
    query.raws.push_back(seconds_since(ping) * 1000);
    if (page.events.size() != events_per_correlation)
      throw std::runtime_error(*params.correlation_id + " has " + std::to_string(page.events.size()) +
                               " events");
  }
  query.numbers = {{"stored", stored}};
  report(query);
}

}  // namespace kairo::bench
