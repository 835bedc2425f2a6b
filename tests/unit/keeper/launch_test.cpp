// What a child finds when it starts, and what a launch that fails says.
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

std::string detail(const Error& error, const std::string& name) {
  for (const auto& [key, value] : error.details) {
    if (key != name) continue;
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  }
  return "";
}

void write_file(const std::string& path, const std::string& text, mode_t mode) {
  std::ofstream(path) << text;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

}  // namespace

TEST_CASE("a child has descriptors 0, 1 and 2 and nothing else") {
  const TempDir dir;
  Kairod kairod(dir.path());
  CHECK(kairod.output_of({.argv = words({"list-fds"})}) == "[0,1,2]\n");
  CHECK(kairod.output_of({.argv = words({"list-fds"}), .standard_input = Stdio::pipe}) == "[0,1,2]\n");
  CHECK(kairod.output_of({.argv = words({"list-fds"}), .standard_error = Stdio::null}) == "[0,1,2]\n");
}

TEST_CASE("a child has exactly the environment, arguments, directory and umask of its order") {
  const TempDir dir;
  Kairod kairod(dir.path());
  CHECK(kairod.output_of({.argv = words({"env"}), .env = {"A=1", "EMPTY=", "B=x=y"}}) ==
        R"({"A":"1","EMPTY":"","B":"x=y"})"
        "\n");
  CHECK(kairod.output_of({.argv = words({"env"}), .env = {}}) == "{}\n");
  CHECK(kairod.output_of({.argv = words({"print-args", "", "a b", "*", "$HOME"})}) ==
        R"(["","a b","*","$HOME"])"
        "\n");
  CHECK(kairod.output_of({.argv = words({"cwd"}), .cwd = dir.path()}) == dir.path() + "\n");
  CHECK(kairod.output_of({.argv = words({"umask"}), .umask = 0027}) == "0027\n");
}

TEST_CASE("a child has no signal blocked or ignored and the limit of descriptors that kairod found") {
  const TempDir dir;
  struct sigaction ignore {};
  struct sigaction before[2];
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGHUP, &ignore, &before[0]);  // as nohup would have it
  ::sigaction(SIGPIPE, &ignore, &before[1]);
  {
    Kairod kairod(dir.path());
    CHECK(kairod.output_of({.argv = words({"sigmask"})}) ==
          R"({"blocked":[],"ignored":[],"nofile":{"soft":1000,"hard":2000}})"
          "\n");
  }
  ::sigaction(SIGHUP, &before[0], nullptr);
  ::sigaction(SIGPIPE, &before[1], nullptr);
}

TEST_CASE("a child leads a session and a group of its own") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"sleep", "1000"})});
  CHECK(::getsid(session->pid()) == session->pid());
  CHECK(::getpgid(session->pid()) == session->pid());
  CHECK(kairod.signal(session->key, SIGKILL, SignalScope::group) == 0);
  CHECK(kairod.wait_exit(session->key).wait_status == SIGKILL);
  kairod.release(session);
}

TEST_CASE("a program without a slash is looked up in the PATH of its environment") {
  const TempDir dir;
  Kairod kairod(dir.path());
  std::filesystem::create_directories(dir.path() + "/a");
  std::filesystem::create_directories(dir.path() + "/b");
  write_file(dir.path() + "/a/tool", "#!/bin/sh\necho not executable\n", 0600);
  write_file(dir.path() + "/b/tool", "#!/bin/sh\necho from b\n", 0700);
  const std::string path = "PATH=" + dir.path() + "/none:" + dir.path() + "/a:" + dir.path() + "/b";
  CHECK(kairod.output_of({.argv = {"tool"}, .env = {path}}) == "from b\n");
  CHECK(kairod.output_of({.argv = {"tool"}, .env = {"PATH="}, .cwd = dir.path() + "/b"}) == "from b\n");
  CHECK(kairod.output_of({.argv = {"echo", "hi"}, .env = {}}) == "hi\n");
  const Error denied =
      kairod.launch_fails({.argv = {"tool"}, .env = {"PATH=" + dir.path() + "/a:" + dir.path() + "/none"}});
  CHECK(detail(denied, "errnoName") == "EACCES");
}

TEST_CASE("a launch that fails names its step, its errno and what it was about") {
  const TempDir dir;
  Kairod kairod(dir.path());
  write_file(dir.path() + "/script", "echo no interpreter named\n", 0700);
  write_file(dir.path() + "/lost", "#!/no/such/interpreter\n", 0700);
  write_file(dir.path() + "/plain", "text", 0600);
  struct Case {
    Order order;
    std::string step, error, text;
  };
  const std::vector<Case> cases = {
      {{.argv = {"/no/such"}},
       "exec",
       "ENOENT",
       R"(cannot start "/no/such": no such file or directory (ENOENT); no session was created)"},
      {{.argv = {"nosuch"}, .env = {"PATH=/a:/b"}},
       "exec",
       "ENOENT",
       R"(cannot start "nosuch": no such file or directory (ENOENT) in PATH /a:/b; no session was created)"},
      {{.argv = {"./nosuch"}, .cwd = dir.path()}, "exec", "ENOENT", "(ENOENT) in " + dir.path()},
      {{.argv = {dir.path() + "/lost"}}, "exec", "ENOENT", "(its interpreter)"},
      {{.argv = {dir.path() + "/plain"}}, "exec", "EACCES", "permission denied"},
      {{.argv = {dir.path()}}, "exec", "EACCES", "permission denied"},
      {{.argv = {dir.path() + "/script"}}, "exec", "ENOEXEC", "(ENOEXEC)"},
      {{.argv = {""}}, "exec", "ENOENT", "(ENOENT)"},
      {{.argv = {"/bin/true"}, .cwd = "/no/such/place"}, "chdir", "ENOENT", "/no/such/place"},
      {{.argv = {"/bin/true"}, .cwd = dir.path() + "/plain"}, "chdir", "ENOTDIR", "/plain"},
      {{.argv = {"/bin/true", std::string(300'000, 'x')}}, "exec", "E2BIG", "(E2BIG)"},
      {{.argv = {"/bin/true", std::string(5u << 20, 'x')}}, "argv", "E2BIG", "(E2BIG)"},
      {{.argv = {"/bin/true", std::string("a\0b", 3)}}, "argv", "EINVAL", "NUL"},
      {{.argv = {"/bin/true"}, .whole_env = false}, "env", "EINVAL", "without its end"},
      {{.argv = {}}, "argv", "EINVAL", ""},
      {{.argv = {"/bin/true"}, .standard_output = Stdio::to_stdout}, "stdio", "EINVAL", ""},
  };
  for (const Case& each : cases) {
    const Error error = kairod.launch_fails(each.order);
    CAPTURE(error.message);
    CHECK(error.code == Code::spawn_failed);
    CHECK(detail(error, "step") == each.step);
    CHECK(detail(error, "errnoName") == each.error);
    CHECK(error.message.find(each.text) != std::string::npos);
  }
  CHECK(zombies_of(kairod.link->keeper_pid()) == 0);
  CHECK(kairod.output_of({.argv = {"/bin/echo", "on"}}) == "on\n");
}

TEST_CASE("ten thousand arguments arrive") {
  const TempDir dir;
  Kairod kairod(dir.path());
  Order order{.argv = {"/bin/sh", "-c", "echo $#", "sh"}};
  for (int i = 0; i < 10'000; ++i) order.argv.push_back("x");
  CHECK(kairod.output_of(order) == "10000\n");
}

TEST_CASE("descriptors that came with the order become the child's") {
  const TempDir dir;
  Kairod kairod(dir.path());
  write_file(dir.path() + "/in", "given\n", 0600);
  std::vector<UniqueFd> given;
  given.emplace_back(::open((dir.path() + "/in").c_str(), O_RDONLY | O_CLOEXEC));
  given.emplace_back(::open((dir.path() + "/out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  auto session = kairod.launch(
      {.argv = {"/bin/cat"}, .standard_input = Stdio::fd, .standard_output = Stdio::fd}, std::move(given));
  kairod.wait_exit(session->key);
  std::ifstream file(dir.path() + "/out");
  CHECK(std::string((std::istreambuf_iterator<char>(file)), {}) == "given\n");
  CHECK((kairod.slot(session).streams[0].flags & stream::log_eof) != 0);
  CHECK((kairod.slot(session).standard_input.state & stdin_closed) != 0);
  kairod.release(session);
}

TEST_CASE("stderr can go where stdout goes") {
  const TempDir dir;
  Kairod kairod(dir.path());
  CHECK(kairod.output_of({.argv = {"/bin/sh", "-c", "echo out; echo err >&2"},
                          .standard_error = Stdio::to_stdout}) == "out\nerr\n");
}

TEST_CASE("a slot that is in use is refused") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"sleep", "1000"})});
  Launch order;
  order.key = session->key + 100'000;
  order.slot = session->slot;
  order.argv = {"/bin/true"};
  order.cwd = "/";
  std::optional<Result<Launched>> answer;
  kairod.link->launch(order, {}, [&](Result<Launched> result) { answer.emplace(std::move(result)); });
  kairod.run_until([&] { return answer.has_value(); });
  REQUIRE_FALSE(answer->ok());
  CHECK(detail(answer->error(), "step") == "slot");
  kairod.signal(session->key, SIGKILL, SignalScope::group);
  kairod.wait_exit(session->key);
  kairod.release(session);
}

TEST_CASE("when descriptors run out a launch is refused before anything is started, and room comes back") {
  const TempDir dir;
  Kairod kairod(dir.path(), {.own_limit = "128"});
  std::vector<std::shared_ptr<Kairod::Started>> sessions;
  std::optional<Error> refused;
  while (!refused && sessions.size() < 100) {
    auto session = kairod.order({.argv = words({"sleep", "1000"}), .standard_input = Stdio::pipe});
    kairod.run_until([&] { return session->result.has_value(); });
    if (session->result->ok())
      sessions.push_back(session);
    else
      refused = session->result->error();
  }
  REQUIRE(refused.has_value());
  CHECK(refused->code == Code::limit_exceeded);
  CHECK(detail(*refused, "step") == "descriptors");
  CHECK(sessions.size() >= 5);
  for (const auto& each : sessions) kairod.signal(each->key, SIGKILL, SignalScope::group);
  for (const auto& each : sessions) {
    kairod.wait_exit(each->key);
    kairod.release(each);
  }
  CHECK(kairod.output_of({.argv = {"/bin/echo", "again"}}) == "again\n");
}

TEST_CASE("launches that hang before their program runs are ended, and others go on") {
  const TempDir dir;
  Kairod kairod(dir.path());
  const std::string program = dir.path() + "/leased";
  write_file(program, "#!/bin/sh\n", 0700);
  const UniqueFd held(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  // The exec waits until the holder gives the lease back, which is told by a signal that does nothing.
  REQUIRE(::fcntl(held.get(), F_SETSIG, SIGURG) == 0);
  if (::fcntl(held.get(), F_SETLEASE, F_WRLCK) != 0) return;  // this file system has none
  std::vector<std::shared_ptr<Kairod::Started>> hanging;
  for (unsigned i = 0; i < launch_connections; ++i) hanging.push_back(kairod.order({.argv = {program}}));
  for (const auto& each : hanging) {
    kairod.run_until([&] { return each->result.has_value(); });
    REQUIRE_FALSE(each->result->ok());
    CHECK(detail(each->result->error(), "step") == "exec");
    CHECK(detail(each->result->error(), "errnoName") == "ETIMEDOUT");
  }
  CHECK(zombies_of(kairod.link->keeper_pid()) == 0);
  CHECK(kairod.output_of({.argv = {"/bin/echo", "on"}}) == "on\n");
}

TEST_CASE("a child that a program gives to the keeper is reaped once it has ended") {
  const TempDir dir;
  Kairod kairod(dir.path());
  auto session = kairod.launch({.argv = words({"sibling", "sleep", "1000"})});
  kairod.wait_stream(session->slot, 0, [](auto& each) { return each.tail > 1; });
  const pid_t sibling = std::atoi(kairod.read_log(session->key, session->slot).c_str());
  REQUIRE(sibling > 0);
  eventually([&] { return ::kill(sibling, 0) != 0; });
  CHECK(alive(session->pid()));
  kairod.signal(session->key, SIGKILL, SignalScope::group);
  CHECK(kairod.wait_exit(session->key).wait_status == SIGKILL);
  kairod.release(session);
}
