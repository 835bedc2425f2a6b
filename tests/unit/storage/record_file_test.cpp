#include "storage/record_file.hpp"

#include <atomic>
#include <sys/stat.h>
#include <thread>

#include <doctest/doctest.h>

#include "storage/set_aside.hpp"
#include "unit/storage/rig.hpp"

using namespace kairo;
using storage::Damage;
using storage::header_bytes;
using storage::Kind;
using storage::RecordFile;
using test::Folder;

namespace {

const Kind kind{"KAIROTST", 3};
constexpr std::size_t head = storage::record_head_bytes;

struct Found {
  std::vector<std::string> records;
  std::optional<Damage> damage;
  std::optional<RecordFile> file;
  std::string error;
};

Found open(const Folder& dir, const Kind& as = kind, const std::string& name = "x") {
  Found out;
  auto opened = RecordFile::open(dir.fd(), name, as,
                                 [&](std::string_view payload) { out.records.emplace_back(payload); });
  if (!opened) {
    out.error = opened.error().message;
    return out;
  }
  CHECK(opened->records == out.records.size());
  out.damage = std::move(opened->damage);
  out.file.emplace(std::move(opened->file));
  return out;
}

std::string file_of(const std::vector<std::string>& records, const Kind& as = kind) {
  Folder dir;
  auto made = open(dir, as);
  for (const std::string& each : records) REQUIRE(made.file->append(each).ok());
  return dir.get("x");
}

const std::vector<std::string> three = {"first", "", std::string(300, 'z')};

}  // namespace

TEST_CASE("what was appended is read again, in order, whatever its size") {
  Folder dir;
  std::vector<std::string> records = {"a", "", std::string("\0\n\xff", 3),
                                      std::string(limits::record_bytes, 'm')};
  for (std::size_t i = 0; i < 200; ++i) records.push_back(std::string(i * 37 % 3000, static_cast<char>(i)));
  {
    auto fresh = open(dir);
    CHECK(fresh.records.empty());
    CHECK(fresh.file->empty());
    for (const auto& each : records) REQUIRE(fresh.file->append(each).ok());
    CHECK(fresh.file->bytes() == dir.get("x").size());
    CHECK(fresh.file->boot_id() == storage::machine_boot_id());
  }
  auto again = open(dir);
  CHECK(again.records == records);
  CHECK_FALSE(again.damage);
  REQUIRE(again.file->append("one more").ok());
  CHECK(open(dir).records.size() == records.size() + 1);
  CHECK(dir.names() == std::vector<std::string>{"x"});
}

TEST_CASE("a file is its owner's alone and is not inherited") {
  Folder dir;
  const mode_t before = ::umask(0);
  const auto made = open(dir);
  ::umask(before);
  struct stat status {};
  REQUIRE(::fstat(made.file->fd(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  CHECK((::fcntl(made.file->fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("the form on disk is the documented one") {
  Kind with_boot = kind;
  with_boot.boot_id = "01234567-89ab-cdef-0123-456789abcdef";
  const std::string bytes = file_of({"123456789"}, with_boot);
  CHECK(bytes.substr(0, 12) == std::string("KAIROTST\3\0\0\0", 12));
  CHECK(bytes.substr(12, 36) == with_boot.boot_id);
  CHECK(bytes.substr(48, 16) == std::string(16, '\0'));
  CHECK(bytes.substr(64, 4) == std::string("\x09\0\0\0", 4));
  CHECK(bytes.substr(72) == "123456789");
}

TEST_CASE("a record that is too long is refused and leaves nothing") {
  Folder dir;
  auto made = open(dir);
  auto refused = made.file->append(std::string(limits::record_bytes + 1, 'x'));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Code::limit_exceeded);
  REQUIRE(made.file->append("short").ok());
  CHECK(open(dir).records == std::vector<std::string>{"short"});
}

TEST_CASE("a file torn at any byte of its last record keeps all others and says what is missing") {
  const std::string whole = file_of(three);
  const std::size_t good = whole.size() - head - 300;
  for (std::size_t cut = good; cut < whole.size(); ++cut) {
    CAPTURE(cut);
    Folder dir;
    dir.put("x", whole.substr(0, cut));
    auto found = open(dir);
    REQUIRE(found.file);
    REQUIRE(found.records == std::vector<std::string>{"first", ""});
    REQUIRE(found.damage.has_value() == (cut > good));
    if (found.damage) {
      REQUIRE(found.damage->offset == good);
      REQUIRE(found.damage->bytes == cut - good);
      REQUIRE(found.damage->kept_as == "x.damaged-1");
      REQUIRE(dir.get("x.damaged-1") == whole.substr(good, cut - good));
    }
    REQUIRE(found.file->append("next").ok());
    auto again = open(dir);
    REQUIRE(again.records == std::vector<std::string>{"first", "", "next"});
    REQUIRE_FALSE(again.damage);
  }
}

TEST_CASE("a file torn within its header is set aside and begun anew") {
  const std::string whole = file_of(three);
  for (std::size_t cut = 0; cut < header_bytes; ++cut) {
    CAPTURE(cut);
    Folder dir;
    dir.put("x", whole.substr(0, cut));
    auto found = open(dir);
    REQUIRE(found.file);
    REQUIRE(found.records.empty());
    REQUIRE(found.damage.has_value() == (cut > 0));  // nothing is what a full disk leaves: no damage
    if (cut > 0) REQUIRE(dir.get("x.damaged-1").size() == cut);
    REQUIRE(found.file->append("next").ok());
    REQUIRE(open(dir).records == std::vector<std::string>{"next"});
  }
}

TEST_CASE("a flipped bit loses no record before it, and none is taken for good") {
  const std::string whole = file_of({"first", "second", "third"});
  const std::size_t ends[] = {header_bytes, header_bytes + head + 5, header_bytes + 2 * head + 11,
                              whole.size()};
  for (std::size_t at = 0; at < whole.size(); ++at) {
    const int bit = static_cast<int>(at % 8);
    CAPTURE(at);
    CAPTURE(bit);
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
    Folder dir;
    dir.put("x", bad);
    auto found = open(dir);
    REQUIRE(found.file);
    std::vector<std::string> expected = {"first", "second", "third"};
    if (at < 12) {
      // magic or version: another kind of file, kept as a whole
      expected.clear();
      REQUIRE(found.damage);
      REQUIRE(found.damage->offset == 0);
      REQUIRE(dir.get(found.damage->kept_as) == bad);
    } else if (at < header_bytes) {
      REQUIRE_FALSE(found.damage);
      REQUIRE((found.file->boot_id() == storage::machine_boot_id()) == (at >= 48));
    } else {
      std::size_t record = 0;
      while (ends[record + 1] <= at) ++record;
      expected.resize(record);
      REQUIRE(found.damage);
      REQUIRE(found.damage->offset == ends[record]);
      REQUIRE(dir.get(found.damage->kept_as) == bad.substr(ends[record]));
    }
    REQUIRE(found.records == expected);
    REQUIRE(found.file->append("next").ok());
    expected.emplace_back("next");
    auto again = open(dir);
    REQUIRE_FALSE(again.damage);
    REQUIRE(again.records == expected);
  }
}

TEST_CASE("a length of 4 GiB is damage and costs no memory") {
  for (const char* length : {"\xff\xff\xff\xff", "\xff\xff\xff\x7f", "\x01\x00\x10\x00"}) {
    Folder dir;
    dir.put("x", file_of({"good"}) + std::string(length, 4) + std::string(2 << 20, 'x'));
    const auto found = open(dir);
    CHECK(found.records == std::vector<std::string>{"good"});
    REQUIRE(found.damage);
    CHECK(found.damage->why == "a record claims to be longer than any is");
    CHECK(found.damage->bytes == (2 << 20) + 4);
  }
}

TEST_CASE("a tail of zeros, as a power loss leaves it, is no record") {
  Folder dir;
  dir.put("x", file_of({"good"}) + std::string(4096, '\0'));
  const auto found = open(dir);
  CHECK(found.records == std::vector<std::string>{"good"});
  REQUIRE(found.damage);
  CHECK(found.damage->text() ==
        "\"x\" is damaged at byte 76: a record's checksum is wrong; 4096 bytes were set aside as "
        "\"x.damaged-1\"");
}

TEST_CASE("another version is set aside, not read") {
  Folder dir;
  dir.put("x", file_of(three, Kind{"KAIROTST", 4}));
  auto found = open(dir);
  CHECK(found.records.empty());
  REQUIRE(found.damage);
  CHECK(found.damage->why == "it is of another version");
  CHECK(dir.names() == std::vector<std::string>{"x", "x.damaged-1"});
}

TEST_CASE("no more than eight damaged files are kept, the newest ones") {
  Folder dir;
  for (int i = 0; i < 20; ++i) {
    dir.put("x", "no such file, number " + std::to_string(i));
    const auto found = open(dir);
    REQUIRE(found.damage);
    std::this_thread::sleep_for(std::chrono::milliseconds(12));  // the file system's clock has ticked
  }
  std::vector<std::string> kept;
  for (const auto& name : dir.names())
    if (storage::is_set_aside(name)) kept.push_back(dir.get(name).substr(21));
  std::sort(kept.begin(), kept.end());
  CHECK(kept == std::vector<std::string>{"12", "13", "14", "15", "16", "17", "18", "19"});
  storage::prune_set_aside(dir.fd(), 3);
  CHECK(dir.names().size() == 4);
  CHECK(dir.has("x"));
}

TEST_CASE("the names of what is set aside are told from others") {
  CHECK(storage::is_set_aside("x.damaged-1"));
  CHECK(storage::is_set_aside("000.events.damaged-8"));
  for (const char* other : {"", "x", "x.damaged", "x.damaged-", "x.damaged-1a", ".damaged-1"})
    CHECK_FALSE(storage::is_set_aside(other));
}

TEST_CASE("what is no plain file is refused and left as it is") {
  Folder dir;
  dir.put("target", "precious");
  REQUIRE(::symlinkat("target", dir.fd(), "x") == 0);
  CHECK(open(dir).error.find("symbolic link") != std::string::npos);
  REQUIRE(::symlinkat("nowhere", dir.fd(), "dangling") == 0);
  CHECK_FALSE(open(dir, kind, "dangling").file);
  REQUIRE(::mkdirat(dir.fd(), "folder", 0700) == 0);
  CHECK_FALSE(open(dir, kind, "folder").file);
  REQUIRE(::mkfifoat(dir.fd(), "fifo", 0600) == 0);
  CHECK_FALSE(open(dir, kind, "fifo").file);
  CHECK_FALSE(open(dir, kind, "no/such/folder").file);
  CHECK_FALSE(open(dir, Kind{"SHORT", 1}).file);
  CHECK(dir.get("target") == "precious");
  CHECK_FALSE(dir.has("nowhere"));
}

TEST_CASE("a full disk fails appends by name and number, and loses nothing") {
  const int wrong = test::in_child([] {
    Folder dir;
    auto made = open(dir);
    if (!made.file->append("before").ok()) return 1;
    const auto good = made.file->bytes();
    for (rlim_t room = 0; room < 40; ++room) {
      test::limit_files(good + room);
      const auto refused = made.file->append(std::string(32, 'x'));
      if (refused.ok()) return 2;
      if (refused.error().code != Code::internal) return 3;
      if (refused.error().message.find("\"x\"") == std::string::npos) return 4;
      if (refused.error().message.find("EFBIG") == std::string::npos) return 5;
      if (made.file->torn() || made.file->bytes() != good) return 6;
      if (dir.get("x").size() != good) return 7;
    }
    test::limit_files(RLIM_INFINITY);
    if (!made.file->append("after").ok()) return 8;
    const auto again = open(dir);
    if (again.damage || again.records != std::vector<std::string>{"before", "after"}) return 9;
    return 0;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a disk that is full from the beginning is no reason not to start") {
  const int wrong = test::in_child([] {
    Folder dir;
    for (rlim_t room : {0, 1, 63}) {
      test::limit_files(room);
      auto made = open(dir);
      if (!made.file || made.damage) return 1;
      if (made.file->append("x").ok()) return 2;
      if (made.file->bytes() != 0 || !dir.get("x").empty()) return 3;
      test::limit_files(RLIM_INFINITY);
      if (!made.file->append("y").ok()) return 4;
      if (open(dir).records != std::vector<std::string>{"y"}) return 5;
      dir.remove("x");
    }
    return 0;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a damaged tail that cannot be kept for want of room is cut off and told") {
  const int wrong = test::in_child([] {
    Folder dir;
    dir.put("x", file_of({"good"}) + std::string(5000, 'x'));
    test::limit_files(1000);
    auto found = open(dir);
    test::limit_files(RLIM_INFINITY);
    if (!found.file || !found.damage) return 1;
    if (!found.damage->kept_as.empty() || found.damage->not_kept.empty()) return 2;
    if (found.records != std::vector<std::string>{"good"} || dir.names().size() != 1) return 3;
    if (!found.file->append("next").ok()) return 4;
    const auto again = open(dir);
    return again.damage || again.records.size() != 2 ? 5 : 0;
  });
  CHECK(wrong == 0);
}

TEST_CASE("a file that forgets its boot keeps its records") {
  Folder dir;
  auto made = open(dir);
  REQUIRE(made.file->append("a").ok());
  made.file->forget_boot();
  REQUIRE(made.file->append("b").ok());
  CHECK(made.file->boot_id().empty());
  const auto again = open(dir);
  CHECK(again.file->boot_id().empty());
  CHECK(again.records == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(again.damage);
}

TEST_CASE("a reader sees what is whole, changes nothing and stops when told") {
  Folder dir;
  auto made = open(dir);
  for (const auto& each : three) REQUIRE(made.file->append(each).ok());
  const auto end = made.file->bytes();
  REQUIRE(made.file->append("later").ok());
  std::vector<std::string> got;
  const auto collect = [&](std::string_view payload) {
    got.emplace_back(payload);
    return true;
  };
  auto read = RecordFile::read(dir.fd(), "x", kind, end, collect);
  REQUIRE(read.ok());
  CHECK(got == three);
  CHECK(read->end == end);
  CHECK(read->boot_id == storage::machine_boot_id());
  CHECK_FALSE(read->damage);

  got.clear();
  read = RecordFile::read(dir.fd(), "x", kind, UINT64_MAX, [&](std::string_view payload) {
    got.emplace_back(payload);
    return got.size() < 2;
  });
  REQUIRE(read.ok());
  CHECK(got.size() == 2);

  dir.put("bad", dir.get("x") + "rubbish");
  got.clear();
  read = RecordFile::read(dir.fd(), "bad", kind, UINT64_MAX, collect);
  REQUIRE(read.ok());
  CHECK(got.size() == 4);
  REQUIRE(read->damage);
  CHECK(read->damage->bytes == 7);
  CHECK(dir.names() == std::vector<std::string>{"bad", "x"});

  read = RecordFile::read(dir.fd(), "gone", kind, UINT64_MAX, collect);
  REQUIRE_FALSE(read.ok());
  CHECK(read.error().code == Code::not_found);
}

TEST_CASE("sync works beside appends and rewrites") {
  Folder dir;
  auto made = open(dir);
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0, synced = 0;
  std::thread worker([&] {
    while (!done || synced == 0) {
      if (!made.file->sync().ok()) ++failed;
      ++synced;
    }
  });
  for (int i = 0; i < 300; ++i) {
    REQUIRE(made.file->append("record").ok());
    if (i % 100 == 0) REQUIRE(made.file->rewrite(three).ok());
  }
  done = true;
  worker.join();
  CHECK(failed == 0);
  CHECK(open(dir).records.size() == three.size() + 99);
}
