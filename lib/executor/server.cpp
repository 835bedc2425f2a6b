#include "executor/server.hpp"

#include "api/envelope.hpp"
#include "wire/payload.hpp"

namespace kairo::executor {

class Server::Peer final : public ipc::Handler, public std::enable_shared_from_this<Peer> {
 public:
  Peer(Server& server, std::shared_ptr<ipc::Connection> connection)
      : server_(server), connection_(std::move(connection)) {}

  void start() { connection_->start(shared_from_this()); }
  void close() { connection_->close(); }
  [[nodiscard]] bool quiet() const { return connection_->closed() || connection_->outbox_bytes() == 0; }

  Result<void> on_frame(const wire::Frame& frame, std::vector<UniqueFd>&) override {
    auto payload = decoder_.decode(frame.payload);
    if (!payload) return std::move(payload).error();
    if (frame.type != wire::FrameType::request)
      return Error(Code::invalid_request, "an executor takes REQUEST frames only");
    std::optional<api::RequestId> id;
    auto request = api::read_request(*payload, id);
    if (!request) return std::move(request).error();
    ++unanswered_;
    server_.handle_(request->method, request->params,
                    [weak = weak_from_this(), asked = request->id](Result<std::string> result) {
                      const auto self = weak.lock();
                      if (!self) return;
                      --self->unanswered_;
                      if (self->connection_->closed()) return;
                      std::string& out = self->connection_->outbox();
                      if (result)
                        api::append_response(out, asked, reflect::Any{*std::move(result)});
                      else
                        api::append_error(out, asked, result.error());
                      self->connection_->wrote();
                    });
    return {};
  }
  [[nodiscard]] bool has_output() const override { return false; }
  void fill(stream::Batch&, std::size_t) override {}
  void filled() override {}
  void on_drained() override { server_.drained(); }
  [[nodiscard]] bool owes() const override { return unanswered_ != 0; }
  void on_closed(const Error*) override {
    const auto self = shared_from_this();
    server_.peers_.erase(self);
    server_.drained();
  }

 private:
  Server& server_;
  std::shared_ptr<ipc::Connection> connection_;
  wire::PayloadDecoder decoder_;
  std::size_t unanswered_ = 0;
};

Server::Server(boost::asio::io_context& io, UniqueFd listening, Handle handle, Log log)
    : io_(io),
      handle_(std::move(handle)),
      log_(std::move(log)),
      listener_(
          io, std::move(listening),
          [this](UniqueFd socket, ipc::Peer peer) { accept(std::move(socket), peer); },
          [this](const Error& error) { log_(error.message); }) {}

Server::~Server() = default;

void Server::start() {
  listener_.start();
}

void Server::stop() {
  listener_.stop();
  for (const auto& each : peers_) each->close();
}

void Server::accept(UniqueFd socket, ipc::Peer peer) {
  auto made =
      std::make_shared<Peer>(*this, std::make_shared<ipc::Connection>(io_, std::move(socket), peer, batch_));
  peers_.insert(made);
  made->start();
}

void Server::when_sent(std::function<void()> done) {
  when_sent_ = std::move(done);
  drained();
}

void Server::drained() {
  if (!when_sent_) return;
  for (const auto& each : peers_)
    if (!each->quiet()) return;
  std::exchange(when_sent_, {})();
}

}  // namespace kairo::executor
