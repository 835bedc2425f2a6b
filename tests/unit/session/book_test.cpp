#include "session/book.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <map>

#include <doctest/doctest.h>

#include "support/temp_dir.hpp"

using namespace kairo;
using session::Book;
using session::Entry;

namespace {

struct Dir : test::TempDir {
  [[nodiscard]] std::size_t segments() const {
    std::size_t count = 0;
    for (const auto& each : std::filesystem::directory_iterator(file("sessions")))
      count += each.path().extension() == ".sessions";
    return count;
  }
};

Entry entry(std::uint64_t key, const std::string& id) {
  Entry out;
  out.key = key;
  out.record.id = id;
  out.record.argv = {"sleep", "1"};
  out.pid = 42;
  return out;
}

std::map<std::uint64_t, Entry> read(const Dir& dir) {
  std::map<std::uint64_t, Entry> out;
  auto opened = Book::open(dir.fd(), [&](Entry each) {
    const std::uint64_t key = each.key;
    if (each.forgotten)
      out.erase(key);
    else
      out.insert_or_assign(key, std::move(each));
  });
  REQUIRE(opened.ok());
  CHECK(opened->damages.empty());
  return out;
}

}  // namespace

TEST_CASE("the last that was written of a session is what is found again") {
  const Dir dir;
  {
    auto opened = Book::open(dir.fd(), [](Entry) {});
    REQUIRE(opened.ok());
    REQUIRE(opened->book.append(entry(1, "one")).ok());
    REQUIRE(opened->book.append(entry(2, "two")).ok());
    REQUIRE(opened->book.append(entry(3, "three")).ok());
    Entry ended = entry(2, "two");
    ended.note.end_reason = api::EndReason::canceled;
    ended.remains.emplace();
    ended.remains->wait_status = 15;
    ended.remains->standard_output.tail = 77;
    REQUIRE(opened->book.append(ended).ok());
    REQUIRE(opened->book.append(session::forgotten(3)).ok());
  }
  const auto found = read(dir);
  REQUIRE(found.size() == 2);
  CHECK(found.at(1).record.id == "one");
  CHECK_FALSE(found.at(1).remains);
  REQUIRE(found.at(2).remains);
  CHECK(found.at(2).remains->wait_status == 15);
  CHECK(found.at(2).remains->standard_output.tail == 77);
  CHECK(found.at(2).note.end_reason == api::EndReason::canceled);
}

TEST_CASE("a compaction loses nothing, whether or not it was finished") {
  const Dir dir;
  bool finished = false;
  SUBCASE("finished") {
    finished = true;
  }
  SUBCASE("killed before the older segment was removed"){} {
    auto opened = Book::open(dir.fd(), [](Entry) {});
    REQUIRE(opened.ok());
    for (std::uint64_t key = 1; key <= 50; ++key)
      REQUIRE(opened->book.append(entry(key, "s" + std::to_string(key))).ok());
    for (std::uint64_t key = 11; key <= 50; ++key) REQUIRE(opened->book.append(session::forgotten(key)).ok());
    std::vector<Entry> left;
    for (std::uint64_t key = 1; key <= 10; ++key) left.push_back(entry(key, "s" + std::to_string(key)));
    REQUIRE(opened->book.begin_compaction().ok());
    for (const Entry& each : left) REQUIRE(opened->book.append(each).ok());
    auto rest = opened->book.end_compaction();
    REQUIRE(opened->book.append(entry(51, "after")).ok());
    if (finished) {
      REQUIRE(rest().ok());
      CHECK(dir.segments() == 1);
    }
  }
  const auto found = read(dir);
  CHECK(found.size() == 11);
  CHECK(found.contains(1));
  CHECK(found.contains(51));
}

TEST_CASE("a compaction is wanted when much was written, and not again at once") {
  const Dir dir;
  auto opened = Book::open(dir.fd(), [](Entry) {});
  REQUIRE(opened.ok());
  Entry large = entry(1, "large");
  large.record.argv.push_back(std::string(200'000, 'x'));
  CHECK_FALSE(opened->book.wants_compaction());
  for (int i = 0; i < 30; ++i) REQUIRE(opened->book.append(large).ok());
  CHECK(opened->book.wants_compaction());
  REQUIRE(opened->book.begin_compaction().ok());
  REQUIRE(opened->book.append(large).ok());
  static_cast<void>(opened->book.end_compaction());
  CHECK_FALSE(opened->book.wants_compaction());
}

TEST_CASE("a damaged entry costs itself and is told") {
  const Dir dir;
  {
    auto opened = Book::open(dir.fd(), [](Entry) {});
    REQUIRE(opened.ok());
    REQUIRE(opened->book.append(entry(1, "one")).ok());
    REQUIRE(opened->book.append(entry(2, "two")).ok());
  }
  for (const auto& each : std::filesystem::directory_iterator(dir.file("sessions")))
    std::filesystem::resize_file(each.path(), std::filesystem::file_size(each.path()) - 1);
  std::vector<std::uint64_t> keys;
  auto opened = Book::open(dir.fd(), [&](Entry each) { keys.push_back(each.key); });
  REQUIRE(opened.ok());
  CHECK(keys == std::vector<std::uint64_t>{1});
  CHECK(opened->damages.size() == 1);
  REQUIRE(opened->book.append(entry(3, "three")).ok());
}
