// The daemon's metrics over HTTP/1.1, for Prometheus: GET and HEAD of /metrics, on a Unix socket or a port of
// the loopback interface.
//
// It runs on the kernel's thread: the text is made in some tens of microseconds and from that thread's own
// plain counters, so that no lock and no copy of them is needed. Nothing there ever waits for a scraper: what
// one may ask is bounded (limits::scrape_request_bytes), an exchange has limits::scrape_transfer, a
// connection may be idle for limits::scrape_idle, and of limits::scrapers connections a further one ends that
// which has been quiet the longest, so that scrapers which stand still keep nobody out.
//
// Beast is included by metrics_endpoint.cpp alone.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "ipc/http_address.hpp"

namespace kairo::ipc {

class MetricsEndpoint {
 public:
  struct Callbacks {
    std::function<std::string()> render;              ///< The text now.
    std::string type;                                 ///< Its Content-Type.
    std::function<void(const Error&)> accept_failed;  ///< It pauses and goes on.
  };
  /// Listens; a stale socket's file is replaced, a live one's is E_ALREADY_EXISTS. `address` is not none().
  static Result<std::unique_ptr<MetricsEndpoint>> open(boost::asio::io_context& io,
                                                       const HttpAddress& address, Callbacks callbacks);
  /// Closes listener and connections and removes the socket's file.
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

  /// Where it listens: "unix:/path", or the address with its real port.
  [[nodiscard]] const std::string& address() const;

 private:
  class Serving;
  explicit MetricsEndpoint(std::shared_ptr<Serving> serving) : serving_(std::move(serving)) {}
  std::shared_ptr<Serving> serving_;
};

}  // namespace kairo::ipc
