#include "system/process_metrics.hpp"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.hpp"
#include "base/unique_fd.hpp"
#include "keeper/process_tree.hpp"
#include "system/proc_text.hpp"

namespace kairo::system {
namespace {

/// What came of an attempt to read of a process.
enum class Read { done, gone, refused };

Read why_not(int error) {
  return error == ENOENT || error == ESRCH ? Read::gone : Read::refused;
}

Read read_file(const std::string& path, std::string& out) {
  out.clear();
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return why_not(errno);
  char piece[4096];
  for (;;) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return why_not(errno);
    if (got == 0) return out.empty() ? Read::gone : Read::done;
    out.append(piece, static_cast<std::size_t>(got));
  }
}

Read count_descriptors(const std::string& directory, std::uint64_t& out) {
  struct CloseDirectory {
    void operator()(DIR* open) const { ::closedir(open); }
  };
  const std::unique_ptr<DIR, CloseDirectory> open(::opendir(directory.c_str()));
  if (!open) return why_not(errno);
  // Since Linux 6.2 the size of the directory is their number; 0 before.
  struct stat status {};
  if (::fstat(::dirfd(open.get()), &status) == 0 && directory.starts_with("/proc/") && status.st_size > 0) {
    out = static_cast<std::uint64_t>(status.st_size);
    return Read::done;
  }
  out = 0;
  while (const dirent* entry = ::readdir(open.get()))
    if (entry->d_name[0] != '.') ++out;
  return Read::done;
}

/// Sums up members that some process may refuse.
class Refusals {
 public:
  void add(const char* member) {
    if (std::find(members_.begin(), members_.end(), member) == members_.end()) members_.emplace_back(member);
  }
  [[nodiscard]] const std::vector<std::string>& members() const { return members_; }
  [[nodiscard]] bool has(const char* member) const {
    return std::find(members_.begin(), members_.end(), member) != members_.end();
  }

 private:
  std::vector<std::string> members_;
};

std::optional<api::ProcessIo> parse_io(const std::string& text) {
  const auto read = find_count(text, "rchar"), written = find_count(text, "wchar"),
             disk_read = find_count(text, "read_bytes"), disk_written = find_count(text, "write_bytes");
  if (!read || !written || !disk_read || !disk_written) return std::nullopt;
  return api::ProcessIo{*read, *written, *disk_read, *disk_written};
}

}  // namespace

std::vector<pid_t> session_processes(pid_t main, pid_t keeper, std::string_view mark) {
  std::vector<pid_t> out;
  std::string text;
  const bool is_there = read_file("/proc/" + std::to_string(main) + "/stat", text) == Read::done;
  const auto stat = is_there ? parse_process_stat(text) : std::nullopt;
  if (stat && stat->parent == keeper) {
    out = keeper::tree(main);
    out.insert(out.begin(), main);
  }
  // Orphans hang on the keeper's main thread; what was launched hangs on its launching threads.
  std::vector<pid_t> orphans;
  if (keeper::has_children_files()) {
    keeper::children_of_thread(keeper, keeper, orphans);
  } else {
    for (const auto& [parent, child] : keeper::parents())
      if (parent == keeper) orphans.push_back(child);
  }
  for (const pid_t orphan : orphans) {
    if (orphan == main) continue;
    if (::getsid(orphan) != main && ::getpgid(orphan) != main &&
        keeper::variable_in(keeper::environment_of(orphan), "KAIRO_PROCESS_ID") != mark)
      continue;
    const auto below = keeper::tree(orphan);
    out.push_back(orphan);
    out.insert(out.end(), below.begin(), below.end());
  }
  // What was reparented between the two looks was seen twice.
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::optional<std::uint64_t> cpu_us(const std::vector<pid_t>& processes) {
  static const auto tick = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  std::optional<std::uint64_t> ticks;
  std::string text;
  for (const pid_t pid : processes) {
    if (read_file("/proc/" + std::to_string(pid) + "/stat", text) != Read::done) continue;
    const auto stat = parse_process_stat(text);
    if (!stat) continue;
    ticks = ticks.value_or(0) + stat->user_ticks + stat->system_ticks + stat->waited_user_ticks +
            stat->waited_system_ticks;
  }
  if (!ticks) return std::nullopt;
  return *ticks * 1'000'000 / tick;
}

ProcessSampler::ProcessSampler(std::string root) : root_(std::move(root)) {
  if (root_.empty() || root_.back() != '/') root_ += '/';
}

std::optional<api::ProcessMetrics> ProcessSampler::sample(std::uint64_t session, SystemTime started_at,
                                                          const std::vector<pid_t>& processes) {
  static const auto tick = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  api::ProcessMetrics out;
  out.time = to_iso8601(system_now());
  api::ProcessIo io;
  std::uint64_t private_bytes = 0, descriptors = 0, user = 0, system = 0;
  Refusals refusals;
  bool found = false;
  std::string text;
  for (const pid_t pid : processes) {
    const std::string at = root_ + "proc/" + std::to_string(pid) + "/";
    if (read_file(at + "stat", text) != Read::done) continue;
    const auto stat = parse_process_stat(text);
    if (!stat) continue;
    found = true;
    user += stat->user_ticks + stat->waited_user_ticks;
    system += stat->system_ticks + stat->waited_system_ticks;
    const Read io_read = read_file(at + "io", text);
    const auto own_io = io_read == Read::done ? parse_io(text) : std::nullopt;
    if (own_io) {
      io.read_bytes += own_io->read_bytes;
      io.written_bytes += own_io->written_bytes;
      io.disk_read_bytes += own_io->disk_read_bytes;
      io.disk_written_bytes += own_io->disk_written_bytes;
    } else if (io_read != Read::gone) {
      refusals.add("io");
    }
    if (stat->ended) continue;  // of a zombie nothing but its time is left
    ++out.processes;
    out.threads += stat->threads;
    out.resident_bytes += stat->resident_pages * page;
    const Read rollup = read_file(at + "smaps_rollup", text);
    const auto clean = find_kilobytes(text, "Private_Clean"), dirty = find_kilobytes(text, "Private_Dirty");
    if (rollup == Read::done && clean && dirty)
      private_bytes += *clean + *dirty;
    else if (rollup != Read::gone)
      refusals.add("privateBytes");
    std::uint64_t open = 0;
    const Read counted = count_descriptors(at + "fd", open);
    if (counted == Read::done)
      descriptors += open;
    else if (counted == Read::refused)
      refusals.add("descriptors");
  }
  if (!found) return std::nullopt;
  if (!refusals.has("io")) out.io = io;
  if (!refusals.has("privateBytes")) out.private_bytes = private_bytes;
  if (!refusals.has("descriptors")) out.descriptors = descriptors;
  if (!refusals.members().empty()) out.unreadable = refusals.members();

  out.cpu.user_seconds = static_cast<double>(user) / tick;
  out.cpu.system_seconds = static_cast<double>(system) / tick;
  const double all = out.cpu.user_seconds + out.cpu.system_seconds;
  const SteadyTime now = SteadyClock::now();
  if (looks_.size() >= limits::sampled_sessions && !looks_.contains(session))
    looks_.erase(std::min_element(looks_.begin(), looks_.end(), [](const auto& a, const auto& b) {
      return a.second.newest() < b.second.newest();
    }));
  auto& looks = looks_[session];
  const auto* before = looks.before(now);
  const std::chrono::duration<double> since =
      before
          ? std::chrono::duration<double>(now - before->time)
          : std::chrono::duration<double>(std::max(system_now() - started_at, SystemTime::duration::zero()));
  // What a descendant that nobody waited for had used is gone with it.
  const double used = std::max(0.0, all - (before ? before->value : 0.0));
  out.cpu.usage_percent = since.count() > 0 ? 100 * used / since.count() : 0;
  out.cpu.interval_ms = static_cast<std::uint64_t>(since.count() * 1000);
  looks.add(all, now);
  return out;
}

}  // namespace kairo::system
