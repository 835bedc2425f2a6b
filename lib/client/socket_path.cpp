#include "client/socket_path.hpp"

#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

namespace kairo::client {

std::string resolve_socket(std::string_view named) {
  if (!named.empty()) return std::string(named);
  if (const char* from_environment = getenv("KAIRO_IPC_SOCKET"); from_environment && *from_environment)
    return from_environment;
  std::string path(default_socket);
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0 || found.st_uid == geteuid()) return path;
  if (const char* runtime_dir = getenv("XDG_RUNTIME_DIR"); runtime_dir && *runtime_dir)
    return std::string(runtime_dir) + "/kairo-kernel.sock";
  return path;
}

}  // namespace kairo::client
