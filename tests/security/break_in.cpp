#include "break_in.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace kairo::break_in {

std::string text(const char* name) {
  const char* value = ::getenv(name);
  if (!value) throw std::runtime_error(std::string("the scene has no ") + name);
  return value;
}

long number(const char* name) {
  return std::stol(text(name));
}

std::string scene(const std::string& name) {
  return text("SCENE") + "/" + name;
}

int outcome(long result) {
  return result >= 0 ? in : errno;
}

int reached(long result) {
  return result < 0 && (errno == EPERM || errno == EACCES) ? errno : in;
}

namespace {

constexpr unsigned patience_seconds = 20;

std::vector<Attempt> all() {
  std::vector<Attempt> out;
  for (const auto each : {file_attempts(), network_attempts(), scope_attempts(), kernel_attempts()})
    out.insert(out.end(), each.begin(), each.end());
  return out;
}

/// In a process of its own.
int result_of(const Attempt& attempt) {
  int ends[2];
  if (::pipe(ends) != 0) return errno;
  const pid_t pid = ::fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    ::close(ends[0]);
    ::setenv("RESULT_FD", std::to_string(ends[1]).c_str(), 1);
    ::alarm(patience_seconds);
    int result = EINVAL;
    try {
      result = attempt.run();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", attempt.name, error.what());
    }
    if (::write(ends[1], &result, sizeof result) != sizeof result) ::_exit(1);
    ::_exit(0);
  }
  ::close(ends[1]);
  int result = EINTR;
  if (::read(ends[0], &result, sizeof result) != sizeof result) result = EINTR;  // a signal ended it
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  return result;
}

int run(const std::vector<std::string>& names) {
  int worst = 0;
  for (const Attempt& attempt : all()) {
    bool wanted = names.empty();
    for (const std::string& name : names) wanted = wanted || name == attempt.name;
    if (!wanted) continue;
    const int result = result_of(attempt);
    if (result != in) worst = 1;
    if (result == in)
      std::printf("%s in\n", attempt.name);
    else if (result == moot)
      std::printf("%s moot\n", attempt.name);
    else
      std::printf("%s kept %s\n", attempt.name, ::strerrorname_np(result));
    std::fflush(stdout);
  }
  return worst;
}

}  // namespace
}  // namespace kairo::break_in

int main(int count, char** words) {
  using namespace kairo::break_in;
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> names(words + 1, words + count);
  if (names.empty()) return 64;
  if (names[0] == "victim" && names.size() == 2) return victim(names[1]);
  if (names[0] == "ids") {
    std::printf("%u\n", ::geteuid());
    return 0;
  }
  if (names[0] == "all") names.clear();
  return run(names);
}
