#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <utility>

#include <doctest/doctest.h>

using namespace kairo;

namespace {
bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}
UniqueFd open_null() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}
}  // namespace

TEST_CASE("a descriptor is closed at the end of its owner") {
  int borrowed = -1;
  {
    const UniqueFd fd = open_null();
    REQUIRE(fd);
    borrowed = fd.get();
    CHECK(is_open(borrowed));
  }
  CHECK_FALSE(is_open(borrowed));
}

TEST_CASE("moving hands the descriptor over and closes what stood there") {
  UniqueFd first = open_null();
  UniqueFd second = open_null();
  const int kept = first.get(), closed = second.get();
  second = std::move(first);
  CHECK(second.get() == kept);
  CHECK(is_open(kept));
  CHECK_FALSE(is_open(closed));
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): a moved-from owner owns nothing
}

TEST_CASE("moving onto itself keeps the descriptor") {
  UniqueFd fd = open_null();
  UniqueFd& same = fd;
  fd = std::move(same);
  CHECK(is_open(fd.get()));
}

TEST_CASE("release gives the descriptor away without closing it") {
  UniqueFd fd = open_null();
  const int raw = fd.release();
  CHECK_FALSE(fd);
  CHECK(is_open(raw));
  ::close(raw);
}

TEST_CASE("reset to the descriptor already owned keeps it open") {
  UniqueFd fd = open_null();
  fd.reset(fd.get());
  CHECK(is_open(fd.get()));
}
