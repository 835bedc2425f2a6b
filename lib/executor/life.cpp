#include "executor/life.hpp"

namespace kairo::executor {

class Life::Relay final : public DuplexHandler {
 public:
  std::weak_ptr<DuplexHandler> reader;
  std::weak_ptr<DuplexHandler> writer;
  std::function<void(const Error*)> closed;

  void on_data(std::string_view bytes) override {
    if (const auto to = reader.lock()) to->on_data(bytes);
  }
  void on_end() override {
    if (const auto to = reader.lock()) to->on_end();
  }
  void on_drain() override {
    if (const auto to = writer.lock()) to->on_drain();
  }
  void on_close(const Error* why) override {
    if (const auto to = reader.lock()) to->on_close(why);
    if (const auto to = writer.lock()) to->on_close(why);
    if (closed) closed(why);
  }
};

Life::Life(std::shared_ptr<Duplex> duplex, std::function<void(const Error*)> closed)
    : duplex_(std::move(duplex)), relay_(std::make_shared<Relay>()) {
  relay_->closed = std::move(closed);
  duplex_->keep(relay_);
  duplex_->start(*relay_);
}

Life::~Life() {
  relay_->closed = {};
  duplex_->destroy();
}

void Life::set_reader(std::weak_ptr<DuplexHandler> reader) {
  relay_->reader = std::move(reader);
}

void Life::set_writer(std::weak_ptr<DuplexHandler> writer) {
  relay_->writer = std::move(writer);
}

}  // namespace kairo::executor
