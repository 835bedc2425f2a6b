// Who a client is (SPEC 7.1): by what the operating system says of its process, never by what it says itself.
//
// A process that comes from the keeper is inside a session, and its parents lead to it: up to the child of
// the keeper, which is a session's main process, or an orphan that the keeper has inherited. An orphan is
// known by its session id (setsid(2)), which nobody can take on, while the main process that has given it
// that number is alive; by its control group else, where there are any. Those also know what a keeper that is
// gone has left. One that is known by neither, or by both as two sessions', has no rights: it might be
// anybody's.
//
// Between two looks a process may end and its number go to another one. A parent that is the same before and
// after is the parent that was looked at: an orphan is given to the keeper and never back. So each step
// counts only when the process below it, which is held by a pidfd, still has that parent; where the kernel
// tells nothing of a pidfd, the way is walked twice in /proc and counts when both agree.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup/membership.hpp"
#include "keeper/process_tree.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

using keeper::Lineage;

/// Control groups of which is known whose they are.
constexpr std::size_t known_groups_max = 256;
/// Times that a way up may change under our feet.
constexpr int attempts = 8;
/// No process has more ancestors than this, but for one that wants to keep us busy: nobody waits for the rest
/// of them.
constexpr std::size_t longest_way = 128;

struct Way {
  bool too_long = false;
  bool from_keeper = false;
  pid_t top = 0;   ///< The child of the keeper that it leads to.
  Lineage origin;  ///< Of that child.
};

bool out_of_descriptors() {
  return !UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

int open_process(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

/// The way up from the process of a pidfd, by pidfds alone; nothing where it changed under our feet.
std::optional<Way> way_up(int process, keeper::ProcessInfo info, pid_t keeper) {
  UniqueFd held;
  for (std::size_t steps = 0; steps < longest_way; ++steps) {
    const int below = steps == 0 ? process : held.get();
    if (info.parent <= 1) return Way{};
    if (info.parent == keeper) {
      const auto lineage = keeper::lineage_of(info.pid);
      // It is still there, so it was it that was looked at.
      if (!lineage || lineage->parent != keeper || !keeper::info_of(below)) return std::nullopt;
      return Way{false, true, info.pid, *lineage};
    }
    UniqueFd parent(open_process(info.parent));
    const auto above = parent ? keeper::info_of(parent.get()) : std::nullopt;
    const auto again = keeper::info_of(below);
    if (!above || !again || again->parent != info.parent) return std::nullopt;
    info = *above;
    held = std::move(parent);
  }
  return Way{true, false, 0, {}};
}

/// The way up from `pid`; nothing where it could not be walked twice alike.
std::optional<Way> way_up(pid_t pid, pid_t keeper) {
  std::vector<std::pair<pid_t, Lineage>> way;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    way.clear();
    bool whole = false;
    for (pid_t each = pid; way.size() < longest_way;) {
      const auto lineage = keeper::lineage_of(each);
      if (!lineage) break;
      way.emplace_back(each, *lineage);
      whole = lineage->parent <= 1 || lineage->parent == keeper;
      if (whole) break;
      each = lineage->parent;
    }
    if (!whole && way.size() == longest_way) return Way{true, false, 0, {}};
    if (!whole) continue;
    bool same = true;
    for (const auto& [each, lineage] : way) same = same && keeper::lineage_of(each) == lineage;
    if (!same) continue;
    const auto& [top, origin] = way.back();
    return Way{false, origin.parent == keeper, top, origin};
  }
  return std::nullopt;
}

}  // namespace

std::optional<access::Principal> Kernel::attribute(const ipc::Peer& peer, int process) const {
  const auto user = access::Principal::user(peer.uid);
  const auto unattributed = access::Principal::unattributed(peer.uid);
  // From outside of this pid namespace nobody comes from the keeper.
  if (peer.pid <= 0) return user;
  const pid_t keeper = link_->keeper_pid();
  const auto info = process >= 0 ? keeper::info_of(process) : std::nullopt;
  // Before Linux 6.5 the number may have been used again by now; from here on it is one and the same.
  UniqueFd held;
  if (process < 0) {
    held = UniqueFd(open_process(peer.pid));
    if (!held && errno == ESRCH) return unattributed;
    if (!held && (errno == EMFILE || errno == ENFILE)) return std::nullopt;
  }
  const int looked_at = process >= 0 ? process : held.get();
  std::optional<Way> way;
  for (int attempt = 0; info && !way && attempt < attempts; ++attempt)
    if (const auto now = keeper::info_of(process)) way = way_up(process, *now, keeper);
  if (!info) way = way_up(peer.pid, keeper);
  const std::optional<std::uint64_t> group = group_of(peer.pid, info ? info->cgroup : 0);
  // What was seen was the peer only if the peer is still there.
  const bool ended = looked_at >= 0 && ipc::has_ended(looked_at);
  held.reset();
  // What could not be looked at says nothing.
  if (out_of_descriptors()) return std::nullopt;
  if (!way || ended) return unattributed;
  if (way->too_long && !group) return unattributed;
  if (!way->from_keeper && !group) return user;
  const session::Session* found = way->from_keeper ? main_process(way->top, way->origin) : nullptr;
  if (!found && way->from_keeper && way->origin.session != way->top)
    if (const auto leader = keeper::lineage_of(way->origin.session))
      found = main_process(way->origin.session, *leader);
  if (group && found && found->key() != *group) return unattributed;
  if (group && !found) found = registry_.find_key(*group);
  if (found) {
    // Who has become another user inside (sudo, a login) is that user's, not the session's: neither that
    // one's tree nor other users inside reach what it makes.
    const std::string& owner = found->record().owned_by();
    const bool same = !options_.serves_users || access::same_user(owner, user.path());
    return access::Principal::process(peer.uid, same ? owner : user.path(), found->id(), found->key());
  }
  // It may be the first process of a session whose launch is not known here yet.
  if (!starting.empty()) return std::nullopt;
  return unattributed;
}

std::optional<std::uint64_t> Kernel::group_of(pid_t pid, std::uint64_t cgroup) const {
  // Most clients come from the same few cgroups, whose ids are never used again. The name below the tree says
  // whose it is by now: of a group that is used again, not for good.
  const cgroup::Layout& layout = link_->groups();
  if (known_groups_below_ != layout.unified_path || known_groups_.size() >= known_groups_max) {
    known_groups_.clear();
    known_groups_below_ = layout.unified_path;
  }
  const auto known = known_groups_.find(cgroup);
  const std::string name =
      cgroup != 0 && known != known_groups_.end() ? known->second : cgroup::group_of(pid, layout);
  // What could not be read is not known.
  if (cgroup != 0 && known == known_groups_.end() && !(name.empty() && out_of_descriptors()))
    known_groups_.emplace(cgroup, name);
  if (name.empty()) return std::nullopt;
  return cgroup::session_key_of(name, layout);
}

const session::Session* Kernel::main_process(pid_t pid, const keeper::Lineage& lineage) const {
  if (lineage.parent != link_->keeper_pid()) return nullptr;
  const session::Session* found = nullptr;
  registry_.for_each(0, [&](const session::Session& each) {
    // A later process of the same number began after this one had ended.
    if (each.running() && each.pid() == pid && lineage.started_boot_us <= each.started_boot_us())
      found = &each;
    return !found;
  });
  return found;
}

session::Session* Kernel::origin_of(const Client& client) const {
  const std::uint64_t key = client.principal().session_key();
  return key == 0 ? nullptr : registry_.find_key(key);
}

std::string Kernel::correlation_of(const Client& client, std::string_view named) const {
  if (!named.empty()) return std::string(named);
  const session::Session* from = origin_of(client);
  return from ? from->record().correlation_id : std::string();
}

}  // namespace kairo::kernel
