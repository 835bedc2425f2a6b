#include "audit/trail.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "audit/files.hpp"
#include "storage/set_aside.hpp"

namespace kairo::audit {
namespace {

/// Before a disk that refused a record is tried again.
constexpr std::chrono::milliseconds retry_delay{100};
/// What is read of a file's end at first: all that the last lines can take.
constexpr std::uint64_t tail_bytes = 2 * limits::audit_line_bytes;
/// Parts of the longest age after which a file is left, so that age removes files in steps.
constexpr int age_parts = 8;

Result<std::string> read_from(int file, std::uint64_t from, std::uint64_t to) {
  std::string out(to - from, '\0');
  for (std::size_t have = 0; have < out.size();) {
    const ssize_t got = ::pread(file, out.data() + have, out.size() - have, static_cast<off_t>(from + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return system_error("cannot read the audit", got < 0 ? errno : EIO);
    have += static_cast<std::size_t>(got);
  }
  return out;
}

Head head_of(const Line& line) {
  Head out;
  out.seq = line.seq;
  std::copy(line.hash.begin(), line.hash.end(), out.hash.begin());
  return out;
}

/// The last sound line of a file, and where it ends: `end` stays 0 where there is none.
struct End {
  std::uint64_t end = 0;
  Head head;
};
Result<End> find_end(int file, std::uint64_t size) {
  for (std::uint64_t window = tail_bytes;; window *= 8) {
    const std::uint64_t from = size > window ? size - window : 0;
    auto text = read_from(file, from, size);
    if (!text) return std::move(text).error();
    std::string_view rest = *text;
    for (std::size_t newline; (newline = rest.rfind('\n')) != std::string_view::npos;) {
      rest = rest.substr(0, newline);
      const std::size_t before = rest.rfind('\n');
      if (before == std::string_view::npos && from > 0) break;  // it may begin in front of the window
      const std::string_view line = before == std::string_view::npos ? rest : rest.substr(before + 1);
      const auto read = read_line(line);
      if (read && is_sound(line, *read)) return End{from + newline + 1, head_of(*read)};
    }
    if (from == 0) return End{};
  }
}

}  // namespace

Trail::Trail(std::string state_dir, Bounds bounds, std::optional<Head> known)
    : state_dir_(std::move(state_dir)), bounds_(bounds), known_(known) {}

// --- records -----------------------------------------------------------------------------------------

bool Trail::begin(SystemTime now) {
  if (pending_.empty()) {
    const bool full = file_ && (size_ >= bounds_.file_bytes || now - file_begun_ > bounds_.age / age_parts);
    if ((!file_ || full) && (!failing_ || SteadyClock::now() >= retry_at_)) {
      auto opened = file_ ? begin_file(now) : open(now);
      if (!opened) static_cast<void>(fail(std::move(opened).error()));
    }
  }
  if (!numbered_ || pending_.size() > limits::audit_pending_bytes) {
    ++lost_;
    return false;
  }
  if (lost_ > 0 && !failing_) {
    begin_event(now, "kairo.audit.lost");
    append_member(pending_, "records", std::exchange(lost_, 0));
    end();
  }
  begin_line(now);
  return true;
}

void Trail::begin_line(SystemTime now) {
  begun_ = pending_.size();
  pending_ += "{\"seq\":";
  append_number(pending_, newest_.seq + 1);
  pending_ += ",\"time\":\"";
  stamp_.append(pending_, now);
  pending_ += '"';
}

void Trail::end() {
  newest_.hash = seal(pending_, begun_, newest_.hash);
  ++newest_.seq;
}

void Trail::begin_event(SystemTime now, std::string_view event) {
  begin_line(now);
  append_member(pending_, "event", event);
}

Result<void> Trail::write() {
  if (pending_.empty()) return {};
  if (failing_ && SteadyClock::now() < retry_at_) return *failing_;
  if (!file_)
    if (auto opened = open(system_now()); !opened) return fail(std::move(opened).error());
  std::size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t put = ::write(file_.get(), pending_.data() + done, pending_.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      const int error = put < 0 ? errno : ENOSPC;
      // Whole lines stay; what is left of one is cut off, so that it can be written again.
      const std::size_t newline = done > 0 ? pending_.rfind('\n', done - 1) : std::string::npos;
      const std::size_t whole = newline == std::string::npos ? 0 : newline + 1;
      if (done > whole && ::ftruncate(file_.get(), static_cast<off_t>(size_ + whole)) != 0) leave_file();
      if (whole > 0) {
        const std::size_t before = whole < 2 ? std::string::npos : pending_.rfind('\n', whole - 2);
        const std::size_t begin = before == std::string::npos ? 0 : before + 1;
        if (const auto last = read_line(std::string_view(pending_).substr(begin, whole - 1 - begin)))
          written_ = head_of(*last);
        unsynced_ = true;
      }
      size_ += whole;
      pending_.erase(0, whole);
      return fail(system_error("cannot write " + state_dir_ + "/" + folder_name + "/" + name_, error));
    }
    done += static_cast<std::size_t>(put);
  }
  size_ += done;
  written_ = newest_;
  pending_.clear();
  if (pending_.capacity() > 2 * limits::audit_pending_bytes) pending_.shrink_to_fit();
  unsynced_ = true;
  failing_.reset();
  return {};
}

Result<void> Trail::ready() {
  if (failing_ && SteadyClock::now() < retry_at_) return *failing_;
  if (!file_)
    if (auto opened = open(system_now()); !opened) return fail(std::move(opened).error());
  if (auto written = write(); !written) return written;
  failing_.reset();
  return {};
}

Result<void> Trail::reserve() {
  if (failing_ || !file_)
    if (auto good = ready(); !good) return good;
  const std::uint64_t end = size_ + pending_.size();
  if (end + limits::audit_reserve_bytes / 2 <= reserved_) return {};
  // A file system that knows no such thing keeps what it is given as well as it can.
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end), limits::audit_reserve_bytes) !=
          0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EROFS))
    return fail(system_error("there is no room for " + state_dir_ + "/" + folder_name + "/" + name_, errno));
  reserved_ = end + limits::audit_reserve_bytes;
  failing_.reset();
  return {};
}

Result<void> Trail::look() {
  if (!file_) return {};
  const std::string path = state_dir_ + "/" + folder_name + "/" + name_;
  struct stat ours {
  }, there{};
  if (::fstat(file_.get(), &ours) == 0 && ::lstat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
      ours.st_dev == there.st_dev)
    return {};
  leave_file();
  folder_.reset();
  return Error(Code::internal,
               path + " was removed, and with it records of the audit; it goes on in another file");
}

Error Trail::fail(Error error) {
  failing_ = error;
  retry_at_ = SteadyClock::now() + retry_delay;
  return error;
}

std::vector<UniqueFd> Trail::take_unsynced() {
  std::vector<UniqueFd> out = std::move(left_);
  left_.clear();
  if (std::exchange(unsynced_, false) && file_)
    if (UniqueFd own(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3)); own) out.push_back(std::move(own));
  return out;
}

std::vector<std::string> Trail::take_doomed() {
  std::vector<std::string> out;
  if (!pending_.empty()) return out;
  for (const std::uint64_t each : std::exchange(chosen_, {})) out.push_back(file_name(each));
  return out;
}

UniqueFd Trail::folder() const {
  return UniqueFd(::fcntl(folder_.get(), F_DUPFD_CLOEXEC, 3));
}

std::vector<std::string> Trail::take_findings() {
  return std::exchange(findings_, {});
}

// --- files -------------------------------------------------------------------------------------------

Result<void> Trail::open(SystemTime now) {
  const std::string path = state_dir_ + "/" + folder_name;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_error("cannot make " + path, errno);
  auto folder = open_folder(state_dir_);
  if (!folder) return std::move(folder).error();
  folder_ = std::move(*folder);
  if (!numbered_)
    if (auto found = find_newest(now); !found) return found;
  if (file_) return {};
  return begin_file(now);
}

/// Goes on in the newest file that has a sound record.
Result<void> Trail::find_newest(SystemTime now) {
  auto files = list_files(folder_.get());
  if (!files) return std::move(files).error();
  files_ = std::move(*files);
  while (!files_.empty()) {
    auto went = go_on_in(files_.back(), now);
    if (!went) return std::move(went).error();
    if (*went) break;
    files_.pop_back();
  }
  numbered_ = true;
  tell_truncation(now);
  return {};
}

/// False where the file holds no record; it is out of the way then.
Result<bool> Trail::go_on_in(std::uint64_t first, SystemTime now) {
  const std::string name = file_name(first);
  UniqueFd file(::openat(folder_.get(), name.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0)
    return system_error("cannot open the audit's " + name, errno);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  auto end = find_end(file.get(), size);
  if (!end) return std::move(end).error();
  std::string aside;
  if (end->end < size) {
    auto kept = end->end == 0 ? storage::set_aside_file(folder_.get(), name)
                              : storage::set_aside_bytes(folder_.get(), name, file.get(), end->end, size);
    if (!kept) return std::move(kept).error();
    aside = std::move(*kept);
    findings_.push_back("the audit's " + name + " ends with " + std::to_string(size - end->end) +
                        " bytes that are no record; they were set aside as \"" + aside + "\"");
    if (end->end > 0 && ::ftruncate(file.get(), static_cast<off_t>(end->end)) != 0)
      return system_error("cannot cut the audit's " + name, errno);
  } else if (size == 0) {
    ::unlinkat(folder_.get(), name.c_str(), 0);
  }
  if (end->end == 0) return false;

  newest_ = written_ = end->head;
  const std::string line = first_line(file.get());
  first_ = claimed_first(line).value_or(files_.front());
  file_begun_ = now;
  if (const auto read = read_line(line)) from_iso8601(read->time, file_begun_);
  file_ = std::move(file);
  name_ = name;
  size_ = reserved_ = end->end;
  if (!aside.empty()) {
    begin_event(now, "kairo.audit.recovered");
    append_member(pending_, "file", aside);
    append_member(pending_, "bytes", size - end->end);
    this->end();
  }
  return true;
}

/// Records that were there are not: the numbers go on behind them.
void Trail::tell_truncation(SystemTime now) {
  if (!known_ || known_->seq <= newest_.seq) return;
  const std::uint64_t from = newest_.seq + 1;
  findings_.push_back("records " + std::to_string(from) + " to " + std::to_string(known_->seq) +
                      " of the audit are missing: its files were cut or removed");
  newest_ = *known_;
  if (pending_.empty()) written_ = newest_;
  begin_event(now, "kairo.audit.gap");
  append_member(pending_, "fromSeq", from);
  append_member(pending_, "toSeq", known_->seq);
  end();
}

Result<void> Trail::begin_file(SystemTime now) {
  // What waits comes first.
  std::uint64_t first = newest_.seq + 1;
  if (!pending_.empty())
    if (const auto line = read_line(std::string_view(pending_).substr(0, pending_.find('\n'))))
      first = line->seq;
  const std::string name = file_name(first);
  UniqueFd file;
  for (int attempt = 0; !file; ++attempt) {
    file.reset(::openat(folder_.get(), name.c_str(),
                        O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file) break;
    if (errno != EEXIST || attempt > 0) return system_error("cannot make the audit's " + name, errno);
    auto moved = storage::set_aside_file(folder_.get(), name);
    if (!moved) return std::move(moved).error();
    findings_.push_back("a file was in the audit's way; it was set aside as \"" + *moved + "\"");
  }
  leave_file();
  file_ = std::move(file);
  name_ = name;
  size_ = reserved_ = 0;
  file_begun_ = now;
  files_.push_back(first);
  choose_doomed(now);
  begin_event(now, "kairo.audit.opened");
  append_member(pending_, "firstSeq", first_);
  end();
  return {};
}

void Trail::choose_doomed(SystemTime now) {
  std::size_t gone = files_.size() > bounds_.files ? files_.size() - bounds_.files : 0;
  for (; gone + 1 < files_.size(); ++gone) {
    struct stat status {};
    if (::fstatat(folder_.get(), file_name(files_[gone]).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) break;
    if (SystemTime(std::chrono::seconds(status.st_mtim.tv_sec)) > now - bounds_.age) break;
  }
  if (gone == 0) return;
  const auto end = files_.begin() + static_cast<std::ptrdiff_t>(gone);
  chosen_.insert(chosen_.end(), files_.begin(), end);
  files_.erase(files_.begin(), end);
  first_ = files_.front();
}

void Trail::leave_file() {
  if (!file_) return;
  // What was reserved and not used is given back.
  if (reserved_ > size_) static_cast<void>(::ftruncate(file_.get(), static_cast<off_t>(size_)));
  left_.push_back(std::move(file_));
  file_.reset();
}

}  // namespace kairo::audit
