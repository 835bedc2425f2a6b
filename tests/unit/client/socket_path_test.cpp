#include "client/socket_path.hpp"

#include <cstdlib>

#include <doctest/doctest.h>

using kairo::client::resolve_socket;

TEST_CASE("a named socket goes before the environment's, and that before the default") {
  setenv("KAIRO_IPC_SOCKET", "/from/environment", 1);
  CHECK(resolve_socket("/named") == "/named");
  CHECK(resolve_socket() == "/from/environment");
  setenv("KAIRO_IPC_SOCKET", "", 1);
  setenv("XDG_RUNTIME_DIR", "/run/user/4242", 1);
  // Whoever owns the default path on this machine: it is one of the two.
  const std::string path = resolve_socket();
  const bool known = path == "/tmp/kairo-kernel.sock" || path == "/run/user/4242/kairo-kernel.sock";
  CHECK_MESSAGE(known, path);
  unsetenv("KAIRO_IPC_SOCKET");
}
