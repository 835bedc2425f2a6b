// A node that is a worker: a module in a thread of the executor's own.
#include <boost/asio/steady_timer.hpp>

#include "executor/node_life.hpp"
#include "executor/worker.hpp"

namespace kairo::executor {
namespace {

/// How long opening a file may take; a mount that hangs is not to keep a topology from being ended.
constexpr std::chrono::milliseconds open_timeout{10'000};

/// Reads what nothing is connected to, so that the module can come to its end. The output that it is given to
/// may outlive the node.
class Discard final : public DuplexHandler {
 public:
  static Discard& one() {
    static Discard out;
    return out;
  }
  void on_data(std::string_view) override {}
  void on_end() override {}
  void on_close(const Error*) override {}
};

class WorkerLife final : public NodeLife {
 public:
  WorkerLife(boost::asio::io_context& io, Spec spec, std::optional<Inheritance> inheritance)
      : io_(io), spec_(std::move(spec)), inheritance_(std::move(inheritance)), open_timer_(io) {}

  ~WorkerLife() override { *alive_ = false; }

  void start(Hooks hooks) override {
    hooks_ = std::move(hooks);
    const api::TopologyNode& node = *spec_.node;
    static const reflect::Any none{"\x80"};
    WorkerStart how;
    how.name = node.id;
    how.continues = spec_.generation > 1;
    const bool inherited = inheritance_.has_value();
    if (inherited) how.input = inheritance_->worker;
    auto worker = Worker::start(io_, *node.module, node.params.value_or(none), node.cwd.value_or(spec_.cwd),
                                spec_.path, std::move(how));
    if (!worker) return hooks_.started(std::move(worker).error());
    inheritance_.reset();
    worker_ = *std::move(worker);
    worker_->on_opened = [this] { tell_started({}); };
    worker_->on_ended = [this](const Error* why) { on_ended(why); };
    if (!spec_.has_input) worker_->input()->end();
    if (!spec_.has_output) {
      worker_->output()->start(Discard::one());
      worker_->output()->resume();
    }
    // What it inherited could not be taken back while it hangs; then nobody waits for its start, either.
    if (inherited) return;
    open_timer_.expires_after(open_timeout);
    open_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
      if (error || !*alive || !hooks_.started) return;
      given_up_ = true;
      worker_->end();
      tell_started(Error(Code::timeout,
                         "its file was not open within " + std::to_string(open_timeout.count()) + " ms"));
    });
  }

  std::shared_ptr<Duplex> input() override { return spec_.has_input && worker_ ? worker_->input() : nullptr; }
  std::shared_ptr<Duplex> output() override {
    return spec_.has_output && worker_ ? worker_->output() : nullptr;
  }

  void end(const std::string&, std::chrono::milliseconds) override {
    if (worker_) worker_->end();
  }

  [[nodiscard]] std::optional<std::string> process_id() const override { return std::nullopt; }
  [[nodiscard]] std::uint64_t unread() const override {
    if (inheritance_) return inheritance_->worker->unread();
    return worker_ ? worker_->unread() : 0;
  }
  std::string take_unread() override {
    if (inheritance_) return inheritance_->worker->take_unread();
    return worker_ ? worker_->take_unread() : std::string();
  }
  std::optional<Inheritance> inheritance() override {
    if (inheritance_) return std::exchange(inheritance_, std::nullopt);
    auto input = worker_ ? worker_->take_input() : nullptr;
    if (!input) return std::nullopt;
    return Inheritance{input->duplex(), {}, std::move(input)};
  }
  [[nodiscard]] std::string figures() const override { return worker_ ? worker_->figures() : std::string(); }

 private:
  void tell_started(Result<void> result) {
    open_timer_.cancel();
    // What is called may destroy this.
    if (const auto call = std::exchange(hooks_.started, nullptr)) call(std::move(result));
  }

  void on_ended(const Error* why) {
    // A start that failed has no end.
    if (given_up_) return;
    if (hooks_.started && why) return tell_started(*why);
    const std::shared_ptr<bool> alive = alive_;
    if (hooks_.started) tell_started({});
    if (!*alive) return;
    LifeEnd end;
    end.in_order = !why;
    end.text = why ? "failed: " + why->message : "came to its end";
    hooks_.ended(end);
  }

  boost::asio::io_context& io_;
  Spec spec_;
  std::optional<Inheritance> inheritance_;
  Hooks hooks_;
  std::unique_ptr<Worker> worker_;
  boost::asio::steady_timer open_timer_;
  bool given_up_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<NodeLife> make_worker_life(boost::asio::io_context& io, NodeLife::Spec spec,
                                           std::optional<Inheritance> inheritance) {
  return std::make_unique<WorkerLife>(io, std::move(spec), std::move(inheritance));
}

}  // namespace kairo::executor
