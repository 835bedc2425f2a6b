// Who a client is (SPEC 7.1): by what the operating system says of its process, never by what it says itself.
//
// A process that comes from the keeper is inside a session, and its parents lead to it: up to the child of
// the keeper, which is a session's main process, or an orphan that the keeper has inherited. An orphan is
// known by its session id (setsid(2)), which nobody can take on, while the main process that has given it
// that number is alive; by its control group else, where there are any. One that is known by neither has no
// rights: it might be anybody's.
//
// Between two looks into /proc a process may end and its number go to another one. A parent that is the same
// before and after is the parent that was looked at: an orphan is given to the keeper and never back. So the
// way up is walked twice and counts only when both agree; the first step is held by a pidfd.
#include <array>

#include "keeper/process_tree.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

using keeper::Lineage;

/// Times that a way up may change under our feet.
constexpr int attempts = 8;
/// No process has more ancestors than this, but for one that wants to keep us busy.
constexpr std::size_t longest_way = 1024;

struct Way {
  bool from_keeper = false;
  pid_t top = 0;   ///< The child of the keeper that it leads to.
  Lineage origin;  ///< Of that child.
};

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
    if (!whole) continue;
    bool same = true;
    for (const auto& [each, lineage] : way) same = same && keeper::lineage_of(each) == lineage;
    if (!same) continue;
    const auto& [top, origin] = way.back();
    return Way{origin.parent == keeper, top, origin};
  }
  return std::nullopt;
}

}  // namespace

std::optional<access::Principal> Kernel::attribute(const ipc::Peer& peer, int process) const {
  const auto user = access::Principal::user(peer.uid);
  const auto unattributed = access::Principal::unattributed(peer.uid);
  // From outside of this pid namespace nobody comes from the keeper.
  if (peer.pid <= 0) return user;
  const auto way = way_up(peer.pid, link_->keeper_pid());
  // What was seen was the peer only if the peer is still there.
  if (!way || (process >= 0 && ipc::has_ended(process))) return unattributed;
  if (!way->from_keeper) return user;
  const session::Session* found = main_process(way->top, way->origin);
  if (!found && way->origin.session != way->top)
    if (const auto leader = keeper::lineage_of(way->origin.session))
      found = main_process(way->origin.session, *leader);
  if (found)
    return access::Principal::process(peer.uid, found->record().owned_by(), found->id(), found->key());
  // It may be the first process of a session whose launch is not known here yet.
  if (!starting.empty()) return std::nullopt;
  return unattributed;
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
