#include "keeper/table.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "harness.hpp"

using namespace kairo;
using namespace kairo::keeper;

namespace {

struct Place {
  test::TempDir dir;
  UniqueFd file{::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
};

}  // namespace

TEST_CASE("both sides see one table") {
  const Place place;
  auto mine = Table::create(place.file.get());
  REQUIRE(mine.ok());
  auto theirs = Table::open(UniqueFd(::fcntl(mine->file(), F_DUPFD_CLOEXEC, 0)));
  REQUIRE(theirs.ok());
  const std::uint32_t last = mine->slots() - 1;
  CHECK(theirs->slot(last).key == 0);
  mine->slot(last).streams[1].tail = 42;
  CHECK(theirs->slot(last).streams[1].tail == 42);
}

TEST_CASE("a table that is made anew leaves the old one to whoever maps it") {
  const Place place;
  auto old = Table::create(place.file.get());
  REQUIRE(old.ok());
  old->slot(3).key = 9;
  auto fresh = Table::create(place.file.get());
  REQUIRE(fresh.ok());
  CHECK(old->slot(3).key == 9);
  CHECK(fresh->slot(3).key == 0);
}

TEST_CASE("what is no table, or one of another version, is refused") {
  const Place place;
  auto table = Table::create(place.file.get());
  REQUIRE(table.ok());
  SUBCASE("too short") {
    REQUIRE(::ftruncate(table->file(), 8192) == 0);
  }
  SUBCASE("other magic") {
    REQUIRE(::pwrite(table->file(), "X", 1, 0) == 1);
  }
  SUBCASE("other version") {
    REQUIRE(::pwrite(table->file(), "\x63", 1, 8) == 1);
  }
  CHECK_FALSE(Table::open(UniqueFd(::fcntl(table->file(), F_DUPFD_CLOEXEC, 0))).ok());
}
