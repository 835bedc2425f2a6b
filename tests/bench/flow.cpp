// What a topology's executor adds to a pipeline: writer, `cat` and a checking reader, each a node of its own
// whose bytes go through a flow (lib/executor/flow.hpp); against the same three behind one another, with the
// pipes that a shell makes.
#include "executor/flow.hpp"

#include <functional>
#include <stdexcept>

#include <boost/asio/io_context.hpp>

#include "bench/bench.hpp"
#include "bench/children.hpp"
#include "bench/report.hpp"
#include "executor/pipe_ends.hpp"
#include "executor/unix_pipe_adapter.hpp"

namespace kairo::bench {
namespace {

void check_reader(UniqueFd answer, std::uint64_t bytes) {
  if (read_to_end(answer.get()) != "ok " + std::to_string(bytes) + "\n")
    throw std::runtime_error("the reader read other bytes than were written");
}

template <class T>
T need(Result<T> made) {
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(made).value();
}

double time_flow(api::NodeIo io, std::uint64_t bytes) {
  using executor::Direction;
  boost::asio::io_context loop(1);
  executor::PipeEnds written = need(executor::make_pipe_ends(io, Direction::from_node));
  executor::PipeEnds into = need(executor::make_pipe_ends(io, Direction::to_node));
  executor::PipeEnds out_of = need(executor::make_pipe_ends(io, Direction::from_node));
  executor::PipeEnds read = need(executor::make_pipe_ends(io, Direction::to_node));
  Pipe go = make_pipe(), answer = make_pipe();
  const pid_t pids[] = {
      start(writer_command(Content::records, bytes), {go.read.get(), written.theirs.get(), 2}),
      start({system_program("cat")}, {into.theirs.get(), out_of.theirs.get(), 2}),
      start(reader_command(), {read.theirs.get(), answer.write.get(), 2})};
  for (UniqueFd* each : {&written.theirs, &into.theirs, &out_of.theirs, &read.theirs, &answer.write})
    each->reset();

  const auto life = [&](UniqueFd in, UniqueFd out) {
    return std::make_shared<executor::Life>(
        need(executor::UnixPipeAdapter::make(loop, std::move(in), std::move(out))));
  };
  std::function<void()> first_ended, second_ended;
  executor::Outlet first(loop, [&](const Error*) { first_ended(); });
  executor::Outlet second(loop, [&](const Error*) { second_ended(); });
  executor::Intake middle(loop, {}), last(loop, {});
  first_ended = [&] { first.finish(); };
  second_ended = [&] { second.finish(); };
  connect(first, middle, api::ConnectionType::direct);
  connect(second, last, api::ConnectionType::direct);
  const auto cat = life(std::move(out_of.ours), std::move(into.ours));
  first.open(life(std::move(written.ours), UniqueFd()));
  middle.open(cat);
  second.open(cat);
  last.open(life(UniqueFd(), std::move(read.ours)));

  const auto start_time = Clock::now();
  write_all(go.write.get(), "\n", 1);
  while (!last.ended())
    if (loop.run_one_for(patience) == 0) throw std::runtime_error("a flow has come to a stand");
  check_reader(std::move(answer.read), bytes);
  const double seconds = seconds_since(start_time);
  for (const pid_t each : pids) wait_for(each);
  return seconds;
}

double time_pipes(std::uint64_t bytes) {
  Pipe go = make_pipe(), one = make_pipe(), two = make_pipe(), answer = make_pipe();
  const pid_t pids[] = {start(writer_command(Content::records, bytes), {go.read.get(), one.write.get(), 2}),
                        start({system_program("cat")}, {one.read.get(), two.write.get(), 2}),
                        start(reader_command(), {two.read.get(), answer.write.get(), 2})};
  for (UniqueFd* each : {&one.read, &one.write, &two.read, &two.write, &answer.write}) each->reset();
  const auto start_time = Clock::now();
  write_all(go.write.get(), "\n", 1);
  check_reader(std::move(answer.read), bytes);
  const double seconds = seconds_since(start_time);
  for (const pid_t each : pids) wait_for(each);
  return seconds;
}

}  // namespace

void run_flow(const Settings& settings) {
  const std::uint64_t bytes = settings.sizes.stream_bytes;
  struct Way {
    const char* name;
    api::NodeIo io;
  };
  for (const Way& way : {Way{"sockets", api::NodeIo::sockets}, Way{"pipes", api::NodeIo::pipes}}) {
    Figure figure{"flow", way.name, "MB/s", {}, {}, ratio_at_least(0.8)};
    for (unsigned i = 0; i < settings.repeats; ++i) {
      figure.values.push_back(megabytes_per_second(bytes, time_flow(way.io, bytes)));
      figure.raws.push_back(megabytes_per_second(bytes, time_pipes(bytes)));
    }
    figure.numbers = {{"bytes", static_cast<double>(bytes)}};
    report(figure);
  }
}

}  // namespace kairo::bench
