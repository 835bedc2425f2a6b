// Where the daemon's metrics are served over HTTP: "unix:/path", "127.0.0.1:9464", "[::1]:9464", or "none".
// Never a place that other machines reach, and never a name, since nobody knows what one comes to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::ipc {

class HttpAddress {
 public:
  /// "none".
  HttpAddress() = default;
  /// E_INVALID_PARAMS says what the text must be, and that it must be of this machine alone.
  static Result<HttpAddress> parse(std::string_view text);

  [[nodiscard]] bool none() const { return text_ == "none"; }
  /// As it was written.
  [[nodiscard]] const std::string& text() const { return text_; }
  /// The path of a Unix socket, or empty.
  [[nodiscard]] const std::string& path() const { return path_; }

  /// A listening socket at an address of TCP; port 0 takes any. The error names the address.
  [[nodiscard]] Result<UniqueFd> listen_tcp() const;

 private:
  std::string text_ = "none";
  std::string path_;
  sockaddr_storage tcp_{};
  socklen_t tcp_size_ = 0;
};

/// The address of a TCP socket of ours as "127.0.0.1:9464"; empty when it has none.
std::string tcp_address_of(int socket);

}  // namespace kairo::ipc
