#include "ipc/metrics_endpoint.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <filesystem>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "base/clock.hpp"
#include "base/limits.hpp"
#include "support/temp_dir.hpp"

using namespace kairo;
using ipc::HttpAddress;
using ipc::MetricsEndpoint;

namespace {

struct Rig {
  boost::asio::io_context io{1};
  std::string text = "a 1\n";
  int rendered = 0;

  std::unique_ptr<MetricsEndpoint> open(const std::string& where) {
    auto address = HttpAddress::parse(where);
    REQUIRE(address);
    auto opened = MetricsEndpoint::open(io, *address,
                                        {[this] {
                                           ++rendered;
                                           return text;
                                         },
                                         "text/x", [](const Error&) {}});
    REQUIRE(opened);
    return std::move(*opened);
  }

  static UniqueFd connect(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    UniqueFd out(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    return out;
  }

  /// Runs the loop until `done`; at most 20 s.
  template <class Done>
  bool until(Done done) {
    const auto deadline = SteadyClock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (SteadyClock::now() > deadline) return false;
      io.restart();
      io.run_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  /// Everything that comes until `end` is in it, or the connection has ended.
  std::string receive(int from, const std::string& end, bool* ended = nullptr) {
    std::string out;
    bool over = false;
    CHECK(until([&] {
      char bytes[4096];
      const ssize_t got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) out.append(bytes, static_cast<std::size_t>(got));
      over = got == 0 || (got < 0 && errno != EAGAIN);
      return over || (!end.empty() && out.find(end) != std::string::npos);
    }));
    if (ended) *ended = over;
    return out;
  }
  std::string ask(int to, const std::string& request, const std::string& end) {
    REQUIRE(send(to, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()));
    return receive(to, end);
  }
};

}  // namespace

TEST_CASE("addresses: Unix sockets and loopback alone") {
  for (const char* good : {"none", "unix:/run/m.sock", "127.0.0.1:0", "127.1.2.3:9464", "[::1]:9464"}) {
    auto parsed = HttpAddress::parse(good);
    REQUIRE_MESSAGE(parsed, good);
    CHECK(parsed->text() == good);
  }
  CHECK(HttpAddress::parse("none")->none());
  CHECK(HttpAddress::parse("unix:/run/m.sock")->path() == "/run/m.sock");
  for (const char* bad :
       {"", "0.0.0.0:9464", "192.168.0.1:9464", "[::]:9464", "[2001:db8::1]:1", ":9464", "9464",
        "localhost:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:1x",
        "::1:9464", "[::1]", "unix:", "unix:relative", "None"}) {
    auto parsed = HttpAddress::parse(bad);
    REQUIRE_FALSE_MESSAGE(parsed, bad);
    CHECK(parsed.error().code == Code::invalid_params);
  }
  CHECK(HttpAddress::parse("0.0.0.0:1").error().message.find("other machines") != std::string::npos);
  CHECK_FALSE(HttpAddress::parse("unix:/" + std::string(200, 'x')));
}

TEST_CASE("GET and HEAD are answered on one connection, other paths and methods refused") {
  Rig rig;
  const auto endpoint = rig.open("127.0.0.1:0");
  const UniqueFd client = Rig::connect(endpoint->address());
  std::string got = rig.ask(client.get(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "a 1\n");
  CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(got.find("Content-Type: text/x\r\n") != std::string::npos);
  CHECK(got.find("Content-Length: 4\r\n") != std::string::npos);
  rig.text = "a 2\n";
  got = rig.ask(client.get(), "GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", "a 2\n");
  CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
  got = rig.ask(client.get(), "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n");
  CHECK(got.find("Content-Length: 4\r\n") != std::string::npos);
  CHECK(got.ends_with("\r\n\r\n"));
  got = rig.ask(client.get(), "GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n", "/metrics\n");
  CHECK(got.starts_with("HTTP/1.1 404 "));
  got = rig.ask(client.get(), "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET\n");
  CHECK(got.starts_with("HTTP/1.1 405 "));
  CHECK(got.find("Allow: GET, HEAD\r\n") != std::string::npos);
  CHECK(rig.rendered == 3);
  // Two requests at once.
  got = rig.ask(client.get(),
                "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\nConnection: "
                "close\r\n\r\n",
                "a 2\n");
  CHECK(got.find("HTTP/1.1 200 OK", 10) != std::string::npos);
  bool ended = false;
  rig.receive(client.get(), "", &ended);
  CHECK(ended);
}

TEST_CASE("a request with a body is answered and its connection closed; what is no request, too") {
  Rig rig;
  const auto endpoint = rig.open("127.0.0.1:0");
  for (const auto& [request, answer] : std::vector<std::pair<std::string, std::string>>{
           {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 405 "},
           {"this is no HTTP\r\n\r\n", "HTTP/1.1 400 "},
           {"GET /metrics HTTP/1.1\r\nX: " + std::string(2 * limits::scrape_request_bytes, 'x'),
            "HTTP/1.1 400 "}}) {
    const UniqueFd client = Rig::connect(endpoint->address());
    static_cast<void>(send(client.get(), request.data(), request.size(), MSG_NOSIGNAL));
    bool ended = false;
    const std::string got = rig.receive(client.get(), "", &ended);
    CHECK(ended);
    CHECK_MESSAGE(got.starts_with(answer), got);
  }
  CHECK(rig.rendered == 0);
}

TEST_CASE("scrapers that stand still keep nobody out") {
  Rig rig;
  const auto endpoint = rig.open("127.0.0.1:0");
  std::vector<UniqueFd> stalled;
  for (std::size_t i = 0; i < 3 * limits::scrapers; ++i) {
    stalled.push_back(Rig::connect(endpoint->address()));
    // Half of them in the middle of a request.
    if (i % 2 == 0) CHECK(send(stalled.back().get(), "GET /met", 8, MSG_NOSIGNAL) == 8);
    const UniqueFd client = Rig::connect(endpoint->address());
    const std::string got = rig.ask(client.get(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "a 1\n");
    CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
  }
  bool ended = false;
  rig.receive(stalled.front().get(), "", &ended);
  CHECK(ended);  // its place was wanted
}

TEST_CASE("a scraper that asks and never reads holds up no other") {
  Rig rig;
  rig.text = std::string(8u << 20, 'x') + "end";
  const auto endpoint = rig.open("127.0.0.1:0");
  const UniqueFd stalled = Rig::connect(endpoint->address());
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  REQUIRE(send(stalled.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0);
  REQUIRE(rig.until([&] { return rig.rendered == 1; }));
  const UniqueFd client = Rig::connect(endpoint->address());
  const std::string got = rig.ask(client.get(), request, "end");
  CHECK(got.size() > rig.text.size());
}

TEST_CASE("a Unix socket has mode 0600, replaces a stale one, and goes with the endpoint") {
  const test::TempDir dir;
  const std::string path = dir.file("m.sock");
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
  {
    const UniqueFd stale(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(stale.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  }
  Rig rig;
  {
    const auto endpoint = rig.open("unix:" + path);
    CHECK(endpoint->address() == "unix:" + path);
    struct stat status {};
    REQUIRE(lstat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    const auto second =
        MetricsEndpoint::open(rig.io, *HttpAddress::parse("unix:" + path), {{}, {}, [](const Error&) {}});
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Code::already_exists);
    const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    const std::string got = rig.ask(client.get(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "a 1\n");
    CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  rig.until([] { return true; });
}
