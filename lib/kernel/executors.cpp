#include "kernel/executors.hpp"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/envelope.hpp"
#include "ipc/connection.hpp"
#include "kernel/kernel.hpp"
#include "topology/check.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

constexpr std::string_view socket_suffix = ".sock";

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error(Code::invalid_params,
                 "the path of an executor's socket would be too long (" + path +
                     "): give the topology a shorter name, or the daemon a shorter --socket");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Whether somebody listens there: an executor of a daemon with another state directory, perhaps.
bool is_served(const std::string& path) {
  const auto address = address_of(path);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return address && socket &&
         (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0 ||
          errno == EAGAIN);
}

/// Removes a directory with what is in it, one level deep: what a user put below is that user's to clean up.
/// Nothing is followed out of it.
void remove_directory(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  DIR* const listing = ::fdopendir(fd);
  if (!listing) {
    ::close(fd);
    return;
  }
  while (const dirent* entry = ::readdir(listing))
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
      ::unlinkat(fd, entry->d_name, 0);
  ::closedir(listing);
  ::unlinkat(parent, name, AT_REMOVEDIR);
}

}  // namespace

// --- one executor's connection -----------------------------------------------------------------------

class Executors::Link final : public ipc::Handler, public std::enable_shared_from_this<Link> {
 public:
  explicit Link(std::shared_ptr<ipc::Connection> connection) : connection_(std::move(connection)) {}

  void start() { connection_->start(shared_from_this()); }
  void close() { connection_->close(); }
  [[nodiscard]] bool closed() const { return connection_->closed(); }

  void ask(std::string_view method, std::string_view params, Answer answer) {
    if (connection_->outbox_bytes() > limits::outbox_bytes)
      return answer(
          Error(Code::limit_exceeded, "the topology's executor does not take what it is asked; it has " +
                                          std::to_string(pending_.size()) + " requests unanswered"));
    const std::uint64_t id = next_id_++;
    pending_.emplace(id, std::move(answer));
    api::append_request(connection_->outbox(), id, method, params);
    connection_->wrote();
  }

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>&) override {
    if (frame.type != wire::FrameType::response)
      return Error(Code::invalid_request, "an executor sends RESPONSE frames only");
    auto payload = decoder_.decode(frame.payload);
    if (!payload) return std::move(payload).error();
    auto response = api::read_response(*payload);
    if (!response) return std::move(response).error();
    const auto* id = std::get_if<std::uint64_t>(&response->id);
    const auto found = id ? pending_.find(*id) : pending_.end();
    if (found == pending_.end())
      return Error(Code::invalid_request, "an executor answered what it was not asked");
    const Answer answer = std::move(found->second);
    pending_.erase(found);
    if (response->error)
      answer(api::read_error(*response->error));
    else
      answer(reflect::packed(*response->result));
    return {};
  }
  [[nodiscard]] bool has_output() const override { return false; }
  void fill(stream::Batch&, std::size_t) override {}
  void filled() override {}
  void on_drained() override {}
  [[nodiscard]] bool owes() const override { return !pending_.empty(); }
  void on_closed(const Error* why) override {
    const std::string reason = why ? why->message : "it has ended";
    for (auto& [id, answer] : std::exchange(pending_, {}))
      answer(Error(Code::not_running, "the topology's executor gave no answer: " + reason));
  }

 private:
  std::shared_ptr<ipc::Connection> connection_;
  wire::PayloadDecoder decoder_;
  std::map<std::uint64_t, Answer> pending_;
  std::uint64_t next_id_ = 1;
};

// --- all of them -------------------------------------------------------------------------------------

Executors::Executors(Kernel& kernel) : kernel_(kernel) {}
Executors::~Executors() = default;

std::string Executors::root() const {
  return kernel_.options().socket_path + ".d";
}

void Executors::start() {
  // An executor that ended without a daemon may have been known before its nodes were.
  end_orphans({});
  const UniqueFd directory(::open(root().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return;
  std::vector<std::string> names;
  DIR* const listing = ::fdopendir(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0));
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing)) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (name.ends_with(socket_suffix)) name.resize(name.size() - socket_suffix.size());
    const session::Session* const live = kernel_.sessions().find(topology::executor_session(name));
    if ((!live || live->ended()) && !is_served(root() + "/" + name + std::string(socket_suffix)))
      names.push_back(std::move(name));
  }
  ::closedir(listing);
  for (const std::string& name : names) remove_place(name);
}

void Executors::stop() {
  for (auto& [name, link] : std::exchange(links_, {})) link->close();
}

Result<Executors::Place> Executors::make_place(const std::string& topology, uid_t uid, gid_t gid) {
  const std::string directory = root();
  const std::string path = directory + "/" + topology + std::string(socket_suffix);
  auto address = address_of(path);
  if (!address) return std::move(address).error();
  if (auto longest = address_of(directory + "/" + topology + "/control.sock"); !longest)
    return std::move(longest).error();
  if (::mkdir(directory.c_str(), 0711) != 0 && errno != EEXIST)
    return system_error("cannot make the directory " + directory, errno);
  UniqueFd root_fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!root_fd || ::fstat(root_fd.get(), &status) != 0)
    return system_error("cannot open the directory " + directory, errno);
  if (status.st_uid != ::geteuid() || (status.st_mode & 022) != 0)
    return Error(
        Code::permission_denied,
        "the directory " + directory + " is not the daemon's own: somebody else made it, or may write there");
  if (is_served(path))
    return Error(Code::already_exists, "an executor that this daemon does not know serves " + path +
                                           ": it was started by a daemon with another state directory");
  remove_place(topology);
  // It goes with the last topology.
  if (::mkdir(directory.c_str(), 0711) != 0 && errno != EEXIST)
    return system_error("cannot make the directory " + directory, errno);
  root_fd.reset(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  // Every user's executor goes through it, whatever the daemon's umask.
  if (!root_fd || ::fchmod(root_fd.get(), 0711) != 0)
    return system_error("cannot open the directory " + directory, errno);
  Place place;
  place.directory = directory + "/" + topology;
  place.listening.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // It has its mode from its birth.
  const bool bound =
      place.listening && ::fchmod(place.listening.get(), 0600) == 0 &&
      ::bind(place.listening.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0;
  if (!bound) return system_error("cannot make the executor's socket " + path, errno);
  if (::listen(place.listening.get(), 16) != 0) {
    const int refused = errno;
    remove_place(topology);
    return system_error("cannot listen on " + path, refused);
  }
  if (::mkdirat(root_fd.get(), topology.c_str(), 0700) != 0 ||
      (uid != ::geteuid() &&
       ::fchownat(root_fd.get(), topology.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)) {
    const int refused = errno;
    remove_place(topology);
    return system_error("cannot make the directory " + place.directory, refused);
  }
  return place;
}

void Executors::remove_place(const std::string& topology) {
  const UniqueFd directory(::open(root().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return;
  ::unlinkat(directory.get(), (topology + std::string(socket_suffix)).c_str(), 0);
  remove_directory(directory.get(), topology.c_str());
  // As long as others are there it stays.
  ::rmdir(root().c_str());
}

std::shared_ptr<Executors::Link> Executors::link_to(const session::Session& executor, Error& why) {
  const std::string& name = executor.record().topology;
  const auto found = links_.find(name);
  if (found != links_.end() && !found->second->closed()) return found->second;
  const std::string path = root() + "/" + name + std::string(socket_suffix);
  const auto address = address_of(path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!address || !socket ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    why = system_error("the executor of topology \"" + name + "\" cannot be reached at " + path, errno,
                       Code::not_running);
    return nullptr;
  }
  auto link = std::make_shared<Link>(
      std::make_shared<ipc::Connection>(kernel_.io(), std::move(socket), ipc::Peer{}, kernel_.batch()));
  link->start();
  links_[name] = link;
  return link;
}

void Executors::ask(const session::Session& executor, std::string_view method, std::string_view params,
                    Answer answer) {
  Error why(Code::not_running, "");
  const auto link = link_to(executor, why);
  if (!link) return answer(std::move(why));
  link->ask(method, params, std::move(answer));
}

void Executors::session_ended(const session::Session& session) {
  const std::string& name = session.record().topology;
  if (name.empty()) return;
  if (const auto found = links_.find(name); found != links_.end()) {
    const auto link = std::move(found->second);
    links_.erase(found);
    // What it sent before its end is still to be read: its own end closes the connection.
    (void)link;
  }
  remove_place(name);
  // One that was killed has told nobody.
  if (!session.view().exit_code)
    kernel_.emit(
        session, "kairo.topology.failed",
        {{"topology", name}, {"message", std::string("its executor was ended before it could say why")}});
  end_orphans(session.key());
}

void Executors::session_began(session::Session& session) {
  // Its start may have been under way when its executor ended.
  const session::Session* const parent = kernel_.sessions().find_key(session.record().parent);
  if (parent && parent->ended() && !parent->record().topology.empty())
    kernel_.terminate(session, api::EndReason::owner_gone, parent->record().owner,
                      std::chrono::milliseconds(session.record().kill_grace_ms));
}

void Executors::end_orphans(std::optional<std::uint64_t> of) {
  std::vector<std::pair<session::Session*, const session::Session*>> orphans;
  kernel_.sessions().for_each(0, [&](session::Session& each) {
    if (!each.running() || (of && each.record().parent != *of)) return true;
    const session::Session* const parent = kernel_.sessions().find_key(each.record().parent);
    if (parent && parent->ended() && !parent->record().topology.empty()) orphans.emplace_back(&each, parent);
    return true;
  });
  for (const auto& [node, executor] : orphans)
    kernel_.terminate(*node, api::EndReason::owner_gone, executor->record().owner,
                      std::chrono::milliseconds(node->record().kill_grace_ms));
}

}  // namespace kairo::kernel
