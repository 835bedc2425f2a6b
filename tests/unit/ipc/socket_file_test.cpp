#include "ipc/socket_file.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <doctest/doctest.h>

#include "support/temp_dir.hpp"

using namespace kairo;
using ipc::SocketFile;
using test::TempDir;

namespace {

void leave_stale_socket(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("the socket is born with mode 0600 and goes when it is removed") {
  TempDir dir;
  auto file = SocketFile::listen(dir.file("s"));
  REQUIRE(file.ok());
  struct stat status {};
  REQUIRE(::lstat((dir.file("s")).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  file->remove();
  CHECK(::lstat((dir.file("s")).c_str(), &status) != 0);
}

TEST_CASE("a stale socket is replaced, a live one is never stolen") {
  TempDir dir;
  leave_stale_socket(dir.file("s"));
  auto first = SocketFile::listen(dir.file("s"));
  REQUIRE(first.ok());
  auto second = SocketFile::listen(dir.file("s"));
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == Code::already_exists);
}

TEST_CASE("a live socket without our lock beside it is not stolen either") {
  TempDir dir;
  auto first = SocketFile::listen(dir.file("s"));
  REQUIRE(first.ok());
  std::filesystem::remove(dir.file("s.lock"));
  auto second = SocketFile::listen(dir.file("s"));
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == Code::already_exists);
}

TEST_CASE("nothing is made through a symbolic link, neither the socket nor its lock") {
  TempDir dir;
  std::filesystem::create_symlink(dir.file("elsewhere"), dir.file("s"));
  auto file = SocketFile::listen(dir.file("s"));
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().code == Code::permission_denied);
  std::filesystem::create_symlink(dir.file("elsewhere"), dir.file("t.lock"));
  auto other = SocketFile::listen(dir.file("t"));
  REQUIRE_FALSE(other.ok());
  CHECK(other.error().code == Code::permission_denied);
  CHECK_FALSE(std::filesystem::exists(dir.file("elsewhere")));
}

TEST_CASE("a file that is no socket is left alone") {
  TempDir dir;
  UniqueFd made(::open((dir.file("s")).c_str(), O_CREAT | O_WRONLY, 0600));
  auto file = SocketFile::listen(dir.file("s"));
  REQUIRE_FALSE(file.ok());
  CHECK(std::filesystem::is_regular_file(dir.file("s")));
}

TEST_CASE("a path that is too long says so") {
  auto file = SocketFile::listen("/tmp/" + std::string(200, 'x'));
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().code == Code::invalid_params);
}

TEST_CASE("a socket that somebody else put in our place is not removed") {
  TempDir dir;
  auto file = SocketFile::listen(dir.file("s"));
  REQUIRE(file.ok());
  std::filesystem::remove(dir.file("s"));
  leave_stale_socket(dir.file("s"));
  file->remove();
  CHECK(std::filesystem::exists(dir.file("s")));
}
