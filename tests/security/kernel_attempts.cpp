// The kernel's own connection, used to get more than one has. Without a connection (ipc "none") there is
// nothing to use.
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include "api/methods.hpp"
#include "break_in.hpp"
#include "client/client.hpp"

namespace kairo::break_in {
namespace {

int refusal(const Error& error) {
  switch (error.code) {
    case Code::permission_denied: return EPERM;
    case Code::not_running: return ENOTCONN;
    case Code::spawn_failed: return EACCES;
    default: return EINVAL;
  }
}

/// Has the daemon run `command` and says whether it ended well.
int runs(api::SpawnOptions options, std::vector<std::string> command) {
  auto client = client::Client::connect({});
  if (!client) return refusal(client.error());
  options.subscribe = false;
  if (!options.cwd) options.cwd = scene("inside");
  api::SpawnParams params;
  params.command = std::move(command);
  params.options = std::move(options);
  auto spawned = client->call<api::SpawnResult>("process.spawn", params);
  if (!spawned) return refusal(spawned.error());
  auto ended = client->call<api::ProcessSession>("process.wait", api::WaitParams{spawned->id, {}});
  if (!ended) return refusal(ended.error());
  return ended->exit_code == 0 ? in : EACCES;
}

std::vector<std::string> reader() {
  return {"cat", scene("outside/secret")};
}

api::Permissions reading(const std::string& path) {
  api::Permissions out;
  out.fs.emplace();
  out.fs->read = {{"/usr", path}};
  return out;
}

int spawn_undeclared() {
  return runs({}, reader());
}
int spawn_clean_environment() {
  // Without the mark that every program of a session has.
  ::unsetenv("KAIRO_PROCESS_ID");
  api::SpawnOptions options;
  options.env_mode = api::EnvMode::clean;
  return runs(options, reader());
}
int spawn_unconfined() {
  api::SpawnOptions options;
  options.profile = "unconfined";
  return runs(options, reader());
}
int spawn_wider() {
  api::SpawnOptions options;
  options.permissions = reading("/");
  return runs(options, reader());
}
int spawn_by_dot_dot() {
  api::SpawnOptions options;
  options.permissions = reading("../outside");
  return runs(options, reader());
}
int spawn_by_symlink() {
  const std::string link = scene("inside/to-outside");
  ::unlink(link.c_str());
  if (::symlink(scene("outside").c_str(), link.c_str()) != 0) return errno;
  api::SpawnOptions options;
  options.permissions = reading(link);
  return runs(options, reader());
}
int spawn_with_network() {
  api::SpawnOptions options;
  options.permissions = reading(scene("readable"));
  options.permissions->net = api::NetAccess::all;
  return runs(options, {"true"});
}
int spawn_with_sockets() {
  api::SpawnOptions options;
  options.permissions = reading(scene("readable"));
  options.permissions->ipc = api::IpcAccess::all;
  return runs(options, {"true"});
}
/// An orphan with a session of its own, whom no parent leads back to where it came from.
int spawn_as_orphan() {
  int ends[2];
  if (::pipe(ends) != 0) return errno;
  if (::fork() == 0) {
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    ::unsetenv("KAIRO_PROCESS_ID");
    const int result = spawn_undeclared();
    if (::write(ends[1], &result, sizeof result) < 0) ::_exit(1);
    ::_exit(0);
  }
  ::close(ends[1]);
  int result = EIO;
  return ::read(ends[0], &result, sizeof result) == sizeof result ? result : EIO;
}
int forge_event() {
  auto client = client::Client::connect({});
  if (!client) return refusal(client.error());
  api::PublishParams params;
  params.type = "kairo.process.exited";
  params.data.msgpack = "\x80";
  auto published = client->call_raw("event.publish", params);
  return published ? in : refusal(published.error());
}
int forge_identity() {
  auto client = client::Client::connect({});
  if (!client) return refusal(client.error());
  api::IdentifyParams params;
  params.name = "forged/../user:0";
  auto identified = client->call_raw("identify", params);
  return identified ? in : refusal(identified.error());
}

constexpr Attempt attempts[] = {
    {"spawn-undeclared", spawn_undeclared},     {"spawn-clean-environment", spawn_clean_environment},
    {"spawn-unconfined", spawn_unconfined},     {"spawn-wider", spawn_wider},
    {"spawn-by-dot-dot", spawn_by_dot_dot},     {"spawn-by-symlink", spawn_by_symlink},
    {"spawn-with-network", spawn_with_network}, {"spawn-with-sockets", spawn_with_sockets},
    {"spawn-as-orphan", spawn_as_orphan},       {"forge-event", forge_event},
    {"forge-identity", forge_identity},
};

}  // namespace

std::span<const Attempt> kernel_attempts() {
  return attempts;
}

}  // namespace kairo::break_in
