// Devices that come and go, and their claims, on real network links that the test makes. That needs the right
// to (root, or one's own network namespace); where the machine does not give it the test says so.
#include "api/device.hpp"

#include <csignal>
#include <fstream>
#include <set>

#include "reflect/decode.hpp"
#include "rig.hpp"
#include "wire/payload.hpp"

using namespace kairo;
using namespace kairo::test;

namespace {

/// A network link that goes with it.
class Link {
 public:
  explicit Link(const std::string& name) : name_(name) {
    // Which kinds there are is the kernel's choice.
    for (const char* kind : {"dummy", "bridge", "ifb"})
      if (!there_) there_ = ip({"link", "add", name, "type", kind});
  }
  ~Link() { remove(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  [[nodiscard]] bool there() const { return there_; }
  void remove() {
    if (std::exchange(there_, false)) REQUIRE(ip({"link", "del", name_}));
  }
  /// Its id where no serial number or place on the bus is known of it, as of no link without hardware.
  [[nodiscard]] std::string id() const { return "net:/devices/virtual/net/" + name_; }

 private:
  static bool ip(std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    return run(words).code == 0;
  }
  std::string name_;
  bool there_ = false;
};

/// A name that no other test on this machine has; at most 15 letters.
std::string link_name(char which) {
  return std::string("kairo") + which + std::to_string(::getpid());
}

bool skip(const Link& link) {
  if (!link.there()) MESSAGE("skipped: no network link may be made here");
  return !link.there();
}

std::vector<api::Device> devices(client::Client& client) {
  return must<api::DeviceListResult>(client, "device.list", api::DeviceListParams{"net", {}}).devices;
}

std::optional<api::Device> find(client::Client& client, const std::string& id) {
  for (api::Device& each : devices(client))
    if (each.id == id) return std::move(each);
  return std::nullopt;
}

struct Heard {
  std::string type;
  api::Device device;
};

/// Hears of the links that this process has made, and of nothing else.
class Listener {
 public:
  explicit Listener(const Daemon& daemon) : client_(connect(daemon)) {
    must<api::EventSubscribeResult>(client_, "event.subscribe",
                                    api::EventSubscribeParams{"kairo.device.>", {}});
  }
  Heard next() {
    for (;;) {
      auto push = client_.poll_push(SteadyClock::now() + patience);
      REQUIRE(push.ok());
      REQUIRE_MESSAGE(push->has_value(), "no event of a device");
      wire::PayloadDecoder decoder;
      auto value = decoder.decode((*push)->payload);
      REQUIRE(value.ok());
      auto event = reflect::from_object<api::Event>(*value, "event", reflect::Unknown::ignore);
      REQUIRE(event.ok());
      auto device = client::Client::decoded<api::Device>(event->data.msgpack);
      REQUIRE(device.ok());
      if (device->path.find(std::to_string(::getpid())) != std::string::npos && event->seq)
        return {event->type, *device};
    }
  }
  client::Client& client() { return client_; }

 private:
  client::Client client_;
};

api::Device claim(client::Client& client, const std::string& id, std::optional<std::string> session = {}) {
  return must<api::Device>(client, "device.claim", api::DeviceClaimParams{id, std::move(session)});
}

Code refusal(client::Client& client, const std::string& id, std::optional<std::string> session = {}) {
  auto claimed = client.call<api::Device>("device.claim", api::DeviceClaimParams{id, std::move(session)});
  REQUIRE_FALSE(claimed);
  return claimed.error().code;
}

/// Until nobody has claimed it.
void await_release(client::Client& client, const std::string& id) {
  eventually(
      [&] {
        const auto device = find(client, id);
        return device && !device->claimed_by;
      },
      "the end of the claim");
}

void kill_daemon(Daemon& daemon) {
  const pid_t pid = daemon.pids().daemon;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  daemon.start({});
}

const std::string owner = "user:" + std::to_string(::geteuid());

}  // namespace

TEST_SUITE_BEGIN("device");

TEST_CASE("a device that comes and goes is told and listed, under one id") {
  Daemon daemon;
  Listener listener(daemon);
  Link link(link_name('a'));
  if (skip(link)) return;
  const Heard came = listener.next();
  CHECK(came.type == "kairo.device.added");
  CHECK(came.device.id == link.id());
  CHECK(came.device.subsystem == "net");
  const auto listed = find(listener.client(), link.id());
  REQUIRE(listed);
  CHECK(listed->path == came.device.path);
  link.remove();
  const Heard went = listener.next();
  CHECK(went.type == "kairo.device.removed");
  CHECK(went.device.id == link.id());
  CHECK_FALSE(find(listener.client(), link.id()));
}

TEST_CASE("the list knows what has just come and gone, without any subscription") {
  Daemon daemon;
  client::Client client = connect(daemon);
  devices(client);
  for (int i = 0; i < 10; ++i) {
    Link link(link_name('b'));
    if (skip(link)) return;
    // Where udevd speaks first, its rules take a moment.
    eventually([&] { return find(client, link.id()).has_value(); }, "the link in the list");
    link.remove();
    eventually([&] { return !find(client, link.id()); }, "the link gone from the list");
  }
}

TEST_CASE("of a burst, and of more than the daemon can take, all that stays is told, once") {
  Daemon daemon;
  Listener listener(daemon);
  const Link first(link_name('a'));
  if (skip(first)) return;
  CHECK(listener.next().device.id == first.id());
  std::ofstream uevent("/sys/class/net/" + link_name('a') + "/uevent");
  if (!uevent) {
    MESSAGE("skipped: /sys is not writable here");
    return;
  }
  const pid_t pid = daemon.pids().daemon;
  // A few more messages than are taken one by one; then more than the socket holds, while nobody reads.
  for (const int messages : {1000, 30'000}) {
    if (messages > 1000) REQUIRE(::kill(pid, SIGSTOP) == 0);
    for (int i = 0; i < messages; ++i) uevent << "change" << std::flush;
    REQUIRE(uevent);
    std::vector<std::unique_ptr<Link>> links;
    std::set<std::string> wanted;
    for (const char c : {'b', 'c', 'd', 'e'}) {
      links.push_back(std::make_unique<Link>(link_name(c)));
      wanted.insert(links.back()->id());
    }
    REQUIRE(::kill(pid, SIGCONT) == 0);
    for (const bool added : {true, false}) {
      std::set<std::string> told;
      while (told.size() < wanted.size()) {
        const Heard heard = listener.next();
        CHECK(heard.type == (added ? "kairo.device.added" : "kairo.device.removed"));
        CHECK_MESSAGE(told.insert(heard.device.id).second, heard.device.id << " is told twice");
      }
      CHECK(told == wanted);
      links.clear();
    }
  }
}

TEST_CASE("a claim keeps others away until its connection ends") {
  Daemon daemon;
  client::Client other = connect(daemon);
  Link link(link_name('a'));
  if (skip(link)) return;
  {
    client::Client holder = connect(daemon);
    const api::Device claimed = claim(holder, link.id());
    REQUIRE(claimed.claimed_by);
    CHECK(claimed.claimed_by->owner == owner);
    CHECK_FALSE(claimed.claimed_by->process_id);
    claim(holder, link.id());
    CHECK(refusal(other, link.id()) == Code::already_exists);
    const auto listed = find(other, link.id());
    REQUIRE(listed);
    REQUIRE(listed->claimed_by);
    CHECK(listed->claimed_by->owner == owner);
  }
  await_release(other, link.id());
  claim(other, link.id());
  CHECK_FALSE(must<api::Device>(other, "device.release", api::DeviceParams{link.id()}).claimed_by);
  must<api::Device>(other, "device.release", api::DeviceParams{link.id()});
  CHECK(refusal(other, "net:no-such-device") == Code::not_found);
  CHECK(refusal(other, link.id(), "no-such-session") == Code::not_found);
}

TEST_CASE("a tenant can neither take nor end another's claim") {
  Daemon daemon;
  client::Client user = connect(daemon);
  client::Client tenant = connect(daemon);
  must<api::IdentifyResult>(tenant, "identify", api::IdentifyParams{"agent"});
  Link link(link_name('a'));
  if (skip(link)) return;
  claim(user, link.id());
  CHECK(refusal(tenant, link.id()) == Code::already_exists);
  auto released = tenant.call<api::Device>("device.release", api::DeviceParams{link.id()});
  REQUIRE_FALSE(released);
  CHECK(released.error().code == Code::permission_denied);
  must<api::Device>(user, "device.release", api::DeviceParams{link.id()});
  CHECK(claim(tenant, link.id()).claimed_by->owner == owner + "/agent");
  must<api::Device>(user, "device.release", api::DeviceParams{link.id()});
}

TEST_CASE("a session's claim ends with the session, and may be asked for behind its spawn") {
  Daemon daemon;
  client::Client client = connect(daemon);
  Link link(link_name('a'));
  if (skip(link)) return;
  api::SpawnParams params = child({"cat"});
  params.id = "holder";
  const auto spawned = client.send("process.spawn", params);
  const auto claimed = client.send("device.claim", api::DeviceClaimParams{link.id(), "holder"});
  REQUIRE(client.await<api::SpawnResult>(spawned));
  auto device = client.await<api::Device>(claimed);
  REQUIRE(device);
  CHECK(device->claimed_by->process_id == "holder");
  CHECK(refusal(client, link.id()) == Code::already_exists);
  client::Client other = connect(daemon);
  claim(other, link.id(), "holder");  // the same claim, whoever asks
  must<api::Done>(client, "process.stdin.close", api::IdParams{"holder"});
  wait(client, "holder");
  await_release(client, link.id());
  CHECK(refusal(client, link.id(), "holder") == Code::not_running);
}

TEST_CASE("the removal of a claimed device says whose claim ended with it") {
  Daemon daemon;
  Listener listener(daemon);
  Link link(link_name('a'));
  if (skip(link)) return;
  CHECK(listener.next().type == "kairo.device.added");
  claim(listener.client(), link.id());
  link.remove();
  const Heard went = listener.next();
  CHECK(went.type == "kairo.device.removed");
  REQUIRE(went.device.claimed_by);
  CHECK(went.device.claimed_by->owner == owner);
  const Link again(link_name('a'));
  const Heard came = listener.next();
  CHECK(came.device.id == link.id());
  CHECK_FALSE(came.device.claimed_by);
}

TEST_CASE("claims outlive a kill of the daemon, those of sessions and those of connections") {
  Daemon daemon;
  Link link(link_name('a'));
  Link lost(link_name('b'));
  Link gone(link_name('c'));
  if (skip(link)) return;
  std::optional<client::Client> client(connect(daemon));
  api::SpawnParams params = child({"cat"});
  params.id = "holder";
  spawn(*client, params);
  claim(*client, link.id(), "holder");
  claim(*client, lost.id());
  claim(*client, gone.id(), "holder");
  kill_daemon(daemon);
  client.emplace(connect(daemon));
  CHECK(find(*client, link.id())->claimed_by->process_id == "holder");
  CHECK(refusal(*client, link.id()) == Code::already_exists);
  // The client comes back, and others see who has it until then.
  REQUIRE(find(*client, lost.id())->claimed_by);
  client::Client tenant = connect(daemon);
  must<api::IdentifyResult>(tenant, "identify", api::IdentifyParams{"agent"});
  CHECK(refusal(tenant, lost.id()) == Code::already_exists);
  claim(*client, lost.id());
  client::Client other = connect(daemon);
  CHECK(refusal(other, lost.id()) == Code::already_exists);
  // Once more, and now a claimed device and the session's end fall into the time without a daemon.
  const pid_t pid = daemon.pids().daemon;
  const pid_t cat = status(*client, "holder").pid;
  REQUIRE(::kill(pid, SIGKILL) == 0);
  gone.remove();
  REQUIRE(::kill(cat, SIGKILL) == 0);
  daemon.start({});
  client.emplace(connect(daemon));
  wait(*client, "holder");
  await_release(*client, link.id());
  CHECK_FALSE(find(*client, gone.id()));
  CHECK(find(*client, lost.id())->claimed_by);
}

TEST_CASE("a claim is on record before it is answered") {
  Daemon daemon;
  client::Client client = connect(daemon);
  const std::string null = "mem:/devices/virtual/mem/null";
  claim(client, null);
  const std::string claims = read_file(daemon.state_dir() + "/claims");
  CHECK(claims.starts_with("KAIROCLM"));
  CHECK(claims.find(null) != std::string::npos);
}

TEST_CASE("where nothing can be heard, as in a user namespace, the list is right all the same") {
  const std::vector<std::string> inside{"unshare", "--user", "--map-root-user", "--net"};
  std::vector<std::string> probe = inside;
  probe.emplace_back("true");
  if (run(probe).code != 0) {
    MESSAGE("skipped: no user namespace may be made here");
    return;
  }
  Daemon daemon({.behind = inside});
  client::Client client = connect(daemon);
  devices(client);
  Link link(link_name('a'));  // its /sys is still that of our network namespace
  if (skip(link)) return;
  CHECK(find(client, link.id()));
  link.remove();
  CHECK_FALSE(find(client, link.id()));
  CHECK(daemon.said().find("cannot hear of devices") != std::string::npos);
}

TEST_SUITE_END();
