// A program with pipes at its stdin and stdout that do not block on this side.
#pragma once

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <map>
#include <spawn.h>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "base/unique_fd.hpp"

namespace kairo::test {

class Child {
 public:
  Child(const std::vector<std::string>& argv, const std::map<std::string, std::string>& environment) {
    int in[2], out[2];
    REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
    const UniqueFd their_in(in[0]), their_out(out[1]);
    in_.reset(in[1]);
    out_.reset(out[0]);
    for (const int each : {in_.get(), out_.get()})
      REQUIRE(::fcntl(each, F_SETFL, ::fcntl(each, F_GETFL) | O_NONBLOCK) == 0);
    std::vector<std::string> texts;
    for (const auto& [name, value] : environment) texts.push_back(name + "=" + value);
    std::vector<char*> words, variables;
    for (const std::string& each : argv) words.push_back(const_cast<char*>(each.c_str()));
    for (const std::string& each : texts) variables.push_back(const_cast<char*>(each.c_str()));
    words.push_back(nullptr);
    variables.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, their_in.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, their_out.get(), 1);
    REQUIRE(::posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), variables.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Writes what there is room for and takes it off.
  void write(std::string_view& bytes) {
    const ssize_t put = ::write(in_.get(), bytes.data(), bytes.size());
    REQUIRE((put >= 0 || errno == EAGAIN));
    if (put > 0) bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  void end_input() { in_.reset(); }
  /// Appends what has come to output(); true at its end.
  bool read() {
    char bytes[65536];
    for (;;) {
      const ssize_t got = ::read(out_.get(), bytes, sizeof bytes);
      if (got <= 0) return got == 0;
      output_.append(bytes, static_cast<std::size_t>(got));
    }
  }
  [[nodiscard]] const std::string& output() const { return output_; }
  /// Whether it has ended; exit_code() is its own, or 128 and the signal's number.
  bool ended() {
    int status = 0;
    if (pid_ < 0) return true;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
    pid_ = -1;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
  }
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  std::string output_;
};

}  // namespace kairo::test
