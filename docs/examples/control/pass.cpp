// A node in C++: it passes on what it is given, says hello, sends heartbeats, and acknowledges that it is to
// end, which it does with its input.
#include <thread>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "executor/unix_control_adapter.hpp"

int main() {
  const auto options = kairo::executor::ControlOptions::from_environment();
  if (!options) return 1;
  boost::asio::io_context io;
  kairo::executor::UnixControlAdapter control(io, *options, {});
  control.start();
  std::thread loop([&io] { io.run(); });
  char bytes[65536];
  for (ssize_t got = 0; (got = ::read(STDIN_FILENO, bytes, sizeof bytes)) > 0;)
    for (ssize_t put = 0, done = 0; done < got; done += put)
      if ((put = ::write(STDOUT_FILENO, bytes + done, static_cast<std::size_t>(got - done))) <= 0) _exit(1);
  boost::asio::post(io, [&control] { control.shutdown(); });
  loop.join();
  return 0;
}
