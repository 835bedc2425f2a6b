// What daemon and processes use, thresholds of the host, and the text for Prometheus.
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

using namespace kairo::test;

namespace {

/// One request to a Unix socket: the body of the answer, or what came instead.
std::string get(const std::string& path) {
  const kairo::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "refused";
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "broken";
  std::string out;
  char bytes[4096];
  for (ssize_t got = 0; (got = recv(fd.get(), bytes, sizeof bytes, 0)) > 0;)
    out.append(bytes, static_cast<std::size_t>(got));
  const std::size_t body = out.find("\r\n\r\n");
  return body == std::string::npos || !out.starts_with("HTTP/1.1 200 ") ? out : out.substr(body + 4);
}

/// Reads a text of the exposition format strictly: every line, every family's head before its samples and
/// once, names and labels, buckets that rise and end with +Inf. Gives the samples by name with labels;
/// complains of whatever is wrong.
std::map<std::string, double> parse_exposition(const std::string& text) {
  std::map<std::string, double> out;
  std::map<std::string, std::string> types;
  std::set<std::string> helped;
  std::string family;
  double last_bucket = -1, last_bound = -1, inf = -1;
  const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)"),
      type("# TYPE (\\S+) (counter|gauge|histogram)");
  const std::regex sample(
      "([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{([a-z_]+=\"([^\"\\\\]|\\\\.)*\"(,[a-z_]+=\"([^\"\\\\]|\\\\.)*\")*)\\})? "
      "(\\S+)");
  CHECK(text.ends_with("\n"));
  for (const std::string& line : lines_of(text)) {
    std::smatch found;
    if (std::regex_match(line, found, help)) {
      CHECK_MESSAGE(helped.insert(found[1]).second, line);
    } else if (std::regex_match(line, found, type)) {
      family = found[1];
      CHECK_MESSAGE(helped.contains(family), line);
      CHECK_MESSAGE(types.emplace(family, found[2]).second, line);
      if (found[2] == "counter") CHECK_MESSAGE(family.ends_with("_total"), line);
    } else {
      REQUIRE_MESSAGE(std::regex_match(line, found, sample), line);
      const std::string name = found[1], labels = found[3];
      std::string base = name;
      if (types[family] == "histogram")
        for (const std::string suffix : {"_bucket", "_sum", "_count"})
          if (name == family + suffix) base = family;
      CHECK_MESSAGE(base == family, line);
      const double value = std::stod(found[7]);
      CHECK_MESSAGE(out.emplace(name + found[2].str(), value).second, line);
      CHECK_MESSAGE(value >= 0, line);
      const std::size_t le = labels.find("le=\"");
      if (name.ends_with("_bucket") && types[family] == "histogram") {
        REQUIRE_MESSAGE(le != std::string::npos, line);
        const std::string bound = labels.substr(le + 4, labels.find('"', le + 4) - le - 4);
        const double number = bound == "+Inf" ? 1e300 : std::stod(bound);
        if (number < last_bound) last_bucket = last_bound = -1;
        CHECK_MESSAGE(value >= last_bucket, line);
        CHECK_MESSAGE(number > last_bound, line);
        last_bucket = value;
        last_bound = number;
        if (bound == "+Inf") {
          inf = value;
          last_bucket = last_bound = -1;
        }
      } else if (name.ends_with("_count") && types[family] == "histogram") {
        CHECK_MESSAGE(value == inf, line);
      }
    }
  }
  return out;
}

std::map<std::string, double> scraped(const Daemon& daemon) {
  return parse_exposition(daemon.ctl({"metrics", "--prometheus"}).out);
}

std::string status_of(const Daemon& daemon, const std::string& id) {
  return daemon.ctl({"status", "--metrics", id}).out;
}

double number_at(const std::string& text, const std::string& pointer) {
  const std::string value = json_at(text, pointer);
  return value.empty() ? -1 : std::stod(value);
}

}  // namespace

TEST_SUITE_BEGIN("metrics");

TEST_CASE("the first call of all tells the use of the processor over an interval") {
  Daemon daemon(Daemon::Options{.start = false});
  const std::string first = daemon.ctl({"metrics"}).out;
  CHECK(number_at(first, "/cpu/usagePercent") >= 0);
  CHECK(number_at(first, "/cpu/usagePercent") <= 100);
  CHECK(number_at(first, "/cpu/intervalMs") >= 100);
  CHECK(number_at(first, "/cpu/perCore/0/usagePercent") >= 0);
  CHECK(number_at(daemon.ctl({"metrics"}).out, "/cpu/intervalMs") >= 100);
}

TEST_CASE("a session's metrics cover its whole tree, a double-forked descendant included") {
  Daemon daemon;
  // The shell, a sleep in its group, and one that has left its session and lost its parent.
  const std::string id =
      spawned(daemon, {"--", "sh", "-c", "(setsid sleep 300 3</dev/null 4</dev/null &) ; sleep 300 & wait"});
  std::string status;
  eventually(
      [&] {
        status = status_of(daemon, id);
        return json_at(status, "/metrics/processes") == "3";
      },
      "three processes");
  CHECK(json_at(status, "/metrics/threads") == "3");
  CHECK(number_at(status, "/metrics/residentBytes") > 0);
  CHECK(number_at(status, "/metrics/cpu/intervalMs") >= 0);
  CHECK(number_at(status, "/metrics/descriptors") >= 11);  // 3 each, and two more in the one
  CHECK(number_at(status, "/metrics/privateBytes") > 0);
  CHECK(number_at(status, "/metrics/io/readBytes") > 0);
  CHECK(json_at(status, "/metrics/unreadable") == "");
  CHECK(json_at(daemon.ctl({"status", id}).out, "/metrics") == "");
}

TEST_CASE("processor time of children that run and of those that were waited for counts once") {
  Daemon daemon;
  // A child burns and is waited for; then the shell itself goes on burning.
  const std::string id =
      spawned(daemon, {"--", "sh", "-c",
                       "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; echo half; "
                       "while :; do :; done"});
  double before = 0;
  eventually(
      [&] {
        if (daemon.ctl({"logs", id}).out.find("half") == std::string::npos) return false;
        before = number_at(status_of(daemon, id), "/metrics/cpu/userSeconds");
        return before > 0;
      },
      "the time of a child that has ended");
  eventually(
      [&] {
        const std::string status = status_of(daemon, id);
        return number_at(status, "/metrics/cpu/userSeconds") >= before + 0.2 &&
               number_at(status, "/metrics/cpu/usagePercent") > 1 &&
               number_at(status, "/metrics/cpu/usagePercent") < 250;
      },
      "the time of the shell");
  // What ended and what runs cannot have used more than the machine's time since the start.
  const std::string status = status_of(daemon, id);
  CHECK(number_at(status, "/metrics/processes") == 1);
  daemon.ctl({"kill", "-s", "KILL", id});
  daemon.ctl({"wait", id});
  CHECK(json_at(status_of(daemon, id), "/metrics") == "");
}

TEST_CASE("kairoctl and both endpoints give the same families, and they count") {
  TempDir dir;
  const std::string path = dir.file("m.sock");
  Daemon daemon(Daemon::Options{.arguments = {"--metrics-listen", "unix:" + path}});
  CHECK(json_at(daemon.ctl({"info"}).out, "/metricsListen") == "unix:" + path);
  const auto before = scraped(daemon);
  REQUIRE(daemon.ctl({"run", "--", "sh", "-c", "exit 3"}).code == 3);
  REQUIRE(daemon.ctl({"spawn", "--", "no-such-program"}).code == 1);
  REQUIRE(daemon.ctl({"status", "nosuch"}).code == 1);
  const auto after = scraped(daemon);
  if (run({"sh", "-c", "command -v promtool"}).code == 0) {
    const Ran judged = run({"promtool", "check", "metrics"}, daemon.ctl({"metrics", "--prometheus"}).out);
    CHECK_MESSAGE(judged.code == 0, judged.err);
  } else {
    MESSAGE("promtool is not here: the format is checked by this test's own parser alone");
  }
  const auto grown = [&](const std::string& name) {
    const auto old = before.find(name), now = after.find(name);
    return now == after.end() ? -1.0 : now->second - (old == before.end() ? 0 : old->second);
  };
  CHECK(grown("kairo_requests_total{method=\"process.spawn\"}") == 2);
  CHECK(grown("kairo_request_errors_total{code=\"E_SPAWN_FAILED\",method=\"process.spawn\"}") == 1);
  CHECK(grown("kairo_request_errors_total{code=\"E_NOT_FOUND\",method=\"process.status\"}") == 1);
  CHECK(grown("kairo_request_duration_seconds_count{method=\"process.spawn\"}") == 2);
  CHECK(grown("kairo_spawns_total{result=\"started\"}") == 1);
  CHECK(grown("kairo_spawns_total{result=\"failed\"}") == 1);
  CHECK(grown("kairo_spawn_duration_seconds_count") == 1);
  CHECK(grown("kairo_session_ends_total{reason=\"exited\"}") == 1);
  CHECK(grown("kairo_events_total{source=\"kernel\"}") >= 2);
  CHECK(grown("kairo_frames_received_total{type=\"request\"}") >= 4);
  CHECK(grown("kairo_frames_sent_total{type=\"response\"}") >= 4);
  CHECK(grown("kairo_frames_sent_total{type=\"chunk\"}") >= 1);
  CHECK(grown("kairo_received_bytes_total") > 100);
  CHECK(grown("kairo_sent_bytes_total") > 100);
  CHECK(after.at("kairo_sessions_live") == 0);
  CHECK(after.at("kairo_connections") == 1);
  const auto by_http = parse_exposition(get(path));
  for (const auto& [name, value] : after) CHECK_MESSAGE(by_http.contains(name), name);
  CHECK(by_http.at("kairo_connections") == 0);

  // It is there again after an upgrade in place, and goes with the daemon.
  REQUIRE(daemon.ctl({"kernel", "upgrade"}).code == 0);
  eventually([&] { return get(path).find("kairo_sessions_live") != std::string::npos; }, "the next endpoint");
  daemon.stop();
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("output that a reader was told of instead of sent is counted") {
  Daemon daemon;
  const std::string id =
      spawned(daemon, {"--retain", "65536", "--", "sh", "-c", "head -c 3000000 /dev/zero; sleep 300"});
  eventually(
      [&] {
        return json_at(daemon.ctl({"status", id}).out, "/streams/stdout/bytes") == "3000000";
      },
      "output");
  Program attached(daemon.ctl_argv({"attach", "--json", id}));
  attached.await_out("\"dropped\"");
  const auto now = scraped(daemon);
  CHECK(now.at("kairo_output_dropped_bytes_total{flow=\"follow\"}") > 1'000'000);
  attached.signal(SIGTERM);
}

TEST_CASE("a metricsListen that is taken is told, and SIGHUP moves it") {
  TempDir dir;
  const auto put = [&](const std::string& address) {
    dir.put("kairod.json", "{\"metricsListen\": \"" + address + "\"}");
  };
  dir.put("taken", "a file, no socket");
  put("unix:" + dir.file("taken"));
  Daemon daemon(Daemon::Options{.arguments = {"--config", dir.file("kairod.json")}});
  eventually([&] { return daemon.said().find("no socket; trying again") != std::string::npos; },
             "the complaint");
  CHECK(json_at(daemon.ctl({"info"}).out, "/metricsListen") == "");
  for (const std::string name : {"one.sock", "two.sock"}) {
    put("unix:" + dir.file(name));
    kill(daemon.pids().daemon, SIGHUP);
    eventually([&] { return get(dir.file(name)).find("kairo_build_info{version=") != std::string::npos; },
               "the endpoint");
  }
  CHECK_FALSE(std::filesystem::exists(dir.file("one.sock")));
  put("0.0.0.0:9464");
  kill(daemon.pids().daemon, SIGHUP);
  eventually([&] { return daemon.said().find("was not reloaded") != std::string::npos; }, "the refusal");
  CHECK(get(dir.file("two.sock")).find("kairo_build_info") != std::string::npos);
  put("none");
  kill(daemon.pids().daemon, SIGHUP);
  eventually([&] { return !std::filesystem::exists(dir.file("two.sock")); }, "the end of the endpoint");
}

TEST_CASE("an address that other machines reach is refused") {
  const Ran ran = run({kairod_path(), "--metrics-listen", "0.0.0.0:9464"});
  CHECK(ran.code == 64);
  CHECK(ran.err.find("other machines could reach it") != std::string::npos);
}

TEST_CASE("thresholds of the host are told once, with their figures") {
  TempDir host;
  const auto put = [&](const std::string& path, const std::string& text) {
    const std::filesystem::path whole = host.path() + "/" + path;
    std::filesystem::create_directories(whole.parent_path());
    // Replaced at once: the daemon must not read half of it.
    std::ofstream(whole.string() + ".new") << text;
    std::filesystem::rename(whole.string() + ".new", whole);
  };
  put("proc/stat", "cpu  100 0 0 900 0 0 0 0\ncpu0 50 0 0 450 0 0 0 0\ncpu1 50 0 0 450 0 0 0 0\n");
  put("proc/loadavg", "0.50 0.50 0.50 1/2 3\n");
  put("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
  put("sys/class/power_supply/BAT0/type", "Battery\n");
  put("sys/class/power_supply/BAT0/status", "Discharging\n");
  put("sys/class/power_supply/BAT0/capacity", "50\n");
  TempDir dir;
  dir.put("kairod.json", "{\"sampleSeconds\": 1, \"highSeconds\": 0}");
  Daemon daemon(
      Daemon::Options{.arguments = {"--host-root", host.path(), "--config", dir.file("kairod.json")}});
  Program events(daemon.ctl_argv({"events", "-f", "--topic", "kairo.system.>"}));
  eventually([&] { return scraped(daemon).at("kairo_event_subscriptions") == 1; }, "the subscription");
  put("proc/loadavg", "5.00 0.50 0.50 1/2 3\n");
  events.await_out("kairo.system.load.high");
  put("sys/class/power_supply/BAT0/capacity", "7\n");
  events.await_out("kairo.system.power.critical");
  // The look that finds this finds load and battery as they were, which is told no second time.
  put("proc/loadavg", "4.00 0.50 0.50 1/2 3\n");
  put("sys/class/power_supply/BAT0/capacity", "6\n");
  put("proc/pressure/memory", "some avg10=33.00 avg60=0.00 avg300=0.00 total=7\n");
  events.await_out("\"memory\"");
  CHECK(scraped(daemon).at("kairo_frames_sent_total{type=\"event\"}") == 3);
  events.signal(SIGTERM);
  events.wait();
  std::size_t power = 0, load = 0, memory = 0;
  for (const std::string& line : lines_of(events.out())) {
    if (json_at(line, "/type") == "kairo.system.power.critical") {
      ++power;
      CHECK(number_at(line, "/data/percent") == 7);
      CHECK(json_at(line, "/data/battery/0/name") == "BAT0");
    } else if (json_at(line, "/data/resource") == "cpu") {
      ++load;
      CHECK(number_at(line, "/data/percent") == 250);
      CHECK(number_at(line, "/data/load/one") == 5);
      CHECK(json_at(line, "/data/thresholdPercent") == "200");
    } else if (json_at(line, "/data/resource") == "memory") {
      ++memory;
      CHECK(number_at(line, "/data/pressure/some/avg10") == 33);
    }
  }
  CHECK(power == 1);
  CHECK(load == 1);
  CHECK(memory == 1);
}

TEST_SUITE_END();
