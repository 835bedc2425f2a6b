// process.stdin.write of 256 KiB, four on their way, into a child that checks what it reads; against write()
// into that child's pipe.
#include <stdexcept>
#include <sys/uio.h>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/connection.hpp"
#include "bench/daemon.hpp"
#include "bench/report.hpp"

namespace kairo::bench {
namespace {

constexpr std::size_t piece_bytes = 256u << 10;
constexpr unsigned in_flight = 4;

/// Sends a request whose `data` stays where it is: only the frame's head is built.
void send_write(Connection& connection, const std::string& id, const char* data, std::size_t size) {
  std::string head(wire::head_bytes, '\0');
  reflect::Sink sink(head);
  reflect::Packer to(sink);
  to.pack_map(3);
  reflect::encode(to, "id");
  reflect::encode(to, connection.next_id());
  reflect::encode(to, "method");
  reflect::encode(to, "process.stdin.write");
  reflect::encode(to, "params");
  to.pack_map(2);
  reflect::encode(to, "id");
  reflect::encode(to, id);
  reflect::encode(to, "data");
  to.pack_bin(static_cast<std::uint32_t>(size));
  wire::put_head(head.data(), wire::FrameType::request,
                 static_cast<std::uint32_t>(head.size() - wire::head_bytes + size));
  const iovec pieces[] = {{head.data(), head.size()}, {const_cast<char*>(data), size}};
  const ssize_t put = ::writev(connection.fd(), pieces, 2);
  if (put < 0) throw_errno("cannot write to kairod");
  const auto sent = static_cast<std::size_t>(put);
  if (sent < head.size()) throw std::runtime_error("kairod took less than a frame's head");
  write_all(connection.fd(), data + (sent - head.size()), size - (sent - head.size()));
}

void await_answer(Connection& connection) {
  for (;;) {
    const wire::Frame frame = connection.next();
    if (frame.type != wire::FrameType::response) continue;
    Connection::answered(connection.decode(frame));
    return;
  }
}

double time_kairo(const Daemon& daemon, std::uint64_t total) {
  Connection connection(daemon.socket());
  api::SpawnParams spawn;
  spawn.command = reader_command();
  spawn.options = api::SpawnOptions{};
  spawn.options->subscribe = false;
  const std::string id = connection.call<api::SpawnResult>("process.spawn", spawn).id;
  Buffer piece(piece_bytes);
  unsigned waiting = 0;
  const auto start_time = Clock::now();
  for (std::uint64_t offset = 0; offset < total; offset += piece_bytes) {
    if (waiting == in_flight) {
      await_answer(connection);
      --waiting;
    }
    fill(Content::records, piece.data(), piece_bytes, offset);
    send_write(connection, id, piece.data(), piece_bytes);
    ++waiting;
  }
  for (; waiting > 0; --waiting) await_answer(connection);
  connection.send("process.stdin.close", api::IdParams{id});
  await_answer(connection);
  const auto session = connection.call<api::ProcessSession>("process.wait", api::WaitParams{id, {}});
  const double seconds = seconds_since(start_time);
  if (session.exit_code != 0) throw std::runtime_error("the child read other bytes than were written");
  api::ReadParams read;
  read.id = id;
  const auto answer = connection.call<api::ReadResult>("process.read", read);
  if (std::get<std::string>(answer.chunk) != "ok " + std::to_string(total) + "\n")
    throw std::runtime_error("the child did not read everything");
  connection.call<api::Done>("process.forget", api::IdParams{id});
  return seconds;
}

double time_raw(std::uint64_t total) {
  Pipe input = make_pipe(piece_bytes), output = make_pipe();
  const pid_t pid = start(reader_command(), {input.read.get(), output.write.get(), 2});
  input.read.reset();
  output.write.reset();
  Buffer piece(piece_bytes);
  const auto start_time = Clock::now();
  for (std::uint64_t offset = 0; offset < total; offset += piece_bytes) {
    fill(Content::records, piece.data(), piece_bytes, offset);
    write_all(input.write.get(), piece.data(), piece_bytes);
  }
  input.write.reset();
  const std::string said = read_to_end(output.read.get());
  wait_for(pid);
  const double seconds = seconds_since(start_time);
  if (said != "ok " + std::to_string(total) + "\n") throw std::runtime_error("a pipe lost bytes");
  return seconds;
}

}  // namespace

void run_stdin(const Settings& settings) {
  const Daemon daemon(settings);
  const std::uint64_t total = settings.sizes.stdin_bytes;
  Figure figure{"stdin", "4 writes of 256 KiB in flight", "MB/s", {}, {}};
  for (unsigned i = 0; i < settings.repeats; ++i) {
    figure.values.push_back(megabytes_per_second(total, time_kairo(daemon, total)));
    figure.raws.push_back(megabytes_per_second(total, time_raw(total)));
  }
  figure.numbers = {{"bytes", static_cast<double>(total)}};
  report(figure);
}

}  // namespace kairo::bench
