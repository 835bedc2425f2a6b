// process.status against the same bytes over a plain Unix stream socket. The client is the same code in both
// cases; a forked server answers each request of the raw run with as many bytes as kairod's answer has.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <sys/socket.h>

#include "bench/bench.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr unsigned depth = 32;
/// Ids from here on all take five bytes, so that every request is as long as every other.
constexpr std::uint64_t first_id = 1u << 20;

struct Exchange {
  std::string request;
  std::string response;
};

/// One whole round, so that the sizes are known and the answer has been looked at.
Exchange sample(Connection& connection, const std::string& id) {
  Exchange out;
  api::append_request(out.request, first_id, "process.status", reflect::to_msgpack(api::IdParams{id}));
  write_all(connection.fd(), out.request.data(), out.request.size());
  const wire::Frame frame = connection.next();
  if (frame.type != wire::FrameType::response || Connection::answered(connection.decode(frame)) != first_id)
    throw std::runtime_error("kairod did not answer process.status");
  out.response.resize(wire::head_bytes);
  wire::put_head(out.response.data(), frame.type, static_cast<std::uint32_t>(frame.payload.size()));
  out.response += frame.payload;
  return out;
}

void receive_exactly(int fd, char* to, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(fd, to, size, 0);
    if (got <= 0) throw std::runtime_error("the connection ended or timed out");
    to += got;
    size -= static_cast<std::size_t>(got);
  }
}

/// Blocking, one request at a time.
void serve_one_by_one(int fd, const Exchange& sizes) {
  std::string request(sizes.request.size(), '\0');
  for (;;) {
    for (std::size_t have = 0; have < request.size();) {
      const ssize_t got = ::recv(fd, request.data() + have, request.size() - have, 0);
      if (got <= 0) return;
      have += static_cast<std::size_t>(got);
    }
    write_all(fd, sizes.response.data(), sizes.response.size());
  }
}

/// Reads what there is and answers every whole request of it with one write.
void serve_pipelined(int fd, const Exchange& sizes) {
  std::string in(64u << 10, '\0'), out;
  std::size_t have = 0;
  for (;;) {
    const ssize_t got = ::recv(fd, in.data(), in.size(), 0);
    if (got <= 0) return;
    have += static_cast<std::size_t>(got);
    out.clear();
    for (; have >= sizes.request.size(); have -= sizes.request.size()) out += sizes.response;
    write_all(fd, out.data(), out.size());
  }
}

/// Latency of each call, microseconds.
std::vector<double> time_calls(int fd, const Exchange& sizes, unsigned calls) {
  std::vector<double> latencies;
  latencies.reserve(calls);
  std::string response(sizes.response.size(), '\0');
  for (unsigned i = 0; i < calls; ++i) {
    const auto start_time = Clock::now();
    write_all(fd, sizes.request.data(), sizes.request.size());
    receive_exactly(fd, response.data(), response.size());
    latencies.push_back(seconds_since(start_time) * 1e6);
    if (std::memcmp(response.data(), sizes.response.data(), response.size()) != 0)
      throw std::runtime_error("an answer differs from the first one");
  }
  return latencies;
}

/// Calls per second with `depth` always on their way: every answer makes room for one request, and what one
/// read brought is answered with one write.
double time_pipelined(int fd, const Exchange& sizes, unsigned calls) {
  std::string requests, in(256u << 10, '\0');
  for (unsigned i = 0; i < depth; ++i) requests += sizes.request;
  const auto start_time = Clock::now();
  write_all(fd, requests.data(), requests.size());
  unsigned sent = depth, done = 0;
  std::size_t have = 0;
  while (done < calls) {
    const ssize_t got = ::recv(fd, in.data() + have, in.size() - have, 0);
    if (got <= 0) throw std::runtime_error("the connection ended or timed out");
    have += static_cast<std::size_t>(got);
    std::size_t at = 0;
    unsigned answers = 0;
    for (; have - at >= sizes.response.size(); at += sizes.response.size(), ++answers)
      if (std::memcmp(in.data() + at, sizes.response.data(), wire::head_bytes) != 0)
        throw std::runtime_error("an answer is longer or shorter than the first one");
    std::memmove(in.data(), in.data() + at, have - at);
    have -= at;
    done += answers;
    const unsigned next = std::min(answers, calls > sent ? calls - sent : 0);
    if (next > 0) write_all(fd, requests.data(), next * sizes.request.size());
    sent += next;
  }
  return calls / seconds_since(start_time);
}

/// A server over a socket pair; `run` gets the client's end.
template <class Run>
auto against_echo(const Exchange& sizes, void (*serve)(int, const Exchange&), Run&& run) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("cannot make a socket pair");
  UniqueFd client(ends[0]), server(ends[1]);
  set_patience(client.get());
  const pid_t pid = fork_child([&] {
    client.reset();
    serve(server.get(), sizes);
  });
  server.reset();
  auto result = run(client.get());
  client.reset();
  wait_for(pid);
  return result;
}

}  // namespace

void run_rpc(const Settings& settings) {
  Daemon daemon(settings);
  Connection connection(daemon.socket());
  api::SpawnParams spawn;
  spawn.command = {system_program("sleep"), "100000"};
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  const std::string id = connection.call<api::SpawnResult>("process.spawn", spawn).id;
  const Exchange sizes = sample(connection, id);

  const unsigned calls = settings.sizes.rpc_calls;
  Figure p50{"rpc", "depth 1, p50", "us", {}, {}, ratio_at_most(1.2)};
  Figure p99{"rpc", "depth 1, p99", "us", {}, {}};
  Figure rate{"rpc", "depth 32", "calls/s", {}, {}, ratio_at_least(0.6)};
  for (unsigned i = 0; i < settings.repeats; ++i) {
    const auto ours = time_calls(connection.fd(), sizes, calls);
    const auto raw =
        against_echo(sizes, serve_one_by_one, [&](int fd) { return time_calls(fd, sizes, calls); });
    p50.values.push_back(median(ours));
    p50.raws.push_back(median(raw));
    p99.values.push_back(quantile(ours, 0.99));
    p99.raws.push_back(quantile(raw, 0.99));
    rate.values.push_back(time_pipelined(connection.fd(), sizes, calls * 4));
    rate.raws.push_back(
        against_echo(sizes, serve_pipelined, [&](int fd) { return time_pipelined(fd, sizes, calls * 4); }));
  }
  for (Figure* each : {&p50, &p99, &rate}) {
    each->numbers = {{"requestBytes", static_cast<double>(sizes.request.size())},
                     {"responseBytes", static_cast<double>(sizes.response.size())},
                     {"calls", each == &rate ? calls * 4 : calls}};
    report(*each);
  }
}

}  // namespace kairo::bench
