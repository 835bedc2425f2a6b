// Which session a client comes from, and what it inherits of it (SPEC 6.4).
#include <algorithm>

#include "keeper/process_tree.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// Longer lines of ancestors are not followed.
constexpr std::size_t ancestors = 64;

}  // namespace

session::Session* Kernel::session_of(const Client& client) const {
  // Looking into /proc takes a tenth of a millisecond: not where nothing runs that it could come from. (What
  // a session leaves behind ends with it, unless it was started with detachDescendants.)
  const pid_t pid = client.connection().peer().pid;
  if (pid <= 0 || (registry_.live() == 0 && !any_detached_)) return nullptr;
  session::Session* found = nullptr;
  // The mark that every child has; one that was started by another daemon's child has that one's.
  const std::string environment = keeper::environment_of(pid);
  if (keeper::variable_in(environment, "KAIRO_IPC_SOCKET") == options_.socket_path)
    found = registry_.find(std::string(keeper::variable_in(environment, "KAIRO_PROCESS_ID")));
  if (!found) {
    // It may have been started with another environment: then by its ancestors, if they come from the keeper.
    pid_t child = pid;
    for (std::size_t i = 0; i < ancestors; ++i) {
      const pid_t parent = keeper::parent_of(child);
      if (parent <= 1) return nullptr;
      if (parent == link_->keeper_pid()) break;
      child = parent;
    }
    registry_.for_each(0, [&](session::Session& each) {
      if (each.running() && each.pid() == child) found = &each;
      return !found;
    });
  }
  return found && may_act(client.principal(), found->record().owner) ? found : nullptr;
}

session::Session* Kernel::origin_of(Client& client) const {
  if (!client.comes_from) {
    const session::Session* from = session_of(client);
    client.comes_from = from ? from->key() : 0;
  }
  return *client.comes_from == 0 ? nullptr : registry_.find_key(*client.comes_from);
}

std::string Kernel::correlation_of(Client& client, std::string_view named) const {
  if (!named.empty()) return std::string(named);
  const session::Session* from = origin_of(client);
  return from ? from->record().correlation_id : std::string();
}

}  // namespace kairo::kernel
