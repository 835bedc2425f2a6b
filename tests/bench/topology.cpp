// Topologies as a user has them: through kairod, an executor, and nodes that are sessions.
//
//   topology   file-source -> cat -> file-sink, against the shell's `cat f | cat | cat > g`; from
//   topology.up, or
//              from the start of the shell, to the end of the last process; the copy is compared
//   cutover    how long a node's input is held while it is replaced at full speed; no byte may be missing
//   up         a chain of process nodes: topology.up until all have started, against posix_spawn of the same
//              chain; and what topology.down of it takes
#include "api/topology.hpp"

#include <algorithm>
#include <fcntl.h>
#include <stdexcept>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr double milliseconds = 1e3;
/// The blocks in which files are written and compared.
constexpr std::size_t block_bytes = 1 << 20;
/// What the source of a cutover reads again and again; it stays in the page cache.
constexpr std::uint64_t cutover_file_bytes = 32 << 20;
/// Between two cutovers, so that the stream is at full speed again.
constexpr std::chrono::milliseconds between_cutovers{20};
/// A stranger to the control protocol is healthy once it has lived so long.
constexpr std::uint64_t health_ms = 10;
constexpr std::uint64_t down_ms = 30'000;

reflect::Any path_params(const std::string& path, std::uint64_t repeat = 0) {
  reflect::Any out;
  reflect::Sink sink(out.msgpack);
  reflect::Packer packer(sink);
  packer.pack_map(repeat > 0 ? 2 : 1);
  reflect::encode(packer, std::string("path"));
  reflect::encode(packer, path);
  if (repeat > 0) {
    reflect::encode(packer, std::string("repeat"));
    reflect::encode(packer, repeat);
  }
  return out;
}

api::TopologyNode worker(const std::string& id, const std::string& module, reflect::Any params) {
  api::TopologyNode out;
  out.id = id;
  out.run_mode = api::RunMode::worker;
  out.module = module;
  out.params = std::move(params);
  return out;
}

api::TopologyNode process(const std::string& id, std::vector<std::string> command, api::NodeIo io) {
  api::TopologyNode out;
  out.id = id;
  out.run_mode = api::RunMode::process;
  out.command = std::move(command);
  out.io = io;
  out.health_ms = health_ms;
  return out;
}

/// The nodes one behind the other.
api::TopologyUpParams chain(const std::string& name, std::vector<api::TopologyNode> nodes) {
  api::TopologyUpParams out;
  out.topology.name = name;
  for (std::size_t i = 1; i < nodes.size(); ++i)
    out.topology.connections.push_back(
        {nodes[i - 1].id + ".output", nodes[i].id + ".input", api::ConnectionType::direct});
  out.topology.nodes = std::move(nodes);
  return out;
}

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd out(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!out) throw_errno("cannot open " + path);
  return out;
}

void make_file(const std::string& path, Content content, std::uint64_t bytes) {
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  Buffer block(block_bytes);
  for (std::uint64_t at = 0; at < bytes;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(block_bytes, bytes - at));
    fill(content, block.data(), size, at);
    write_all(file.get(), block.data(), size);
    at += size;
  }
}

/// Compares a copy with what it was made of, and removes it.
void check_file(const std::string& path, std::uint64_t bytes) {
  const UniqueFd file = open_file(path, O_RDONLY);
  Buffer block(block_bytes);
  std::uint64_t at = 0;
  while (const std::size_t got = read_some(file.get(), block.data(), block.size())) {
    if (!is_right(Content::records, block.data(), got, at))
      throw std::runtime_error("the copy differs from the file at byte " + std::to_string(at) + " or later");
    at += got;
  }
  if (at != bytes)
    throw std::runtime_error("the copy has " + std::to_string(at) + " of " + std::to_string(bytes) +
                             " bytes");
  ::unlink(path.c_str());
}

void wait_in_order(Connection& client, const std::string& id) {
  const auto ended = client.call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
  if (ended.exit_code != 0) throw std::runtime_error(id + " did not end in order");
}

double time_topology(Connection& client, const api::TopologyUpParams& params) {
  const auto start_time = Clock::now();
  const auto status = client.call<api::TopologyStatus>("topology.up", params);
  wait_in_order(client, status.process_id);
  return seconds_since(start_time);
}

double time_shell(const std::string& from, const std::string& to) {
  const auto start_time = Clock::now();
  wait_for(start({system_program("sh"), "-c", "cat \"$1\" | cat | cat > \"$2\"", "sh", from, to}, {}));
  return seconds_since(start_time);
}

api::TopologyDownResult take_down(Connection& client, const std::string& name) {
  api::TopologyDownParams params;
  params.name = name;
  params.drain_timeout_ms = down_ms;
  auto result = client.call<api::TopologyDownResult>("topology.down", params);
  if (!result.drained) throw std::runtime_error("the topology " + name + " was not drained");
  return result;
}

std::vector<double> measure_cutovers(Connection& client, const std::string& file, unsigned count,
                                     api::Boundary boundary, double& bytes_per_second) {
  const std::string name = "cutover";
  const auto up = client.call<api::TopologyStatus>(
      "topology.up", chain(name, {worker("source", "file-source", path_params(file, 1u << 30)),
                                  process("middle", {system_program("cat")}, api::NodeIo::sockets),
                                  worker("sink", "file-sink", path_params("/dev/null"))}));
  const auto start_time = Clock::now();
  api::CutoverParams params;
  params.name = name;
  params.node = "middle";
  params.boundary = boundary;
  std::vector<double> holds;
  for (unsigned i = 0; i < count; ++i) {
    std::this_thread::sleep_for(between_cutovers);
    const auto result = client.call<api::CutoverResult>("topology.cutover", params);
    if (result.rolled_back || !result.old_node.drained)
      throw std::runtime_error("a cutover failed: " + result.reason.value_or("not drained"));
    holds.push_back(result.hold_ms);
  }
  const double seconds = seconds_since(start_time);
  const api::TopologyDownResult down = take_down(client, name);
  wait_in_order(client, up.process_id);
  for (const api::NodeEnd& each : down.nodes)
    if (each.bytes_in != (each.id == "source" ? 0 : down.nodes.front().bytes_out) ||
        each.bytes_out != (each.id == "sink" ? 0 : down.nodes.front().bytes_out))
      throw std::runtime_error("bytes are missing at the node " + each.id);
  bytes_per_second = static_cast<double>(down.nodes.front().bytes_out) / seconds;
  return holds;
}

/// Seconds to start as many programs behind one another, the last one's output nowhere.
double time_spawned_chain(const std::vector<api::TopologyNode>& nodes) {
  std::vector<pid_t> pids;
  const auto start_time = Clock::now();
  UniqueFd input;
  for (const api::TopologyNode& each : nodes) {
    Pipe output = make_pipe();
    pids.push_back(start(*each.command, {input ? input.get() : -1, output.write.get(), 2}));
    input = std::move(output.read);
  }
  const double seconds = seconds_since(start_time);
  for (const pid_t each : pids) kill_and_wait(each);
  return seconds;
}

}  // namespace

void run_topology(const Settings& settings) {
  Daemon daemon(settings);
  Connection client(daemon.socket());
  const std::uint64_t bytes = settings.sizes.topology_bytes;
  const std::string from = daemon.directory() + "/f", to = daemon.directory() + "/g";
  make_file(from, Content::records, bytes);
  for (const auto& [name, io] :
       {std::pair("sockets", api::NodeIo::sockets), std::pair("pipes", api::NodeIo::pipes)}) {
    const api::TopologyUpParams params = chain("copy", {worker("source", "file-source", path_params(from)),
                                                        process("middle", {system_program("cat")}, io),
                                                        worker("sink", "file-sink", path_params(to))});
    Figure figure{"topology", name, "MB/s", {}, {}, ratio_at_least(0.8)};
    // Which of the two goes first alternates, and the first pair counts for nothing: a virtual machine's
    // memory that was not used for a while has to be supplied by the host, at several times the price of the
    // copy.
    for (unsigned i = 0; i <= settings.repeats; ++i)
      for (const bool shell : {i % 2 == 1, i % 2 == 0}) {
        const double seconds = shell ? time_shell(from, to) : time_topology(client, params);
        check_file(to, bytes);
        if (i > 0) (shell ? figure.raws : figure.values).push_back(megabytes_per_second(bytes, seconds));
      }
    figure.numbers = {{"bytes", static_cast<double>(bytes)}};
    report(figure);
  }
}

void run_cutover(const Settings& settings) {
  Daemon daemon(settings);
  Connection client(daemon.socket());
  const std::string file = daemon.directory() + "/f";
  make_file(file, Content::lines, cutover_file_bytes / line_bytes * line_bytes);
  for (const api::Boundary boundary : {api::Boundary::bytes, api::Boundary::line}) {
    const std::string name(reflect::enum_name(boundary));
    double bytes_per_second = 0;
    const std::vector<double> holds =
        measure_cutovers(client, file, settings.sizes.cutovers, boundary, bytes_per_second);
    // The counterpart of a hold is none at all.
    Figure middle{"cutover",        "hold, " + name, "ms", holds, std::vector<double>(holds.size()),
                  value_at_most(50)};
    middle.numbers = {{"bytesPerSecond", bytes_per_second}};
    Figure slow{"cutover", "hold p99, " + name, "ms", {quantile(holds, 0.99)}, {0}, value_at_most(50)};
    slow.numbers = {{"cutovers", static_cast<double>(holds.size())}};
    for (const Figure* each : {&middle, &slow}) report(*each);
  }
}

void run_up(const Settings& settings) {
  Daemon daemon(settings);
  Connection client(daemon.socket());
  std::vector<api::TopologyNode> nodes;
  for (unsigned i = 0; i < settings.sizes.nodes; ++i)
    nodes.push_back(process("n" + std::to_string(i),
                            i == 0 ? std::vector<std::string>{system_program("sleep"), "1000"}
                                   : std::vector<std::string>{system_program("cat")},
                            api::NodeIo::sockets));
  const api::TopologyUpParams params = chain("chain", nodes);
  Figure up{"up", "up", "ms", {}, {}, value_at_most(2000)};
  Figure down{"up", "down", "ms", {}, {}};
  for (unsigned i = 0; i < settings.repeats; ++i) {
    const auto start_time = Clock::now();
    const auto status = client.call<api::TopologyStatus>("topology.up", params);
    up.values.push_back(seconds_since(start_time) * milliseconds);
    up.raws.push_back(time_spawned_chain(nodes) * milliseconds);
    const auto down_time = Clock::now();
    take_down(client, params.topology.name);
    down.values.push_back(seconds_since(down_time) * milliseconds);
    down.raws.push_back(0);  // a shell would kill them
    wait_in_order(client, status.process_id);
  }
  for (Figure* each : {&up, &down}) {
    each->numbers = {{"nodes", settings.sizes.nodes}};
    report(*each);
  }
}

}  // namespace kairo::bench
