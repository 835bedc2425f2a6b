#include "storage/record_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "storage/set_aside.hpp"

namespace kairo::storage {
namespace {

std::string quoted(std::string_view name) {
  return "\"" + std::string(name) + "\"";
}

std::string beside(const std::string& name) {
  return name + ".new";
}

/// Writes all of it at `at`; errno of what refused it, or 0.
int write_at(int file, std::string_view head, std::string_view payload, std::uint64_t at) {
  while (!head.empty() || !payload.empty()) {
    std::array<iovec, 2> parts = {iovec{const_cast<char*>(head.data()), head.size()},
                                  iovec{const_cast<char*>(payload.data()), payload.size()}};
    const ssize_t put = ::pwritev(file, parts.data(), parts.size(), static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    // A short write is asked for its rest, which goes through or names the reason.
    if (put == 0) return EIO;
    const auto done = static_cast<std::size_t>(put);
    const std::size_t of_head = std::min(done, head.size());
    head.remove_prefix(of_head);
    payload.remove_prefix(done - of_head);
    at += done;
  }
  return 0;
}

Result<HeaderCheck> read_header(int file, const std::string& name, const Kind& kind) {
  std::array<char, header_bytes> bytes;
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::pread(file, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("cannot read " + quoted(name), errno);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return check_header({bytes.data(), have}, kind);
}

/// Opens what is there, if it is a plain file. O_NONBLOCK: a FIFO must not hold us up before it is refused.
Result<UniqueFd> open_plain(int dir, const std::string& name, int flags, std::uint64_t& size) {
  UniqueFd file(::openat(dir, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
  if (!file) {
    const int error = errno;
    if (error == ENOENT) return system_error("cannot open " + quoted(name), error, Code::not_found);
    if (error == ELOOP) return system_error("cannot open " + quoted(name) + ": it is a symbolic link", error);
    return system_error("cannot open " + quoted(name), error);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error("cannot look at " + quoted(name), errno);
  if (!S_ISREG(status.st_mode))
    return Error(Code::internal, "cannot use " + quoted(name) + ": it is no plain file");
  size = static_cast<std::uint64_t>(status.st_size);
  return file;
}

}  // namespace

std::string Damage::text() const {
  std::string out = quoted(file) + " is damaged at byte " + std::to_string(offset) + ": " + why + "; ";
  out += std::to_string(bytes) + " bytes ";
  if (!kept_as.empty()) return out + "were set aside as " + quoted(kept_as);
  if (!not_kept.empty()) return out + "were left out and could not be kept: " + not_kept;
  return out + "were passed over";
}

RecordFile::RecordFile(UniqueFd dir, std::string name, const Kind& kind)
    : dir_(std::move(dir)), name_(std::move(name)), kind_(kind) {
  if (kind_.boot_id.empty()) kind_.boot_id = machine_boot_id();
}

void RecordFile::use(UniqueFd file) {
  auto next = std::make_shared<const UniqueFd>(std::move(file));
  const std::lock_guard lock(*exchange_);
  file_.swap(next);
}

Result<RecordFile::Opened> RecordFile::open(int dir_fd, std::string name, const Kind& kind,
                                            const std::function<void(std::string_view payload)>& each) {
  if (kind.magic.size() != 8)
    return Error(Code::internal, "cannot open " + quoted(name) + ": its magic must have eight bytes");
  UniqueFd dir(::fcntl(dir_fd, F_DUPFD_CLOEXEC, 3));
  if (!dir) return system_error("cannot open " + quoted(name) + ": no descriptor for its directory", errno);
  Opened out{RecordFile(std::move(dir), std::move(name), kind), std::nullopt, 0, false, false};
  RecordFile& self = out.file;
  ::unlinkat(self.dir_.get(), beside(self.name_).c_str(), 0);  // what a crash left of a rewrite

  std::uint64_t size = 0;
  auto file = open_plain(self.dir_.get(), self.name_, O_RDWR, size);
  if (!file && file.error().code != Code::not_found) return std::move(file).error();
  out.created = !file.ok();
  if (file && size > 0) {
    // An unreadable header counts as a wrong one: the bytes are kept, and the daemon starts.
    auto header = read_header(file->get(), self.name_, self.kind_);
    std::string unreadable = header ? "" : header.error().message;
    const char* problem = header ? header->problem : unreadable.c_str();
    ScanEnd at;
    if (!problem) {
      at = scan_records(file->get(), size, [&](std::string_view payload) {
        each(payload);
        return true;
      });
      if (at.error != 0) {
        // Cutting the file where the disk refuses to read it might destroy what it gives back tomorrow.
        unreadable = "it cannot be read: " + describe_errno(at.error);
        problem = unreadable.c_str();
      }
    }
    if (!problem) {
      self.boot_id_ = header->boot_id;
      self.end_ = at.end;
      self.use(std::move(*file));
      out.records = at.records;
      if (at.problem) self.cut_tail(at, size, out.damage);
      return out;
    }
    auto moved = set_aside_file(self.dir_.get(), self.name_);
    if (!moved) return std::move(moved).error();
    out.damage = Damage{self.name_, 0, size, problem, std::move(*moved), ""};
    out.records = 0;
    file = Error(Code::not_found, "");
  }
  if (!file) {
    file = open_plain(self.dir_.get(), self.name_, O_RDWR | O_CREAT | O_EXCL, size);
    if (!file) return std::move(file).error();
  }
  self.use(std::move(*file));
  self.boot_id_ = self.kind_.boot_id;
  out.begun = true;
  (void)self.begin().ok();  // a full disk: the first append tries again
  return out;
}

Result<void> RecordFile::begin() {
  if (end_ > 0) return {};
  const auto header = make_header(kind_);
  return put({header.data(), header.size()}, {});
}

void RecordFile::cut_tail(const ScanEnd& at, std::uint64_t size, std::optional<Damage>& damage) {
  damage = Damage{name_, at.end, size - at.end, at.problem, "", ""};
  auto kept = set_aside_bytes(dir_.get(), name_, fd(), at.end, size);
  if (kept)
    damage->kept_as = std::move(*kept);
  else
    damage->not_kept = kept.error().message;
  torn_ = ::ftruncate(fd(), static_cast<off_t>(at.end)) != 0;
}

Result<RecordFile::ReadEnd> RecordFile::read(int dir_fd, const std::string& name, const Kind& kind,
                                             std::uint64_t limit,
                                             const std::function<bool(std::string_view payload)>& each) {
  std::uint64_t size = 0;
  auto file = open_plain(dir_fd, name, O_RDONLY, size);
  if (!file) return std::move(file).error();
  size = std::min(size, limit);
  ReadEnd out;
  if (size == 0) return out;
  auto header = read_header(file->get(), name, kind);
  if (!header) return std::move(header).error();
  if (header->problem) {
    out.damage = Damage{name, 0, size, header->problem, "", ""};
    return out;
  }
  out.boot_id = std::move(header->boot_id);
  const ScanEnd at = scan_records(file->get(), size, each);
  if (at.error != 0) return system_error("cannot read " + quoted(name), at.error);
  out.end = at.end;
  if (at.problem) out.damage = Damage{name, at.end, size - at.end, at.problem, "", ""};
  return out;
}

Result<void> RecordFile::put(std::string_view head, std::string_view payload) {
  const auto attempt = [&] { return "cannot append to " + quoted(name_); };
  if (torn_) {
    if (::ftruncate(fd(), static_cast<off_t>(end_)) != 0)
      return system_error(attempt() + ": the torn record at its end cannot be removed", errno);
    torn_ = false;
  }
  const int error = write_at(fd(), head, payload, end_);
  if (error != 0) {
    torn_ = ::ftruncate(fd(), static_cast<off_t>(end_)) != 0;
    return system_error(attempt() + ", nothing was recorded", error);
  }
  end_ += head.size() + payload.size();
  return {};
}

void RecordFile::forget_boot() {
  const std::array<char, boot_id_chars> zeros{};
  if (end_ > 0) (void)write_at(fd(), {zeros.data(), zeros.size()}, {}, boot_id_at);
  boot_id_.clear();
}

Result<void> RecordFile::append(std::string_view payload) {
  if (payload.size() > limits::record_bytes)
    return Error(Code::limit_exceeded, "cannot append to " + quoted(name_) + ": the record has " +
                                           std::to_string(payload.size()) + " bytes, at most " +
                                           std::to_string(limits::record_bytes) + " are possible");
  auto begun = begin();
  if (!begun) return begun;
  const auto head = make_record_head(payload);
  return put({head.data(), head.size()}, payload);
}

Result<void> RecordFile::rewrite(std::span<const std::string> records) {
  const std::string attempt = "cannot rewrite " + quoted(name_);
  const std::string fresh = beside(name_);
  ::unlinkat(dir_.get(), fresh.c_str(), 0);
  UniqueFd file(
      ::openat(dir_.get(), fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return system_error(attempt, errno);
  std::uint64_t end = 0;
  const auto fail = [&](Error error) {
    ::unlinkat(dir_.get(), fresh.c_str(), 0);
    return error;
  };
  const auto header = make_header(kind_);
  std::string pending(header.data(), header.size());
  const auto flush = [&] {
    const int error = write_at(file.get(), pending, {}, end);
    end += pending.size();
    pending.clear();
    return error;
  };
  for (const std::string& each : records) {
    if (each.size() > limits::record_bytes)
      return fail(Error(Code::limit_exceeded, attempt + ": a record has " + std::to_string(each.size()) +
                                                  " bytes, at most " + std::to_string(limits::record_bytes) +
                                                  " are possible"));
    const auto head = make_record_head(each);
    pending.append(head.data(), head.size()).append(each);
    if (pending.size() < (64u << 10)) continue;
    if (const int error = flush()) return fail(system_error(attempt, error));
  }
  if (const int error = flush()) return fail(system_error(attempt, error));
  if (::fdatasync(file.get()) != 0) return fail(system_error(attempt, errno));
  if (::renameat(dir_.get(), fresh.c_str(), dir_.get(), name_.c_str()) != 0)
    return fail(system_error(attempt, errno));
  use(std::move(file));
  end_ = end;
  torn_ = false;
  boot_id_ = kind_.boot_id;
  if (::fsync(dir_.get()) != 0)
    return system_error(quoted(name_) + " is rewritten, but a power loss may bring back what it was", errno);
  return {};
}

Result<void> RecordFile::sync() const {
  std::shared_ptr<const UniqueFd> file;
  {
    const std::lock_guard lock(*exchange_);
    file = file_;
  }
  if (::fdatasync(file->get()) != 0) return system_error("cannot sync " + quoted(name_), errno);
  return {};
}

}  // namespace kairo::storage
