#include "ipc/http_address.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <optional>
#include <sys/un.h>

namespace kairo::ipc {
namespace {

constexpr int backlog = 16;

Error bad(std::string_view text, const std::string& problem) {
  return Error(Code::invalid_params, "cannot serve metrics at \"" + std::string(text.substr(0, 200)) +
                                         "\": " + problem +
                                         "; give none, unix:/PATH, 127.0.0.1:PORT or [::1]:PORT");
}

std::optional<std::uint16_t> to_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

Result<HttpAddress> HttpAddress::parse(std::string_view text) {
  HttpAddress out;
  out.text_ = text;
  if (text == "none") return out;
  constexpr std::string_view unix_prefix = "unix:";
  if (text.starts_with(unix_prefix)) {
    out.path_ = text.substr(unix_prefix.size());
    if (out.path_.empty() || out.path_[0] != '/' || out.path_.find('\0') != std::string::npos)
      return bad(text, "the path must be absolute");
    if (out.path_.size() >= sizeof(sockaddr_un::sun_path))
      return bad(text, "a socket's path has at most " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                           " bytes");
    return out;
  }
  const std::size_t colon = text.rfind(':');
  const auto port = colon == std::string_view::npos ? std::nullopt : to_port(text.substr(colon + 1));
  if (!port) return bad(text, "there is no port");
  std::string host(text.substr(0, colon));
  sockaddr_in four{};
  sockaddr_in6 six{};
  if (::inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    if (ntohl(four.sin_addr.s_addr) >> 24 != 127)
      return bad(text, "other machines could reach it, and metrics are served to this one alone");
    four.sin_family = AF_INET;
    four.sin_port = htons(*port);
    std::memcpy(&out.tcp_, &four, sizeof four);
    out.tcp_size_ = sizeof four;
    return out;
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']' &&
      ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six.sin6_addr) == 1) {
    if (!IN6_IS_ADDR_LOOPBACK(&six.sin6_addr))
      return bad(text, "other machines could reach it, and metrics are served to this one alone");
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(*port);
    std::memcpy(&out.tcp_, &six, sizeof six);
    out.tcp_size_ = sizeof six;
    return out;
  }
  return bad(text, "\"" + host.substr(0, 100) + "\" is no address");
}

Result<UniqueFd> HttpAddress::listen_tcp() const {
  const std::string attempt = "cannot serve metrics at " + text_;
  UniqueFd out(::socket(tcp_.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out) return system_error(attempt, errno);
  const int yes = 1;
  // Connections of the daemon before must not keep its successor from the port.
  ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(out.get(), reinterpret_cast<const sockaddr*>(&tcp_), tcp_size_) != 0 ||
      ::listen(out.get(), backlog) != 0)
    return system_error(attempt, errno, errno == EADDRINUSE ? Code::already_exists : Code::internal);
  return out;
}

std::string tcp_address_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[INET6_ADDRSTRLEN] = {};
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  if (address.ss_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &address, sizeof four);
    ::inet_ntop(AF_INET, &four.sin_addr, host, sizeof host);
    return std::string(host) + ":" + std::to_string(ntohs(four.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &address, sizeof six);
    ::inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(six.sin6_port));
  }
  return {};
}

}  // namespace kairo::ipc
