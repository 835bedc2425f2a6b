#include "bench/system.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/error.hpp"

namespace kairo::bench {

void throw_errno(const std::string& attempt) {
  throw std::runtime_error(attempt + ": " + describe_errno(errno));
}

void write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t put = ::write(fd, data, size);
    if (put < 0) {
      if (errno == EINTR) continue;
      throw_errno("cannot write");
    }
    data += put;
    size -= static_cast<std::size_t>(put);
  }
}

std::size_t read_some(int fd, char* to, std::size_t size) {
  for (;;) {
    const ssize_t got = ::read(fd, to, size);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) throw_errno("cannot read");
  }
}

std::string read_to_end(int fd) {
  std::string out;
  char block[4096];
  while (const std::size_t got = read_some(fd, block, sizeof block)) out.append(block, got);
  return out;
}

Pipe make_pipe(int capacity) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
  Pipe out{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (capacity > 0 && ::fcntl(ends[1], F_SETPIPE_SZ, capacity) < 0) throw_errno("cannot size a pipe");
  return out;
}

Buffer::Buffer(std::size_t size) : size_(size) {
  void* place =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (place == MAP_FAILED) throw_errno("cannot get memory");
  data_ = static_cast<char*>(place);
}

Buffer::~Buffer() {
  ::munmap(data_, size_);
}

pid_t start(const std::vector<std::string>& argv, ChildStdio stdio, char** environment) {
  std::vector<char*> words;
  for (const std::string& each : argv) words.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const int wanted[] = {stdio.in, stdio.out, stdio.err};
  for (int fd = 0; fd < 3; ++fd) {
    if (wanted[fd] >= 0)
      ::posix_spawn_file_actions_adddup2(&actions, wanted[fd], fd);
    else
      ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  pid_t pid = -1;
  errno = ::posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environment ? environment : environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) throw_errno("cannot start " + argv[0]);
  return pid;
}

pid_t fork_or_throw() {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // no counterpart outlives the benchmark
    if (::getppid() != parent) end_child(1);
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);
  }
  return pid;
}

void end_child(int status) {
  ::_exit(status);
}

void wait_for(pid_t pid, int allowed_signal) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw_errno("cannot wait for a child");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (allowed_signal != 0 && WIFSIGNALED(status) && WTERMSIG(status) == allowed_signal) return;
  throw std::runtime_error("a child of the benchmark failed, wait status " + std::to_string(status));
}

void kill_and_wait(pid_t pid) {
  ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

std::string system_program(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/bin/"})
    if (::access((folder + name).c_str(), X_OK) == 0) return folder + name;
  throw std::runtime_error("there is no " + name + " in /usr/bin or /bin");
}

std::string own_path() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size < 0) throw_errno("cannot tell where this program is");
  return {path, static_cast<std::size_t>(size)};
}

Footprint footprint(pid_t pid) {
  Footprint out;
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream rollup(proc + "/smaps_rollup");
  std::string line;
  while (std::getline(rollup, line)) {
    unsigned long long kilobytes = 0;
    char name[40];
    if (std::sscanf(line.c_str(), "%39[^:]: %llu kB", name, &kilobytes) != 2) continue;
    const double bytes = static_cast<double>(kilobytes) * 1024;
    if (std::strcmp(name, "Private_Clean") == 0 || std::strcmp(name, "Private_Dirty") == 0)
      out.private_bytes += bytes;
    if (std::strcmp(name, "Anonymous") == 0) out.anonymous_bytes += bytes;
  }
  if (out.private_bytes == 0) throw std::runtime_error("cannot read " + proc + "/smaps_rollup");
  DIR* directory = ::opendir((proc + "/fd").c_str());
  if (!directory) throw_errno("cannot read " + proc + "/fd");
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_name[0] != '.') ++out.descriptors;
  ::closedir(directory);
  return out;
}

}  // namespace kairo::bench
