// The executors of topologies (SPEC 9), as the kernel knows them: sessions that it started as such, each with
// a listening socket on which it takes what topology.* asks (lib/executor/server.hpp).
//
// Both places of a topology lie in SOCKET.d beside the daemon's socket: NAME.sock, where the executor listens
// and only the daemon may connect, and the directory NAME, the executor's own user's, for the sockets of its
// nodes. A restart of the daemon finds the executor at the same place; both are removed when its session
// ends, and what is left of a time before at the start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "session/session.hpp"

namespace kairo::kernel {

class Kernel;

class Executors {
 public:
  using Answer = std::function<void(Result<std::string>)>;

  explicit Executors(Kernel& kernel);
  ~Executors();
  Executors(const Executors&) = delete;
  Executors& operator=(const Executors&) = delete;

  /// Once all sessions are known: ends the nodes, and removes the places, of those that are gone.
  void start();
  void stop();

  struct Place {
    UniqueFd listening;
    std::string directory;
  };
  /// Makes both places, the directory for that user. No executor of that name may live.
  Result<Place> make_place(const std::string& topology, uid_t uid, gid_t gid);
  void remove_place(const std::string& topology);

  /// Passes a request on: MsgPack of its params; the answer is MsgPack of the result. E_NOT_RUNNING when the
  /// executor cannot be reached, or ends before it has answered.
  void ask(const session::Session& executor, std::string_view method, std::string_view params, Answer answer);

  /// Of whatever session: an executor's nodes end with it, and what is started after that, too.
  void session_began(session::Session& session);
  void session_ended(const session::Session& session);

 private:
  class Link;
  [[nodiscard]] std::string root() const;
  /// Nodes whose executor has ended: of that key, or all.
  void end_orphans(std::optional<std::uint64_t> of);
  std::shared_ptr<Link> link_to(const session::Session& executor, Error& why);

  Kernel& kernel_;
  std::unordered_map<std::string, std::shared_ptr<Link>> links_;  ///< By the topology's name.
};

}  // namespace kairo::kernel
