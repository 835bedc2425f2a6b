// The control protocol: ControlHub against raw peers, UnixControlAdapter against a hub.
#include <algorithm>

#include "control_rig.hpp"

using namespace kairo;
using namespace kairo::test;
using executor::ControlHub;
using executor::read_control_data;
using executor::UnixControlAdapter;
namespace control = api::control;

namespace {

std::string text(std::string_view value) {
  return reflect::to_msgpack(std::string(value));
}

control::Subscription topic(const char* pattern) {
  return {pattern};
}

/// An adapter and what it has told.
struct Node {
  std::vector<std::string> told;
  std::vector<api::Event> messages;
  std::string closed;  ///< "in order", or a code.
  std::function<void()> on_shutdown;
  UnixControlAdapter adapter;

  Node(boost::asio::io_context& io, executor::ControlOptions options)
      : adapter(
            io, std::move(options),
            {.on_connected =
                 [this](const control::Welcome& welcome) { told.push_back("connected " + welcome.topology); },
             .on_message = [this](const api::Event& event) { messages.push_back(event); },
             .on_shutdown =
                 [this](const control::Shutdown& shutdown) {
                   told.push_back("shutdown " + shutdown.reason + " " + std::to_string(shutdown.grace_ms));
                   if (on_shutdown) on_shutdown();
                 },
             .on_lost = [this](const Error&) { told.push_back("lost"); },
             .on_closed =
                 [this](const Error* why) {
                   closed = why ? std::string(code_name(why->code)) : std::string("in order");
                 }}) {
    adapter.start();
  }
  [[nodiscard]] std::size_t count(const std::string& what) const {
    return static_cast<std::size_t>(std::count(told.begin(), told.end(), what));
  }
};

}  // namespace

// --- hello -------------------------------------------------------------------------------------------

TEST_CASE("a hello with the right token is welcomed, and told with its life") {
  ControlRig rig;
  rig.add("a", 1, "one");
  rig.add("a", 2, "two");
  RawPeer peer(rig);
  peer.hello("a", "two");
  const auto event = peer.receive();
  CHECK(event.type == control::welcome);
  CHECK(event.source == "executor");
  const auto welcome = read_control_data<control::Welcome>(event);
  REQUIRE(welcome.ok());
  CHECK(welcome->topology == "line");
  CHECK(welcome->heartbeat_interval_ms == 1000);
  CHECK(rig.told == std::vector<std::string>{"hello a 2"});
  CHECK(rig.hub->connected("a", 2));
  CHECK_FALSE(rig.hub->connected("a", 1));
}

TEST_CASE("whoever is not the node that it says to be is refused, told why, and heard no further") {
  ControlRig rig;
  rig.add("a");
  struct Case {
    std::string type;
    control::Hello hello;
    const char* code;
  };
  const std::string hello(control::hello);
  const Case cases[] = {
      {hello, {"a", 1, "wrong", false}, "E_PERMISSION_DENIED"},
      {hello, {"a", 1, {}, false}, "E_PERMISSION_DENIED"},
      {hello, {"b", 1, "secret", false}, "E_PERMISSION_DENIED"},
      {hello, {"a", 2, "secret", false}, "E_UNSUPPORTED"},
      {"news", {"a", 1, "secret", false}, "E_INVALID_REQUEST"},
  };
  for (const Case& each : cases) {
    RawPeer peer(rig);
    peer.send(each.type, each.hello);
    peer.send("news");
    const auto events = peer.rest();
    REQUIRE(events.size() == 1);
    CHECK(events[0].type == control::refused);
    CHECK(read_control_data<control::Refused>(events[0])->code == each.code);
  }
  CHECK(rig.told.empty());
  CHECK(rig.hub->counters().refused == std::size(cases));
}

TEST_CASE("a node may have several connections, but not any number") {
  ControlRig rig;
  rig.add("a");
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (std::size_t i = 0; i < executor::connections_per_node; ++i)
    peers.push_back(std::make_unique<RawPeer>(rig, "a"));
  RawPeer further(rig);
  further.hello("a", "secret");
  const auto events = further.rest();
  REQUIRE(events.size() == 1);
  CHECK(read_control_data<control::Refused>(events[0])->code == "E_LIMIT_EXCEEDED");
  while (peers.size() > 1) peers.pop_back();
  settle(rig.io);
  CHECK(rig.count("gone a 1") == 0);
  peers.clear();
  rig.until([&] { return rig.count("gone a 1") == 1; });
}

TEST_CASE("a guest says nothing of the node's health") {
  ControlRig rig;
  rig.add("a");
  RawPeer guest(rig, "a", "secret", true);
  guest.send(control::heartbeat);
  guest.send("news");
  rig.until([&] { return rig.count("message a news") == 1; });
  guest.hang_up();
  settle(rig.io);
  CHECK(rig.told == std::vector<std::string>{"message a news"});
  CHECK(rig.hub->counters().malformed == 1);
  CHECK_FALSE(rig.hub->connected("a", 1));
}

TEST_CASE("a life that is unregistered loses its connections, and its token is worth nothing") {
  ControlRig rig;
  rig.add("a");
  RawPeer peer(rig, "a");
  rig.hub->unregister_node("a", 1);
  CHECK(peer.rest().empty());
  CHECK(rig.count("gone a 1") == 0);
  RawPeer late(rig);
  late.hello("a", "secret");
  CHECK(late.receive().type == control::refused);
}

TEST_CASE("heartbeats are told") {
  ControlRig rig;
  rig.add("a");
  RawPeer peer(rig, "a");
  for (int i = 0; i < 3; ++i) peer.send(control::heartbeat);
  rig.until([&] { return rig.count("heartbeat a 1") == 3; });
}

// --- publish and subscribe ---------------------------------------------------------------------------

TEST_CASE("what is published goes to those whose patterns match, with its sender's name") {
  ControlRig rig;
  for (const char* each : {"a", "b", "c"}) rig.add(each);
  RawPeer a(rig, "a"), b(rig, "b"), c(rig, "c");
  b.send(control::subscribe, topic("news.*"));
  b.send(control::subscribe, topic("news.>"));
  c.send(control::subscribe, topic("control.>"));
  settle(rig.io);
  for (const char* each : {"news", "news.a", "news.a.b", "control.mine", "control.mine.too"})
    a.send(each, text(each));
  rig.until([&] { return rig.count("message a control.mine.too") == 1; });
  for (const char* each : {"news.a", "news.a.b"}) {
    const auto event = b.receive();
    CHECK(event.type == each);
    CHECK(event.source == "a");
    CHECK(event.data.msgpack == text(each));
    CHECK_FALSE(event.id.empty());
    CHECK_FALSE(event.time.empty());
  }
  CHECK(c.receive().type == "control.mine");
  CHECK(c.receive().type == "control.mine.too");
  CHECK_FALSE(b.take());
}

TEST_CASE("the executor publishes too, and a sender hears itself where it has subscribed") {
  ControlRig rig;
  rig.add("a");
  RawPeer a(rig, "a");
  a.send(control::subscribe, topic(">"));
  a.send("one");
  CHECK(a.receive().source == "a");
  REQUIRE(rig.hub->publish("two", {text("x")}).ok());
  const auto event = a.receive();
  CHECK(event.source == "executor");
  CHECK(event.data.msgpack == text("x"));
  a.send(control::unsubscribe, topic(">"));
  a.send("three");
  rig.until([&] { return rig.count("message a three") == 1; });
  CHECK_FALSE(a.take());
  CHECK(rig.hub->publish("control.shutdown", {}).error().code == Code::invalid_params);
  CHECK(rig.hub->publish("kairo.node.failed", {}).error().code == Code::invalid_params);
  CHECK(rig.hub->publish("two", {std::string(executor::control_data_bytes + 1, 'x')}).error().code ==
        Code::limit_exceeded);
}

TEST_CASE("a malformed message is counted and ignored, and what follows it is heard") {
  ControlRig rig;
  rig.add("a");
  RawPeer peer(rig, "a");
  const auto frame = [](wire::FrameType type, std::string_view payload) {
    std::string out;
    wire::append_frame(out, type, [&](std::string& to) { to.append(payload); });
    return out;
  };
  std::uint64_t sent = 0;
  const std::string whole = reflect::to_msgpack(executor::make_control_event("news", {}, ""));
  for (const auto type :
       {wire::FrameType::request, wire::FrameType::response, wire::FrameType::stream_chunk}) {
    peer.send_bytes(frame(type, whole));
    ++sent;
  }
  for (const std::string& payload :
       {std::string(), std::string("\xc1"), std::string("\x93\x01\x02\x03"), std::string("\x80"),
        std::string("\x81\xa4type\x07", 7), whole + "x", whole.substr(0, whole.size() - 1)}) {
    peer.send_bytes(frame(wire::FrameType::event, payload));
    ++sent;
  }
  for (const char* type : {"", "a..b", "with space", "kairo.cancel", "kairo", "control.hello",
                           "control.welcome", "control.refused", "control.shutdown", "control.lagged"}) {
    peer.send(type);
    ++sent;
  }
  for (const char* pattern : {"", "a..b", ">.a", "a b"}) {
    peer.send(control::subscribe, topic(pattern));
    ++sent;
  }
  peer.send(control::subscribe, text("no map"));
  peer.send(control::unsubscribe);
  peer.send("large", std::string("\xc6\0\4\0\1", 5) + std::string((256u << 10) + 1, 'x'));
  sent += 3;
  peer.send("news");
  rig.until([&] { return rig.count("message a news") == 1; });
  CHECK(rig.hub->counters().malformed == sent);
  CHECK(rig.told == std::vector<std::string>{"hello a 1", "message a news"});
}

TEST_CASE("so many patterns may a connection have, and no more") {
  ControlRig rig;
  rig.add("a");
  RawPeer peer(rig, "a");
  for (std::size_t i = 0; i < limits::event_subscriptions + 5; ++i)
    peer.send(control::subscribe, control::Subscription{"topic" + std::to_string(i)});
  rig.until([&] { return rig.hub->counters().malformed == 5; });
}

TEST_CASE("a broken frame closes that connection alone") {
  ControlRig rig;
  rig.add("a");
  rig.add("b");
  RawPeer a(rig, "a"), b(rig, "b");
  a.send("before");
  a.send_bytes("GET / HTTP/1.1\r\n");
  CHECK(a.rest().empty());
  rig.until([&] { return rig.count("gone a 1") == 1; });
  CHECK(rig.count("message a before") == 1);
  std::string head(wire::head_bytes, '\0');
  wire::put_head(head.data(), wire::FrameType::event, executor::control_frame_bytes + 1);
  RawPeer long_one(rig, "a");
  long_one.send_bytes(head);
  CHECK(long_one.rest().empty());
  b.send("after");
  rig.until([&] { return rig.count("message b after") == 1; });
}

TEST_CASE("a peer that does not read costs a bounded queue, delays nobody, and is told what it has missed") {
  ControlRig rig;
  for (const char* each : {"a", "slow", "quick"}) rig.add(each);
  RawPeer a(rig, "a"), slow(rig, "slow"), quick(rig, "quick");
  slow.send(control::subscribe, topic("news"));
  quick.send(control::subscribe, topic("news"));
  settle(rig.io);
  const std::string data = text(std::string(60'000, 'n'));
  constexpr std::uint64_t sent = 200;
  for (std::uint64_t i = 0; i < sent; ++i) {
    a.send("news", data);
    CHECK(quick.receive().data.msgpack.size() == data.size());
  }
  const std::uint64_t dropped = rig.hub->counters().dropped;
  CHECK(dropped > 0);
  CHECK(sent - dropped <= (executor::control_queue_bytes + (1u << 20)) / data.size());
  for (std::uint64_t i = 0; i < sent - dropped; ++i) CHECK(slow.receive().type == "news");
  const auto lagged = slow.receive();
  CHECK(lagged.type == control::lagged);
  CHECK(read_control_data<control::Lagged>(lagged)->dropped == dropped);
  a.send("news", data);
  CHECK(slow.receive().type == "news");
}

// --- shutdown ----------------------------------------------------------------------------------------

TEST_CASE("what was published before a shutdown is delivered before it, and it is acknowledged") {
  ControlRig rig;
  rig.add("a");
  rig.add("b");
  RawPeer a(rig, "a"), b(rig, "b");
  b.send(control::subscribe, topic(">"));
  settle(rig.io);
  for (int i = 0; i < 100; ++i) REQUIRE(rig.hub->publish("n" + std::to_string(i), {}).ok());
  std::optional<bool> acknowledged;
  rig.hub->shutdown("b", 1, "cutover", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
  for (int i = 0; i < 100; ++i) CHECK(b.receive().type == "n" + std::to_string(i));
  const auto event = b.receive();
  CHECK(event.type == control::shutdown);
  const auto shutdown = read_control_data<control::Shutdown>(event);
  CHECK(shutdown->reason == "cutover");
  CHECK(shutdown->grace_ms == 60'000);
  CHECK_FALSE(acknowledged);
  b.send("last");
  b.send(control::shutdown_ack);
  rig.until([&] { return acknowledged.has_value(); });
  CHECK(*acknowledged);
  CHECK(rig.count("message b last") == 1);
}

TEST_CASE("a shutdown that nobody acknowledges is over after its grace; one of nobody at once") {
  ControlRig rig;
  rig.add("a");
  RawPeer a(rig, "a");
  std::vector<std::string> done;
  const auto note = [&](const char* which) {
    return [&done, which](bool yes) { done.push_back(std::string(which) + (yes ? " yes" : " no")); };
  };
  rig.hub->shutdown("a", 1, "", std::chrono::milliseconds(20), note("silent"));
  rig.hub->shutdown("a", 2, "", std::chrono::seconds(60), note("unknown"));
  CHECK(done.empty());
  rig.until([&] { return done.size() == 2; });
  CHECK(done == std::vector<std::string>{"unknown no", "silent no"});
  a.send(control::shutdown_ack);
  a.send("alive");
  rig.until([&] { return rig.count("message a alive") == 1; });
  CHECK(done.size() == 2);
  rig.hub->shutdown("a", 1, "", std::chrono::seconds(60), note("removed"));
  rig.hub->unregister_node("a", 1);
  rig.until([&] { return done.size() == 3; });
  CHECK(done.back() == "removed no");
}

TEST_CASE("a script that acknowledges by a second connection is heard, also after the first is gone") {
  ControlRig rig;
  rig.add("a");
  RawPeer first(rig, "a");
  std::optional<bool> acknowledged;
  rig.hub->shutdown("a", 1, "", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
  CHECK(first.receive().type == control::shutdown);
  first.hang_up();
  rig.until([&] { return rig.count("gone a 1") == 1; });
  RawPeer second(rig, "a");
  second.send(control::shutdown_ack);
  second.end();
  CHECK(second.rest().empty());
  rig.until([&] { return acknowledged.has_value(); });
  CHECK(*acknowledged);
}

// --- the adapter -------------------------------------------------------------------------------------

TEST_CASE("an adapter says hello, sends heartbeats, and hears what it has subscribed to") {
  ControlRig rig;
  rig.add("a");
  rig.add("b");
  auto options = rig.options("a");
  options.heartbeat_interval = std::chrono::milliseconds(5);
  Node a(rig.io, options), b(rig.io, rig.options("b"));
  REQUIRE(a.adapter.subscribe("news.*").ok());
  CHECK(a.adapter.subscribe("no..pattern").error().code == Code::invalid_params);
  REQUIRE(b.adapter.publish("early").ok());
  rig.until([&] { return rig.count("heartbeat a 1") >= 3 && rig.count("message b early") == 1; });
  CHECK(a.told == std::vector<std::string>{"connected line"});
  REQUIRE(b.adapter.publish("news.one", text("1")).ok());
  REQUIRE(b.adapter.publish("other").ok());
  REQUIRE(rig.hub->publish("news.two", {}).ok());
  rig.until([&] { return a.messages.size() == 2; });
  // In each sender's order.
  CHECK(std::any_of(a.messages.begin(), a.messages.end(), [](const api::Event& each) {
    return each.type == "news.one" && each.source == "b" && each.data.msgpack == text("1");
  }));
  a.adapter.unsubscribe("news.*");
  REQUIRE(a.adapter.publish("done").ok());
  rig.until([&] { return rig.count("message a done") == 1; });
  REQUIRE(rig.hub->publish("news.three", {}).ok());
  REQUIRE(a.adapter.subscribe("last").ok());
  REQUIRE(a.adapter.publish("mark").ok());
  rig.until([&] { return rig.count("message a mark") == 1; });
  REQUIRE(rig.hub->publish("last", {}).ok());
  rig.until([&] { return a.messages.size() == 3; });
  CHECK(a.messages.back().type == "last");
  CHECK(a.adapter.publish("control.hello").error().code == Code::invalid_params);
}

TEST_CASE("an adapter with a wrong token is refused for good") {
  ControlRig rig;
  rig.add("a");
  Node node(rig.io, rig.options("a", "wrong"));
  rig.until([&] { return !node.closed.empty(); });
  CHECK(node.closed == "E_PERMISSION_DENIED");
  CHECK(node.told.empty());
  settle(rig.io);
  CHECK(rig.hub->counters().refused == 1);
}

TEST_CASE("an adapter acknowledges a shutdown behind what it has published, and then delivers all") {
  ControlRig rig;
  rig.add("a");
  Node node(rig.io, rig.options("a"));
  node.on_shutdown = [&] {
    for (int i = 0; i < 10; ++i) REQUIRE(node.adapter.publish("last" + std::to_string(i)).ok());
    node.adapter.shutdown();
    CHECK(node.adapter.publish("too.late").error().code == Code::stdin_closed);
  };
  rig.until([&] { return rig.hub->connected("a", 1); });
  bool acknowledged = false;
  rig.hub->shutdown("a", 1, "down", std::chrono::seconds(60), [&](bool yes) {
    acknowledged = yes;
    CHECK(rig.count("message a last9") == 1);
  });
  rig.until([&] { return !node.closed.empty() && rig.count("gone a 1") == 1; });
  CHECK(node.closed == "in order");
  CHECK(acknowledged);
  CHECK(node.told == std::vector<std::string>{"connected line", "shutdown down 60000"});
}

TEST_CASE("an adapter that is to leave the acknowledgement to its user does") {
  ControlRig rig;
  rig.add("a");
  auto options = rig.options("a");
  options.acknowledge = false;
  Node node(rig.io, options);
  rig.until([&] { return rig.hub->connected("a", 1); });
  std::optional<bool> acknowledged;
  rig.hub->shutdown("a", 1, "", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
  rig.until([&] { return node.count("shutdown  60000") == 1; });
  REQUIRE(node.adapter.publish("mark").ok());
  rig.until([&] { return rig.count("message a mark") == 1; });
  CHECK_FALSE(acknowledged);
  node.adapter.acknowledge();
  rig.until([&] { return acknowledged.has_value(); });
  CHECK(*acknowledged);
}

TEST_CASE("shutdown delivers what was published, however much waits and even before the first connection") {
  ControlRig rig;
  rig.add("a");
  Node node(rig.io, rig.options("a"));
  const std::string data = text(std::string(50'000, 'x'));
  std::size_t taken = 0;
  Error refusal(Code::internal, "");
  for (;;) {
    const auto published = node.adapter.publish("bulk", data);
    if (!published) {
      refusal = published.error();
      break;
    }
    ++taken;
  }
  CHECK(refusal.code == Code::limit_exceeded);
  CHECK(node.adapter.unsent_bytes() <= executor::control_queue_bytes);
  CHECK(node.adapter.unsent_bytes() + data.size() + 200 > executor::control_queue_bytes);
  node.adapter.shutdown();
  rig.until([&] { return !node.closed.empty(); });
  CHECK(node.closed == "in order");
  CHECK(rig.count("message a bulk") == taken);
  CHECK(node.adapter.unsent_bytes() == 0);
}

TEST_CASE("shutdown with nobody to deliver to says what was lost") {
  ControlRig rig;
  auto options = rig.options("a");
  options.socket = rig.dir.path() + "/none";
  Node node(rig.io, options), idle(rig.io, options);
  REQUIRE(node.adapter.publish("news").ok());
  rig.until([&] { return node.count("lost") >= 2; });
  node.adapter.shutdown();
  idle.adapter.shutdown();
  rig.until([&] { return !node.closed.empty() && !idle.closed.empty(); });
  CHECK(node.closed == "E_NOT_RUNNING");
  CHECK(idle.closed == "in order");
}

TEST_CASE("an adapter connects again by itself, subscribes again, and sends what had not left") {
  ControlRig rig;
  rig.add("a");
  Node node(rig.io, rig.options("a"));
  REQUIRE(node.adapter.subscribe("news").ok());
  rig.until([&] { return rig.hub->connected("a", 1); });
  rig.hub.reset();
  rig.until([&] { return node.count("lost") >= 2; });
  CHECK_FALSE(node.adapter.connected());
  REQUIRE(node.adapter.publish("meanwhile").ok());
  rig.told.clear();
  rig.open();
  rig.add("a");
  rig.until([&] { return rig.count("message a meanwhile") == 1; });
  CHECK(rig.told[0] == "hello a 1");
  CHECK(node.count("connected line") == 2);
  REQUIRE(rig.hub->publish("news", {}).ok());
  rig.until([&] { return node.messages.size() == 1; });
}

TEST_CASE("an adapter counts what it does not understand, and goes on") {
  TempDir dir;
  boost::asio::io_context io{1};
  const std::string path = dir.path() + "/s";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 4) == 0);
  executor::ControlOptions options;
  options.socket = path;
  options.node = "a";
  {
    Node node(io, options);
    settle(io);
    const UniqueFd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string bytes;
    const auto add = [&](std::string_view type, const std::string& data) {
      api::append_event(bytes, executor::make_control_event(type, data, "executor"));
    };
    add("news", {});             // before its welcome
    add(control::shutdown, {});  // the same
    add(control::welcome, text("no map"));
    add(control::welcome, reflect::to_msgpack(control::Welcome{"line", 1, 1000}));
    add(control::welcome, reflect::to_msgpack(control::Welcome{"line", 1, 1000}));  // twice
    add(control::hello, {});
    wire::append_frame(bytes, wire::FrameType::request, [](std::string& to) { to += "\x80"; });
    wire::append_frame(bytes, wire::FrameType::event, [](std::string& to) { to += "\xc1"; });
    add("news", {});
    REQUIRE(::send(server.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    run_until(io, [&] { return node.messages.size() == 1; });
    CHECK(node.adapter.malformed() == 7);
    CHECK(node.told == std::vector<std::string>{"connected line"});
  }
  settle(io);
}

TEST_CASE("a node's environment names it, its topology, the socket and its token") {
  const auto made = executor::control_environment("line", "a", "/run/c", "t");
  const std::map<std::string, std::string> expected = {{"KAIRO_NODE", "a"},
                                                       {"KAIRO_TOPOLOGY", "line"},
                                                       {"KAIRO_CONTROL_SOCKET", "/run/c"},
                                                       {"KAIRO_CONTROL_TOKEN", "t"}};
  CHECK(made == expected);
  CHECK(executor::make_control_token() != executor::make_control_token());
  for (const auto& [name, value] : made) ::unsetenv(name.c_str());
  CHECK(executor::ControlOptions::from_environment().error().code == Code::not_found);
  for (const auto& [name, value] : made) ::setenv(name.c_str(), value.c_str(), 1);
  const auto options = executor::ControlOptions::from_environment();
  for (const auto& [name, value] : made) ::unsetenv(name.c_str());
  REQUIRE(options.ok());
  CHECK(options->node == "a");
  CHECK(options->socket == "/run/c");
  CHECK(options->token == "t");
}
