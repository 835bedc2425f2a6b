#include "session/book.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "wire/payload.hpp"

namespace kairo::session {
namespace {

constexpr const char* folder = "sessions";
constexpr std::string_view suffix = ".sessions";
constexpr std::size_t number_digits = 20;
/// Below this a compaction is not worth its sync.
constexpr std::uint64_t compaction_bytes = 4u << 20;
/// What is kept of a command line.
constexpr std::size_t argv_bytes = limits::record_bytes / 2;

storage::Kind kind() {
  return {"KAIROSES", 1, {}};
}

std::string segment_name(std::uint64_t number) {
  char text[48];
  std::snprintf(text, sizeof text, "%020llu%s", static_cast<unsigned long long>(number), suffix.data());
  return text;
}

/// Numbers of the segments that there are, in order.
Result<std::vector<std::uint64_t>> segments(int dir) {
  std::vector<std::uint64_t> out;
  const int again = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = again >= 0 ? ::fdopendir(again) : nullptr;
  if (!listing) {
    const int failed = errno;
    if (again >= 0) ::close(again);
    return system_error("cannot read the directory of sessions", failed);
  }
  while (const dirent* each = ::readdir(listing)) {
    const std::string_view name = each->d_name;
    if (name.size() != number_digits + suffix.size() || !name.ends_with(suffix)) continue;
    if (!std::all_of(name.begin(), name.begin() + number_digits, [](char c) { return c >= '0' && c <= '9'; }))
      continue;
    out.push_back(std::strtoull(std::string(name.substr(0, number_digits)).c_str(), nullptr, 10));
  }
  ::closedir(listing);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Entry entry_of(const Session& session) {
  Entry out;
  out.key = session.key();
  out.record = session.record();
  // A record has its bound; a command line may be longer, and is then kept by its beginning.
  std::size_t bytes = 0;
  auto& argv = out.record.argv;
  argv.erase(std::find_if(argv.begin(), argv.end(),
                          [&](const std::string& word) { return (bytes += word.size() + 8) > argv_bytes; }),
             argv.end());
  out.pid = session.pid();
  out.started_us = static_cast<std::uint64_t>(session.started_at().time_since_epoch().count());
  out.started_boot_us = session.started_boot_us();
  out.boot = boot_mark();
  out.slot = session.slot_index();
  out.note = session.note();
  if (session.ended())
    out.remains = session.remains();
  else
    out.denied_accesses = session.denied_accesses();
  return out;
}

Entry forgotten(std::uint64_t key) {
  Entry out;
  out.key = key;
  out.forgotten = true;
  return out;
}

Result<Book::Opened> Book::open(int state_dir, const std::function<void(Entry)>& each) {
  if (::mkdirat(state_dir, folder, 0700) != 0 && errno != EEXIST)
    return system_error("cannot make the directory \"sessions\" in the state directory", errno);
  UniqueFd dir(::openat(state_dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!dir) return system_error("cannot open the directory \"sessions\" in the state directory", errno);

  std::vector<std::string> damages;
  wire::PayloadDecoder decoder;
  const auto read = [&](std::string_view payload) {
    auto object = decoder.decode(payload);
    auto entry = object ? reflect::from_object<Entry>(*object, "entry", reflect::Unknown::ignore)
                        : Result<Entry>(object.error());
    if (entry)
      each(std::move(*entry));
    else
      damages.push_back("a session on record cannot be read: " + entry.error().message);
  };
  auto listed = segments(dir.get());
  if (!listed) return std::move(listed).error();
  std::vector<std::uint64_t> numbers = std::move(*listed);
  if (numbers.empty()) numbers.push_back(1);
  for (;;) {
    const std::uint64_t number = numbers.front();
    auto opened = storage::RecordFile::open(dir.get(), segment_name(number), kind(), read);
    if (!opened) return std::move(opened).error();
    if (opened->damage) damages.push_back(opened->damage->text());
    numbers.erase(numbers.begin());
    if (!numbers.empty()) continue;
    return Opened{Book(std::move(dir), std::move(opened->file), number), std::move(damages)};
  }
}

Result<void> Book::append(const Entry& entry) {
  return file_->append(reflect::to_msgpack(entry));
}

bool Book::wants_compaction() const {
  return file_->bytes() > std::max(compaction_bytes, 3 * compacted_bytes_);
}

Result<void> Book::begin_compaction() {
  const std::uint64_t number = number_ + 1;
  auto opened = storage::RecordFile::open(dir_->get(), segment_name(number), kind(), [](std::string_view) {});
  if (!opened) return std::move(opened).error();
  file_ = std::make_shared<storage::RecordFile>(std::move(opened->file));
  number_ = number;
  return {};
}

std::function<Result<void>()> Book::end_compaction() {
  compacted_bytes_ = file_->bytes();
  return [file = file_, number = number_, dir = dir_]() -> Result<void> {
    auto synced = file->sync();
    if (!synced) return synced;
    auto olds = segments(dir->get());
    if (!olds) return std::move(olds).error();
    for (const std::uint64_t old : *olds)
      if (old < number) ::unlinkat(dir->get(), segment_name(old).c_str(), 0);
    return {};
  };
}

}  // namespace kairo::session
