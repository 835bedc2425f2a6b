#include "upgrade.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>

#include "base/clock.hpp"
#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "wire/payload.hpp"

namespace kairo::daemon {
namespace {

constexpr const char* variable = "KAIRO_HANDOVER";
/// Of what the memfd holds. A program that finds another one cannot take over.
constexpr std::uint32_t handover_version = 1;
constexpr std::size_t handover_bytes_max = 64u << 10;
/// One question to the next program.
constexpr std::chrono::seconds answer_timeout{10};
constexpr std::size_t answer_bytes_max = 4096;

/// What the memfd holds. Descriptors are -1 where there is none.
struct Letter {
  std::uint32_t version = handover_version;
  std::int32_t pid = 0;
  std::string socket;
  std::string state_dir;
  std::int32_t listener = -1;
  std::int32_t state_lock = -1;
  std::int32_t socket_lock = -1;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  static constexpr auto fields() {
    using reflect::field;
    using S = Letter;
    return std::tuple(field("version", &S::version, ""), field("pid", &S::pid, ""),
                      field("socket", &S::socket, ""), field("stateDir", &S::state_dir, ""),
                      field("listener", &S::listener, ""), field("stateLock", &S::state_lock, ""),
                      field("socketLock", &S::socket_lock, ""), field("device", &S::device, ""),
                      field("inode", &S::inode, ""));
  }
};

bool is_same_file(const std::string& path, const char* other) {
  struct stat one {
  }, two{};
  return ::stat(path.c_str(), &one) == 0 && ::stat(other, &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

std::string link_target(const char* link) {
  char path[4096];
  const ssize_t size = ::readlink(link, path, sizeof path);
  return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string();
}

/// argv or envp as exec wants it.
std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& each : strings) out.push_back(const_cast<char*>(each.c_str()));
  out.push_back(nullptr);
  return out;
}

/// The environment of the start, less what was meant for that moment alone.
std::vector<std::string> lasting_environment(const Origin& origin) {
  std::vector<std::string> out;
  for (const std::string& each : origin.environment) {
    const std::string name = each.substr(0, each.find('='));
    if (name != variable && name != "LISTEN_PID" && name != "LISTEN_FDS" && name != "LISTEN_FDNAMES")
      out.push_back(each);
  }
  return out;
}

sigset_t heard_signals() {
  sigset_t out;
  ::sigemptyset(&out);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&out, number);
  return out;
}

/// Reads until the end or the deadline; false when that has passed.
bool read_answer(int from, SteadyTime deadline, std::string& out) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    pollfd polled{from, POLLIN, 0};
    if (left <= 0) return false;
    if (::poll(&polled, 1, static_cast<int>(left)) <= 0) continue;
    char bytes[1024];
    const ssize_t got = ::read(from, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    if (out.size() < answer_bytes_max) out.append(bytes, static_cast<std::size_t>(got));
  }
}

/// Reaps a child that has closed its output and so is about to end; false when the deadline has passed.
bool wait_for(pid_t pid, SteadyTime deadline, int& status) {
  for (;;) {
    const pid_t reaped = ::waitpid(pid, &status, WNOHANG);
    if (reaped == pid) return true;
    if ((reaped < 0 && errno != EINTR) || SteadyClock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// What the program at the path says when it is started with `arguments`; an error unless it exits with 0.
Result<std::string> ask(const Origin& origin, const std::vector<std::string>& arguments) {
  const std::string attempt = "cannot upgrade to \"" + origin.program + "\": ";
  const std::string question = arguments.back();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(attempt + "no pipe", errno);
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);

  std::vector<std::string> argv{origin.program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const std::vector<std::string> environment = lasting_environment(origin);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, to.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, to.get(), 2);
  ::posix_spawn_file_actions_addchdir_np(&actions, origin.cwd.c_str());
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigaddset(&signals, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  // A group of its own, so that whatever it starts ends with it.
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, origin.program.c_str(), &actions, &attributes, pointers(argv).data(),
                                   pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    return Error(Code::spawn_failed, attempt + describe_errno(failed) + "; the daemon goes on as it was");
  to.reset();

  std::string said;
  const SteadyTime deadline = SteadyClock::now() + answer_timeout;
  const bool in_time = read_answer(from.get(), deadline, said);
  int status = 0;
  const bool ended = in_time && wait_for(pid, deadline, status);
  if (!ended) {
    ::kill(-pid, SIGKILL);
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) said.pop_back();
  if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) return said;
  std::string how = !ended              ? "does not answer"
                    : WIFEXITED(status) ? "ended with exit code " + std::to_string(WEXITSTATUS(status))
                                        : "was ended by signal " + std::to_string(WTERMSIG(status));
  if (!said.empty()) how += ", saying: " + said;
  return Error(Code::spawn_failed,
               attempt + "asked for " + question + " it " + how + "; the daemon goes on as it was");
}

bool is_version(const std::string& text) {
  return !text.empty() && text.size() <= 64 && text[0] >= '0' && text[0] <= '9' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  std::strchr(".+~-", c);
         });
}

}  // namespace

Origin origin_of(int argc, char** argv) {
  Origin out;
  out.argv.assign(argv, argv + argc);
  for (char** each = environ; each && *each; ++each) out.environment.emplace_back(*each);
  out.cwd = link_target("/proc/self/cwd");
  // The path as it was given to exec keeps symbolic links, which is what an upgrade may move; /proc/self/exe
  // does not, but is right where the former is none (a file descriptor, an interpreter).
  if (const auto* given = reinterpret_cast<const char*>(::getauxval(AT_EXECFN)); given && *given) {
    out.program = given[0] == '/' ? given : out.cwd + "/" + given;
    if (!is_same_file(out.program, "/proc/self/exe")) out.program.clear();
  }
  if (out.program.empty()) out.program = link_target("/proc/self/exe");
  return out;
}

Result<std::optional<Handover>> take_handover() {
  const char* named = std::getenv(variable);
  const std::string text = named ? named : "";
  ::unsetenv(variable);
  if (text.empty()) return std::optional<Handover>{};
  const Error useless(Code::internal, std::string("what ") + variable + "=" + text + " names is no handover");
  char* end = nullptr;
  UniqueFd memory(static_cast<int>(std::strtol(text.c_str(), &end, 10)));
  if (*end != '\0') {
    static_cast<void>(memory.release());
    return useless;
  }
  std::string bytes(handover_bytes_max, '\0');
  const ssize_t got = ::pread(memory.get(), bytes.data(), bytes.size(), 0);
  if (got <= 0) return useless;
  bytes.resize(static_cast<std::size_t>(got));
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(bytes);
  if (!object) return useless;
  const auto letter = reflect::from_object<Letter>(*object, "handover", reflect::Unknown::ignore);
  if (!letter) return useless;
  // Inherited from a daemon that is another process: none of it is ours.
  if (letter->pid != ::getpid()) return std::optional<Handover>{};
  if (letter->version != handover_version)
    return Error(Code::unsupported, "the former daemon hands over in version " +
                                        std::to_string(letter->version) + ", this one takes version " +
                                        std::to_string(handover_version));
  for (const int fd : {letter->listener, letter->state_lock, letter->socket_lock})
    if (fd >= 0) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  Handover out{
      letter->socket, letter->state_dir, UniqueFd(letter->listener), UniqueFd(letter->state_lock), {}};
  if (letter->socket_lock >= 0)
    out.claim =
        ipc::SocketFile::Claim{letter->socket, UniqueFd(letter->socket_lock), letter->device, letter->inode};
  return std::optional<Handover>(std::move(out));
}

Result<kernel::Host::Next> find_next(const Origin& origin) {
  auto version = ask(origin, {"--version"});
  if (!version) return std::move(version).error();
  if (!is_version(*version))
    return Error(Code::spawn_failed, "cannot upgrade to \"" + origin.program +
                                         "\": asked for --version it said \"" + version->substr(0, 200) +
                                         "\", which is none; the daemon goes on as it was");
  std::vector<std::string> arguments(origin.argv.begin() + (origin.argv.empty() ? 0 : 1), origin.argv.end());
  arguments.emplace_back("--check-config");
  auto checked = ask(origin, arguments);
  if (!checked) return std::move(checked).error();
  return kernel::Host::Next{origin.program, *version};
}

void block_signals() {
  const sigset_t heard = heard_signals();
  ::pthread_sigmask(SIG_BLOCK, &heard, nullptr);
}

void unblock_signals() {
  const sigset_t heard = heard_signals();
  ::pthread_sigmask(SIG_UNBLOCK, &heard, nullptr);
}

Error become_next(const Origin& origin, Handover handover) {
  Letter letter;
  letter.pid = ::getpid();
  letter.socket = handover.socket;
  letter.state_dir = handover.state_dir;
  letter.listener = handover.listener.get();
  letter.state_lock = handover.state_lock.get();
  if (handover.claim) {
    letter.socket_lock = handover.claim->lock.get();
    letter.device = handover.claim->device;
    letter.inode = handover.claim->inode;
  }
  const std::string bytes = reflect::to_msgpack(letter);
  const UniqueFd memory(::memfd_create("kairo-handover", MFD_CLOEXEC));
  if (!memory || ::write(memory.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    return system_error("cannot write the handover", errno);

  std::vector<std::string> environment = lasting_environment(origin);
  environment.push_back(std::string(variable) + "=" + std::to_string(memory.get()));
  const auto argv = pointers(origin.argv);
  const auto envp = pointers(environment);
  if (::chdir(origin.cwd.c_str()) != 0) return system_error("cannot go back to " + origin.cwd, errno);
  ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  for (const int fd : {memory.get(), letter.listener, letter.state_lock, letter.socket_lock})
    if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
  ::execve(origin.program.c_str(), argv.data(), envp.data());
  // It was there a moment ago, but the sessions' daemon is worth a second try: the program that runs now is
  // still to be had, even where its file is gone.
  const int error_number = errno;
  ::execve("/proc/self/exe", argv.data(), envp.data());
  return system_error("cannot execute \"" + origin.program + "\"", error_number);
}

}  // namespace kairo::daemon
