// A node that is a process: a session of the kernel whose stdin and stdout are ends that the executor made.
#include <fcntl.h>
#include <unistd.h>

#include "executor/kernel_link.hpp"
#include "executor/node_life.hpp"
#include "executor/pipe_ends.hpp"
#include "executor/unix_pipe_adapter.hpp"

namespace kairo::executor {
namespace {

/// Bytes that may wait for a process's socket to take them.
constexpr std::size_t high_water = 256 * 1024;

class ProcessLife final : public NodeLife {
 public:
  ProcessLife(boost::asio::io_context& io, KernelLink& kernel, Spec spec,
              std::optional<Inheritance> inheritance)
      : io_(io), kernel_(kernel), spec_(std::move(spec)), inheritance_(std::move(inheritance)) {
    id_ = spec_.topology + "." + spec_.node->id + "." + std::to_string(spec_.generation);
  }
  ~ProcessLife() override { *alive_ = false; }

  void start(Hooks hooks) override {
    hooks_ = std::move(hooks);
    api::SpawnParams params;
    std::vector<UniqueFd> descriptors;
    auto made = make_ends(descriptors);
    if (!made) return fail(std::move(made).error());
    describe(params);
    kernel_.spawn(std::move(params), std::move(descriptors),
                  [this, alive = alive_, &kernel = kernel_, id = id_](Result<api::ProcessSession> started) {
                    if (*alive) return on_started(std::move(started));
                    // Nobody wants it any more.
                    if (started) kernel.cancel(id, "not needed any more", std::chrono::milliseconds(0));
                  });
  }

  std::shared_ptr<Duplex> input() override { return input_; }
  std::shared_ptr<Duplex> output() override { return output_; }

  void end(const std::string& reason, std::chrono::milliseconds grace) override {
    if (running_) kernel_.cancel(id_, reason, grace);
  }

  [[nodiscard]] std::optional<std::string> process_id() const override { return id_; }
  [[nodiscard]] std::uint64_t unread() const override { return own_end_ ? unread_bytes(own_end_.get()) : 0; }

  std::string take_unread() override {
    if (!own_end_) return {};
    auto taken = executor::take_unread(own_end_.get());
    return taken ? *std::move(taken) : std::string();
  }

  std::optional<Inheritance> inheritance() override {
    if (inheritance_) return std::exchange(inheritance_, std::nullopt);
    if (!own_end_) return std::nullopt;
    return Inheritance{input_, std::move(own_end_), {}};
  }

 private:
  Result<void> make_ends(std::vector<UniqueFd>& descriptors) {
    const api::NodeIo io = spec_.node->io.value_or(api::NodeIo::sockets);
    if (spec_.has_input) {
      if (inheritance_) {
        input_ = std::move(inheritance_->input);
        own_end_ = std::move(inheritance_->own_end);
        inheritance_.reset();
      } else {
        auto ends = make_pipe_ends(io, Direction::to_node);
        if (!ends) return std::move(ends).error();
        auto input = UnixPipeAdapter::make(io_, {}, std::move(ends->ours), high_water);
        if (!input) return std::move(input).error();
        input_ = *std::move(input);
        own_end_ = std::move(ends->theirs);
      }
      // The own end stays here, too: what the process leaves unread is not lost with it.
      UniqueFd copy(::fcntl(own_end_.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy) return system_error("cannot duplicate a descriptor", errno, Code::limit_exceeded);
      descriptors.push_back(std::move(copy));
    }
    if (spec_.has_output) {
      auto ends = make_pipe_ends(io, Direction::from_node);
      if (!ends) return std::move(ends).error();
      auto output = UnixPipeAdapter::make(io_, std::move(ends->ours), {}, high_water);
      if (!output) return std::move(output).error();
      output_ = *std::move(output);
      descriptors.push_back(std::move(ends->theirs));
    }
    return {};
  }

  void describe(api::SpawnParams& params) const {
    const api::TopologyNode& node = *spec_.node;
    params.id = id_;
    params.command = *node.command;
    api::SpawnOptions options;
    options.cwd = node.cwd.value_or(spec_.cwd);
    std::map<std::string, std::string> env = node.env.value_or(std::map<std::string, std::string>{});
    env.insert(spec_.control_environment.begin(), spec_.control_environment.end());
    options.env = std::move(env);
    options.standard_input = spec_.has_input ? api::StdinKind::fd : api::StdinKind::null;
    // What nothing is connected to is kept in the session's log.
    options.standard_output = spec_.has_output ? api::StdoutKind::fd : api::StdoutKind::pipe;
    options.limits = node.limits;
    options.permissions = node.permissions;
    options.profile = node.profile;
    options.kill_grace_ms = node.kill_grace_ms;
    options.replace = true;
    options.subscribe = false;
    std::map<std::string, std::string> labels = node.labels.value_or(std::map<std::string, std::string>{});
    labels["kairo.topology"] = spec_.topology;
    labels["kairo.node"] = node.id;
    options.labels = std::move(labels);
    params.options = std::move(options);
  }

  void fail(Error error) {
    auto started = std::move(hooks_.started);
    started(std::move(error));
  }

  void on_started(Result<api::ProcessSession> started) {
    if (!started) return fail(std::move(started).error());
    running_ = true;
    kernel_.wait(id_, [this, alive = alive_](Result<api::ProcessSession> ended) {
      if (*alive) on_ended(std::move(ended));
    });
    hooks_.started({});
  }

  void on_ended(Result<api::ProcessSession> session) {
    running_ = false;
    LifeEnd end;
    if (!session) {
      end.text = "cannot be waited for: " + session.error().message;
    } else if (session->exit_code) {
      end.in_order = *session->exit_code == 0;
      end.text = "exited with " + std::to_string(*session->exit_code);
    } else {
      end.text = "was ended by " + session->signal.value_or("a signal");
    }
    if (session && session->outcome && session->outcome->reason != api::EndReason::exited &&
        session->outcome->reason != api::EndReason::signaled)
      end.text.append(" (")
          .append(
              api::enum_names(session->outcome->reason)[static_cast<std::size_t>(session->outcome->reason)])
          .append(")");
    hooks_.ended(end);
  }

  boost::asio::io_context& io_;
  KernelLink& kernel_;
  Spec spec_;
  std::optional<Inheritance> inheritance_;
  std::string id_;
  Hooks hooks_;
  std::shared_ptr<Duplex> input_;
  std::shared_ptr<Duplex> output_;
  UniqueFd own_end_;
  bool running_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<NodeLife> make_process_life(boost::asio::io_context& io, KernelLink& kernel,
                                            NodeLife::Spec spec, std::optional<Inheritance> inheritance) {
  return std::make_unique<ProcessLife>(io, kernel, std::move(spec), std::move(inheritance));
}

}  // namespace kairo::executor
