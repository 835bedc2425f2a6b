// Programs that speak the control protocol, against a hub: the examples of docs/examples/control, and
// kairoctl.
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "child.hpp"
#include "control_rig.hpp"

using namespace kairo;
using namespace kairo::test;
namespace control = api::control;

namespace {

/// This process's environment, kairoctl on its PATH, and what a node finds in it.
std::map<std::string, std::string> environment(const ControlRig& rig, const std::string& node,
                                               const std::string& token = "secret") {
  auto out = executor::control_environment("line", node, rig.socket(), token);
  const char* path = std::getenv("PATH");
  out["PATH"] = std::filesystem::path(KAIRO_KAIROCTL).parent_path().string() + ":" + (path ? path : "");
  return out;
}

std::vector<std::string> kairoctl(std::initializer_list<const char*> words) {
  std::vector<std::string> out{KAIRO_KAIROCTL, "control"};
  out.insert(out.end(), words.begin(), words.end());
  return out;
}

std::size_t lines_with(const Child& child, const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = child.output().find(text); at != std::string::npos;
       at = child.output().find(text, at + 1))
    ++count;
  return count;
}

int exit_code_of(ControlRig& rig, Child& child) {
  rig.until([&] { return child.read() && child.ended(); });
  return child.exit_code();
}

/// The next one is told and done.
int run(ControlRig& rig, const std::string& node, std::initializer_list<const char*> words) {
  Child child(kairoctl(words), environment(rig, node));
  child.end_input();
  return exit_code_of(rig, child);
}

}  // namespace

TEST_CASE("each example passes all on, says hello, sends heartbeats, and obeys a shutdown") {
  const std::string examples = KAIRO_EXAMPLES;
  for (const std::vector<std::string>& argv :
       {std::vector<std::string>{KAIRO_EXAMPLE_NODE}, std::vector<std::string>{examples + "/pass.sh"},
        std::vector<std::string>{KAIRO_NODE_JS, examples + "/pass.mjs"}}) {
    CAPTURE(argv.back());
    ControlRig rig;
    rig.add("a");
    Child child(argv, environment(rig, "a"));
    std::string input;
    for (int i = 0; i < 500'000; ++i) input += static_cast<char>(i * 31 % 251);
    std::string_view rest = input;
    rig.until([&] {
      if (!rest.empty()) child.write(rest);
      child.read();
      return child.output().size() == input.size() && rig.count("heartbeat a 1") > 0;
    });
    CHECK(rig.told[0] == "hello a 1");
    std::optional<bool> acknowledged;
    rig.hub->shutdown("a", 1, "down", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
    rig.until([&] { return acknowledged.has_value(); });
    CHECK(*acknowledged);
    // What was given to it is still its own to pass on.
    std::string_view last = "the last bytes";
    child.write(last);
    REQUIRE(last.empty());
    child.end_input();
    CHECK(exit_code_of(rig, child) == 0);
    CHECK(child.output() == input + "the last bytes");
    rig.until([&] { return rig.count("gone a 1") == 1; });
  }
}

TEST_CASE("kairoctl control run prints what comes, acknowledges a shutdown and leaves with 0") {
  ControlRig rig;
  rig.add("a");
  Child child(kairoctl({"run", "--interval", "5ms", "--topic", "news.*"}), environment(rig, "a"));
  rig.until([&] { return rig.count("heartbeat a 1") >= 3; });
  REQUIRE(rig.hub->publish("news.one", {reflect::to_msgpack(std::string("first"))}).ok());
  REQUIRE(rig.hub->publish("other", {}).ok());
  bool acknowledged = false;
  rig.hub->shutdown("a", 1, "down", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
  CHECK(exit_code_of(rig, child) == 0);
  rig.until([&] { return acknowledged; });
  CHECK(std::count(child.output().begin(), child.output().end(), '\n') == 3);
  CHECK(child.output().rfind("{\"type\":\"control.welcome\"", 0) == 0);
  CHECK(lines_with(child, "{\"type\":\"news.one\"") == 1);
  CHECK(lines_with(child, "\"data\":\"first\"") == 1);
  CHECK(lines_with(child, "{\"type\":\"control.shutdown\"") == 1);
}

TEST_CASE("kairoctl control run --no-ack leaves the acknowledgement to kairoctl control ack") {
  ControlRig rig;
  rig.add("a");
  Child child(kairoctl({"run", "--no-ack"}), environment(rig, "a"));
  rig.until([&] { return rig.hub->connected("a", 1); });
  std::optional<bool> acknowledged;
  rig.hub->shutdown("a", 1, "down", std::chrono::seconds(60), [&](bool yes) { acknowledged = yes; });
  CHECK(exit_code_of(rig, child) == 0);
  CHECK_FALSE(acknowledged);
  CHECK(run(rig, "a", {"ack"}) == 0);
  rig.until([&] { return acknowledged.has_value(); });
  CHECK(*acknowledged);
}

TEST_CASE("kairoctl control run ends with its parent, and with standard input where it is told to") {
  ControlRig rig;
  rig.add("a");
  {
    Child script({"sh", "-c", "kairoctl control run > /dev/null & read line"}, environment(rig, "a"));
    rig.until([&] { return rig.hub->connected("a", 1); });
    script.end_input();
    rig.until([&] { return script.ended() && rig.count("gone a 1") == 1; });
  }
  Child child(kairoctl({"run", "--stdin"}), environment(rig, "a"));
  rig.until([&] { return rig.hub->connected("a", 1); });
  std::string_view ignored = "what it says is not looked at";
  child.write(ignored);
  child.end_input();
  CHECK(exit_code_of(rig, child) == 0);
}

TEST_CASE("kairoctl control run finds the executor again, and gives up in time") {
  ControlRig rig;
  rig.add("a");
  Child child(kairoctl({"run", "--interval", "5ms"}), environment(rig, "a"));
  rig.until([&] { return rig.hub->connected("a", 1); });
  rig.hub.reset();
  rig.told.clear();
  rig.open();
  rig.add("a");
  rig.until([&] { return rig.count("heartbeat a 1") > 0; });
  Child other(kairoctl({"run", "--reconnect", "0"}), environment(rig, "a"));
  rig.until([&] {
    other.read();
    return lines_with(other, "control.welcome") == 1;
  });
  rig.hub.reset();
  CHECK(exit_code_of(rig, other) == 69);
}

TEST_CASE("kairoctl control publish and listen carry JSON from one node to another") {
  ControlRig rig;
  rig.add("a");
  rig.add("b", 1, "other");
  Child listener(kairoctl({"listen", "news.>", "-n", "2"}), environment(rig, "b", "other"));
  // A listener tells nobody that it has subscribed: what was published before is not heard.
  rig.until([&] {
    CHECK(run(rig, "a", {"publish", "news.early"}) == 0);
    listener.read();
    return lines_with(listener, "news.early") > 0;
  });
  CHECK(run(rig, "a", {"publish", "news.late", R"({"done": 3, "of": [1, "two", null, 0.5]})"}) == 0);
  CHECK(exit_code_of(rig, listener) == 0);
  CHECK(lines_with(listener, "\n") == 2);
  CHECK(rig.count("message a news.late") == 1);
  // Guests both: nothing was said of the nodes' health.
  CHECK(rig.count("hello a 1") + rig.count("hello b 1") == 0);
}

TEST_CASE("kairoctl control heartbeat says that the node is well") {
  ControlRig rig;
  rig.add("a");
  CHECK(run(rig, "a", {"heartbeat"}) == 0);
  const std::vector<std::string> expected{"hello a 1", "heartbeat a 1", "gone a 1"};
  rig.until([&] { return rig.told.size() == 3; });
  CHECK(rig.told == expected);
}

TEST_CASE("kairoctl control says what is wrong: no executor, a wrong token, no node") {
  ControlRig rig;
  rig.add("a");
  Child wrong(kairoctl({"publish", "news"}), environment(rig, "a", "wrong"));
  CHECK(exit_code_of(rig, wrong) == 77);
  rig.hub.reset();
  Child alone(kairoctl({"publish", "news"}), environment(rig, "a"));
  CHECK(exit_code_of(rig, alone) == 69);
  Child nobody(kairoctl({"publish", "news"}), {});
  CHECK(exit_code_of(rig, nobody) == 1);
}
