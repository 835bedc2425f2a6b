// Who is served, and what they may do: connections from their acceptance to their end, and the rights of
// principals. (Who a client is: attribution.cpp.)
#include <algorithm>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel/devices.hpp"
#include "kernel/kernel.hpp"

namespace kairo::kernel {
namespace {

/// Lines about clients in each interval. (One that misbehaves must not fill the disk with the log.)
constexpr unsigned client_lines_told = 20;
constexpr std::chrono::seconds client_lines_interval{1};

}  // namespace

void Kernel::log_client(const std::string& line) {
  const SteadyTime now = SteadyClock::now();
  if (now - client_lines_.since >= client_lines_interval) client_lines_ = {now, 0, client_lines_.left_out};
  if (client_lines_.told < client_lines_told) {
    ++client_lines_.told;
    return log(line);
  }
  if (client_lines_.left_out++ > 0) return;
  timers_.at(client_lines_.since + client_lines_interval, [this] {
    log(std::to_string(std::exchange(client_lines_.left_out, 0)) + " more lines about clients were left out");
  });
}

void Kernel::accept(UniqueFd socket, ipc::Peer peer) {
  const std::size_t served = clients_.size() + waiting_peers_.size();
  const auto refuse = [&](const std::string& why) {
    ++counters_.refused_connections;
    log_client("refused a connection of " + ipc::describe(peer) + ": " + why);
  };
  if (served >= settings().connections) return refuse(std::to_string(served) + " are served");
  if (!options_.serves_users && peer.uid != ::geteuid() && peer.uid != 0) return refuse("another user's");
  auto process = ipc::peer_process(socket.get());
  if (!process && process.error().code == Code::limit_exceeded) {
    log_client("cannot accept a connection: " + process.error().message + "; trying again");
    return await_attribution({std::move(socket), peer, {}, false});
  }
  if (!process && process.error().code != Code::not_found) return refuse(process.error().message);
  // Whose process has ended already cannot be told from one that comes from the keeper.
  if (!process) return serve(std::move(socket), peer, access::Principal::unattributed(peer.uid));
  auto who = attribute(peer, process->get());
  if (who) return serve(std::move(socket), peer, std::move(*who));
  await_attribution({std::move(socket), peer, std::move(*process), true});
}

void Kernel::await_attribution(WaitingPeer peer) {
  waiting_peers_.push_back(std::move(peer));
  if (std::exchange(attribution_due_, true)) return;
  timers_.after(attribution_interval, [this] {
    attribution_due_ = false;
    look_at_waiting_peers();
  });
}

void Kernel::look_at_waiting_peers() {
  auto waiting = std::move(waiting_peers_);
  waiting_peers_.clear();
  for (WaitingPeer& each : waiting) {
    if (!each.held) {
      auto process = ipc::peer_process(each.socket.get());
      each.held = process.ok();
      if (process) each.process = std::move(*process);
      if (!process && process.error().code == Code::limit_exceeded) {
        await_attribution(std::move(each));
        continue;
      }
      if (!process) {
        serve(std::move(each.socket), each.peer, access::Principal::unattributed(each.peer.uid));
        continue;
      }
    }
    auto who = attribute(each.peer, each.process.get());
    if (who)
      serve(std::move(each.socket), each.peer, std::move(*who));
    else
      await_attribution(std::move(each));
  }
}

void Kernel::serve(UniqueFd socket, const ipc::Peer& peer, access::Principal principal) {
  std::vector<gid_t> groups;
  if (options_.serves_users) {
    auto read = ipc::peer_groups(socket.get());
    if (!read) {
      ++counters_.refused_connections;
      return log_client("refused a connection of " + ipc::describe(peer) + ": " + read.error().message);
    }
    groups = std::move(*read);
  }
  serve_as(std::move(socket), peer, std::move(principal), std::move(groups));
}

Client* Kernel::serve_as(UniqueFd socket, const ipc::Peer& peer, access::Principal principal,
                         std::vector<gid_t> groups) {
  if (clients_.size() + waiting_peers_.size() >= settings().connections) {
    ++counters_.refused_connections;
    log_client("refused a connection of " + ipc::describe(peer) + ": " + std::to_string(clients_.size()) +
               " are served");
    return nullptr;
  }
  auto connection = std::make_shared<ipc::Connection>(io_, std::move(socket), peer, batch_,
                                                      settings().frame_bytes, &counters_.traffic);
  auto client =
      std::make_shared<Client>(*this, connection, next_client_++, std::move(principal), std::move(groups));
  clients_.emplace(client.get(), client);
  ++counters_.connections;
  connection->start(client);
  monitor_.wake();
  return client.get();
}

void Kernel::accept_for(const session::Session& session, UniqueFd socket, const ipc::Peer& spawner,
                        std::vector<gid_t> groups) {
  serve_as(std::move(socket), {spawner.uid, spawner.gid, session.pid()},
           access::Principal::process(spawner.uid, session.record().owned_by(), session.id(), session.key()),
           std::move(groups));
}

Result<void> Kernel::accept_further(const Client& client, UniqueFd socket) {
  int domain = 0, type = 0;
  socklen_t size = sizeof domain;
  sockaddr_un peer{};
  socklen_t peer_size = sizeof peer;
  const bool good = ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
                    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 && domain == AF_UNIX &&
                    type == SOCK_STREAM &&
                    ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
  if (!good) return Error(Code::invalid_request, "its descriptor is no connected Unix socket");
  serve_as(std::move(socket), client.connection().peer(), client.principal(), client.groups());
  return {};
}

Result<void> Kernel::admit(const access::Principal& who, const std::vector<access::Policy::Binding>& rules,
                           const Method& method) const {
  if (method.needs == Needs::nothing) return {};
  if (!who.has_rights())
    return Error(Code::permission_denied,
                 "this process has no rights: it comes from a session that cannot be named any more, or had "
                 "ended before it was looked at, so nobody can tell whose it is");
  if (method.needs == Needs::rule && !may_rule(who))
    return Error(Code::permission_denied,
                 "only the daemon's own user and root may do that, under no name of theirs and from outside "
                 "of any session; this connection acts as " +
                     who.name());
  return access::Policy::check_method(rules, who, method.name);
}

bool Kernel::may_act(const access::Principal& who, std::string_view owner) const {
  if (who.may_act_on(owner)) return true;
  return settings().root_reaches_all && who.path() == "user:0";
}

bool Kernel::may_rule(const access::Principal& who) {
  // A name only ever narrows: it is that of a tenant, not of the one who runs the house. So is a session.
  return (who.uid() == ::geteuid() || who.uid() == 0) && who.is_plain_user();
}

Result<session::Session*> Kernel::reach(const Client& client, const std::string& id) const {
  session::Session* session = registry_.find(id);
  if (!session)
    return Error(Code::not_found, "there is no session \"" + id.substr(0, 128) + "\"")
        .with("id", id.substr(0, 128));
  if (!may_act(client.principal(), session->record().owned_by()))
    return Error(Code::permission_denied,
                 client.principal().name() + " may not act on session \"" + id + "\", which " +
                     (access::same_user(client.principal().path(), session->record().owned_by())
                          ? "belongs to " + session->record().owner
                          : "is another user's"))
        .with("id", id);
  return session;
}

Result<session::Session*> Kernel::look_at(const Client& client, const std::string& id) const {
  session::Session* own = origin_of(client);
  if (own && own->id() == id) return own;
  return reach(client, id);
}

Kernel::ClientTotals Kernel::client_totals() const {
  ClientTotals out;
  const SteadyTime now = SteadyClock::now();
  for (const auto& [pointer, client] : clients_) {
    out.unanswered += client->unanswered();
    out.output_subscriptions += client->output_subscriptions();
    out.event_subscriptions += client->event_subscriptions();
    if (const auto since = client->event_waits_since())
      out.event_lag_seconds =
          std::max(out.event_lag_seconds, std::chrono::duration<double>(now - *since).count());
  }
  return out;
}

void Kernel::client_closed(Client& client) {
  const auto doomed = std::move(client.kill_with);
  for (const std::uint64_t key : doomed) {
    session::Session* session = registry_.find_key(key);
    if (session && session->running())
      terminate(*session, api::EndReason::owner_gone, client.principal().name(),
                std::chrono::milliseconds(session->record().kill_grace_ms));
  }
  if (client.unanswered() > 0)
    for (auto& [key, attention] : attention_)
      std::erase_if(attention.waits, [this](const std::shared_ptr<Attention::Wait>& wait) {
        if (!wait->reply.abandoned()) return false;
        timers_.cancel(wait->timer);
        return true;
      });
  devices_->client_closed(client);
  clients_.erase(&client);
}

}  // namespace kairo::kernel
