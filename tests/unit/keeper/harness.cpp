#include "harness.hpp"

#include <chrono>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "base/ids.hpp"
#include "stream/log_reader.hpp"

namespace kairo::test {
namespace {

constexpr std::chrono::seconds patience{30};
std::uint64_t last_key = 0;

std::vector<std::string> host_command(const HostOptions& host) {
  std::vector<std::string> out{host.program, host.soft, host.hard, host.idle_seconds};
  if (!host.own_limit.empty()) out.push_back(host.own_limit);
  return out;
}

}  // namespace

Kairod::Kairod(const std::string& dir, HostOptions host) : state_dir(dir), next_key_(last_key + 1) {
  auto connected = Link::connect(io, {dir, random_id(8), host_command(host), host.next_program});
  if (!connected) FAIL(connected.error().message);
  link = std::move(*connected);
  link->start(*this);
}

Kairod::~Kairod() {
  if (stop_keeper_at_end && !lost) {
    const pid_t keeper = link->keeper_pid();
    link->stop_keeper();
    link->stop();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (alive(keeper) && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (!alive(keeper)) return;
    ::kill(keeper, SIGKILL);  // sessions were left running
    ADD_FAIL_CHECK_AT(__FILE__, __LINE__, "the keeper did not stop when it was told to");
  }
}

std::shared_ptr<Kairod::Started> Kairod::order(const Order& wanted, std::vector<UniqueFd> descriptors) {
  Launch order;
  order.key = last_key = std::max(last_key, next_key_) + 1;
  slots_used_.resize(link->table().slots());
  while (slots_used_[order.slot] || link->table().slot(order.slot).key != 0) ++order.slot;
  slots_used_[order.slot] = true;
  for (auto& each : link->table().slot(order.slot).streams) {
    each.pin = wanted.pin;
    each.block_pin = stream::no_pin;
  }
  order.argv = wanted.argv;
  for (const std::string& each : wanted.env) order.env.data += each + '\0';
  if (!wanted.whole_env) order.env.data.pop_back();
  order.cwd = wanted.cwd;
  order.umask = wanted.umask;
  order.standard_input = wanted.standard_input;
  order.standard_output = wanted.standard_output;
  order.standard_error = wanted.standard_error;
  order.retain_bytes = wanted.retain_bytes;
  order.kill_grace_ms = wanted.grace_ms;
  order.detach_descendants = wanted.detach;
  order.mark = wanted.mark;
  order.record.data = wanted.record;
  auto started = std::make_shared<Started>(Started{order.key, order.slot, {}});
  link->launch(order, std::move(descriptors), [this, started](Result<Launched> result) {
    if (!result) slots_used_[started->slot] = false;
    started->result.emplace(std::move(result));
  });
  return started;
}

std::shared_ptr<Kairod::Started> Kairod::launch(const Order& wanted, std::vector<UniqueFd> descriptors) {
  auto started = order(wanted, std::move(descriptors));
  run_until([&] { return started->result.has_value(); });
  if (!started->result->ok()) FAIL(started->result->error().message);
  return started;
}

Error Kairod::launch_fails(const Order& wanted) {
  auto started = order(wanted);
  run_until([&] { return started->result.has_value(); });
  REQUIRE_FALSE(started->result->ok());
  return started->result->error();
}

void Kairod::run_until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < end);
    io.restart();
    io.run_one_for(std::chrono::seconds(1));
  }
}

Exited Kairod::wait_exit(std::uint64_t key) {
  run_until([&] { return exits.contains(key); });
  return exits[key];
}

std::string Kairod::read_log(std::uint64_t key, std::uint32_t slot_index, unsigned stream) {
  const UniqueFd logs(::open((state_dir + "/logs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  stream::LogReader reader(logs.get(), key, stream, &link->table().slot(slot_index).streams[stream]);
  std::string out(reader.state().tail, '\0');
  std::size_t have = 0;
  while (have < out.size()) {
    const auto copied = reader.copy(have, out.data() + have, out.size() - have);
    REQUIRE(copied.ok());
    REQUIRE(copied->lost == 0);
    REQUIRE(copied->bytes > 0);
    have += copied->bytes;
  }
  return out;
}

void Kairod::release(std::shared_ptr<Started> session) {
  link->release(session->key);
  slots_used_[session->slot] = false;
}

std::string Kairod::output_of(const Order& wanted) {
  auto session = launch(wanted);
  wait_exit(session->key);
  std::string out = read_log(session->key, session->slot);
  release(session);
  return out;
}

int Kairod::signal(std::uint64_t key, int number, SignalScope scope) {
  std::optional<int> answer;
  link->signal(key, number, scope, [&](int error_number) { answer = error_number; });
  run_until([&] { return answer.has_value(); });
  return *answer;
}

void Kairod::wait_stream(std::uint32_t index, unsigned stream,
                         const std::function<bool(stream::StreamSlot&)>& condition) {
  stream::StreamSlot& watched = link->table().slot(index).streams[stream];
  run_until([&] {
    watched.wake.store(1);
    return condition(watched);
  });
}

Ring::Ring() : file(::memfd_create("ring", MFD_CLOEXEC)) {
  REQUIRE(::ftruncate(file.get(), limits::stdin_bytes) == 0);
}

std::size_t Ring::write(Link& link, std::uint64_t key, StdinSlot& slot, std::string_view data) {
  const std::uint64_t tail = slot.tail.load();
  const std::size_t room = limits::stdin_bytes - static_cast<std::size_t>(tail - slot.head.load());
  const std::size_t size = std::min(room, data.size());
  for (std::size_t done = 0; done < size;) {
    const std::size_t at = (tail + done) % limits::stdin_bytes;
    const std::size_t piece = std::min(size - done, limits::stdin_bytes - at);
    REQUIRE(::pwrite(file.get(), data.data() + done, piece, static_cast<off_t>(at)) ==
            static_cast<ssize_t>(piece));
    done += piece;
  }
  slot.tail.store(tail + size);
  ring_bell(link, key, slot);
  return size;
}

void Ring::close(Link& link, std::uint64_t key, StdinSlot& slot) {
  slot.close.store(stdin_close);
  ring_bell(link, key, slot);
}

void Ring::ring_bell(Link& link, std::uint64_t key, StdinSlot& slot) {
  if (!passed) {
    REQUIRE(link.stdin_ring(key, file.get(), [] {}).ok());
    passed = true;
  } else if (slot.idle.exchange(0) == 1) {
    link.stdin_ready(key);
  }
}

namespace {
/// /proc/PID/stat; empty where there is no such process, or none any more.
std::string stat_of(pid_t pid) {
  const UniqueFd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file ? ::read(file.get(), text, sizeof text) : -1;
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}
}  // namespace

bool alive(pid_t pid) {
  const std::string text = stat_of(pid);
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z' &&
         text[name_end + 2] != 'X';
}

std::size_t open_descriptors(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
    ++count;
  return count;
}

std::size_t zombies_of(pid_t parent) {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(each.path().filename().c_str());
    if (pid == 0) continue;
    const std::string text = stat_of(pid);
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos || text.size() < name_end + 4 || text[name_end + 2] != 'Z') continue;
    if (std::atoi(text.c_str() + name_end + 4) == parent) ++count;
  }
  return count;
}

std::vector<std::string> words(std::initializer_list<std::string> rest) {
  std::vector<std::string> out{TEST_CHILD};
  out.insert(out.end(), rest);
  return out;
}

void eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < end);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace kairo::test
