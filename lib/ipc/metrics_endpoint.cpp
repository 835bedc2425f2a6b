#include "ipc/metrics_endpoint.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "base/clock.hpp"
#include "base/limits.hpp"
#include "ipc/listener.hpp"
#include "ipc/socket_file.hpp"

namespace kairo::ipc {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using Stream = beast::basic_stream<asio::generic::stream_protocol>;

/// With or without a query.
bool is_metrics(std::string_view target) {
  return target.substr(0, target.find('?')) == "/metrics";
}

/// One scraper's connection: request, answer, and again. Lives as long as an operation is under way.
class Scraper : public std::enable_shared_from_this<Scraper> {
 public:
  Scraper(asio::io_context& io, std::shared_ptr<const MetricsEndpoint::Callbacks> callbacks)
      : stream_(io), callbacks_(std::move(callbacks)), buffer_(limits::scrape_request_bytes) {}

  /// False when the socket cannot be taken.
  bool take(UniqueFd socket) {
    int family = 0;
    socklen_t size = sizeof family;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return false;
    boost::system::error_code failed;
    stream_.socket().assign(asio::generic::stream_protocol(family, 0), socket.get(), failed);
    if (failed) return false;
    static_cast<void>(socket.release());
    return true;
  }

  /// Waits for the first bytes of a request, and then for the rest of its head.
  void read() {
    quiet_since_ = SteadyClock::now();
    parser_.emplace();
    parser_->header_limit(limits::scrape_request_bytes);
    stream_.expires_after(limits::scrape_idle);
    http::async_read_some(stream_, buffer_, *parser_,
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
                            self->read_rest(error);
                          });
  }
  void close() { stream_.close(); }
  [[nodiscard]] SteadyTime quiet_since() const { return quiet_since_; }

 private:
  void read_rest(const boost::system::error_code& error) {
    if (error || parser_->is_header_done()) return answer(error);
    stream_.expires_after(limits::scrape_transfer);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = shared_from_this()](const boost::system::error_code& failed,
                                                        std::size_t) { self->answer(failed); });
  }

  void answer(const boost::system::error_code& error) {
    if (error == http::error::end_of_stream) return close();
    if (error && error.category() != make_error_code(http::error::bad_method).category())
      return close();  // the socket's, or out of time
    response_ = {};
    response_.version(11);
    response_.set(http::field::content_type, "text/plain; charset=utf-8");
    head_only_ = false;
    if (error) {
      // What follows of a request that is none cannot be told from the next one.
      respond(http::status::bad_request, "this is no request for metrics\n", false);
      return;
    }
    const auto& request = parser_->get();
    head_only_ = request.method() == http::verb::head;
    // A body is not read: nothing that is served here has one.
    const bool keep = request.keep_alive() && parser_->is_done();
    response_.version(request.version());
    const std::string_view target(request.target().data(), request.target().size());
    if (!is_metrics(target)) {
      respond(http::status::not_found, "there is nothing but /metrics\n", keep);
    } else if (request.method() != http::verb::get && !head_only_) {
      response_.set(http::field::allow, "GET, HEAD");
      respond(http::status::method_not_allowed, "metrics are read with GET\n", keep);
    } else {
      response_.set(http::field::content_type, callbacks_->type);
      respond(http::status::ok, callbacks_->render(), keep);
    }
  }

  void respond(http::status status, std::string text, bool keep) {
    response_.result(status);
    response_.keep_alive(keep);
    response_.content_length(text.size());
    if (!head_only_) response_.body() = std::move(text);
    serializer_.emplace(response_);
    stream_.expires_after(limits::scrape_transfer);
    const auto done = [self = shared_from_this(), keep](const boost::system::error_code& error, std::size_t) {
      if (error || !keep) return self->close();
      self->read();
    };
    if (head_only_)
      http::async_write_header(stream_, *serializer_, done);
    else
      http::async_write(stream_, *serializer_, done);
  }

  Stream stream_;
  std::shared_ptr<const MetricsEndpoint::Callbacks> callbacks_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  SteadyTime quiet_since_{};
  bool head_only_ = false;
};

}  // namespace

/// Listener and connections.
class MetricsEndpoint::Serving {
 public:
  Serving(asio::io_context& io, Callbacks callbacks)
      : io_(io), callbacks_(std::make_shared<const Callbacks>(std::move(callbacks))) {}

  void listen(UniqueFd listening, std::optional<SocketFile> file, std::string address) {
    file_ = std::move(file);
    address_ = std::move(address);
    listener_ = std::make_unique<Listener>(
        io_, std::move(listening), [this](UniqueFd socket, const Peer&) { accept(std::move(socket)); },
        callbacks_->accept_failed);
    listener_->start();
  }
  void stop() {
    listener_->stop();
    for (const auto& each : scrapers_)
      if (const auto scraper = each.lock()) scraper->close();
    if (file_) file_->remove();
  }
  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] asio::io_context& io() const { return io_; }

 private:
  void accept(UniqueFd socket) {
    std::erase_if(scrapers_, [](const auto& each) { return each.expired(); });
    if (scrapers_.size() >= limits::scrapers) {
      const auto quietest = std::min_element(
          scrapers_.begin(), scrapers_.end(),
          [](const auto& a, const auto& b) { return a.lock()->quiet_since() < b.lock()->quiet_since(); });
      quietest->lock()->close();
      scrapers_.erase(quietest);
    }
    const auto scraper = std::make_shared<Scraper>(io_, callbacks_);
    if (!scraper->take(std::move(socket))) return;
    scrapers_.push_back(scraper);
    scraper->read();
  }

  asio::io_context& io_;
  std::shared_ptr<const Callbacks> callbacks_;  ///< Outlives this with the connections.
  std::optional<SocketFile> file_;
  std::string address_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::weak_ptr<Scraper>> scrapers_;
};

Result<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::open(asio::io_context& io,
                                                               const HttpAddress& address,
                                                               Callbacks callbacks) {
  auto serving = std::make_shared<Serving>(io, std::move(callbacks));
  if (address.path().empty()) {
    auto listening = address.listen_tcp();
    if (!listening) return std::move(listening).error();
    std::string real = tcp_address_of(listening->get());
    serving->listen(std::move(*listening), std::nullopt, std::move(real));
  } else {
    auto file = SocketFile::listen(address.path());
    if (!file) return std::move(file).error();
    UniqueFd listening = file->take_listener();
    serving->listen(std::move(listening), std::move(*file), address.text());
  }
  return std::unique_ptr<MetricsEndpoint>(new MetricsEndpoint(std::move(serving)));
}

MetricsEndpoint::~MetricsEndpoint() {
  serving_->stop();
  // An accept that has completed already still looks at it.
  asio::post(serving_->io(), [last = serving_] {});
}

const std::string& MetricsEndpoint::address() const {
  return serving_->address();
}

}  // namespace kairo::ipc
