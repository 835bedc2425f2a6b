#include "executor/worker.hpp"

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <pthread.h>
#include <system_error>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "executor/modules/file_output.hpp"
#include "executor/pipe_ends.hpp"
#include "executor/stop.hpp"
#include "executor/unix_pipe_adapter.hpp"
#include "reflect/decode.hpp"

namespace kairo::executor {
namespace {

/// Bytes on their way from one thread to the other.
constexpr std::size_t queue_high_water = 512 * 1024;
/// The kernel's bound of a thread's name, without its NUL.
constexpr std::size_t thread_name_bytes = 15;

/// The input of a StreamModule.
struct QueueInput final : WorkerInput {
  [[nodiscard]] const std::shared_ptr<Duplex>& duplex() const override { return writer; }
  [[nodiscard]] std::uint64_t unread() const override { return reader->unread(); }
  std::string take_unread() override { return reader->take_unread(); }

  std::shared_ptr<Duplex> writer;
  std::shared_ptr<WorkerPipeAdapter> reader;
};

/// The input of a FileModule.
struct PipeInput final : WorkerInput {
  [[nodiscard]] const std::shared_ptr<Duplex>& duplex() const override { return writer; }
  [[nodiscard]] std::uint64_t unread() const override { return reader ? unread_bytes(reader->get()) : 0; }
  std::string take_unread() override {
    if (!reader) return {};
    auto taken = executor::take_unread(reader->get());
    // What cannot be read stays, and unread() counts it.
    return taken ? *std::move(taken) : std::string();
  }

  std::shared_ptr<Duplex> writer;
  std::shared_ptr<UniqueFd> reader;  ///< Null once nobody will read.
};

/// All that the thread uses. A thread that was let go owns it alone.
struct Body {
  /// In the thread.
  void run() {
    if (stream)
      run_stream();
    else
      run_file();
    const std::lock_guard lock(mutex);
    over = true;
    if (executor) boost::asio::post(*executor, tell);
    ended.notify_all();
  }

  void say_opened() {
    const std::lock_guard lock(mutex);
    if (executor) boost::asio::post(*executor, tell_opened);
  }

  void run_stream() {
    say_opened();
    const auto busy = boost::asio::make_work_guard(io);
    boost::asio::post(io, [this] {
      stream->start(io, stream_in, stream_out, [this](std::optional<Error> why) {
        failed = std::move(why);
        io.stop();
      });
    });
    io.run();
  }

  void run_file() {
    const FileEnds ends{file_in ? file_in->get() : -1, file_out.get(), &stop, [this] { say_opened(); }};
    auto result = file->run(ends);
    if (!result) failed = std::move(result).error();
    file_out.reset();
  }

  boost::asio::io_context io{1};
  std::shared_ptr<WorkerPipeAdapter> stream_in;
  std::shared_ptr<WorkerPipeAdapter> stream_out;
  std::unique_ptr<StreamModule> stream;
  std::shared_ptr<UniqueFd> file_in;
  UniqueFd file_out;
  std::unique_ptr<FileModule> file;
  Stop stop;
  std::function<void()> tell_opened;
  std::function<void()> tell;
  std::optional<Error> failed;  ///< Written by the thread, read when it is over.

  std::mutex mutex;
  std::condition_variable ended;
  boost::asio::io_context* executor = nullptr;  ///< Under the mutex: null when the Worker has gone.
  bool over = false;                            ///< Under the mutex.
};

/// The thread takes no signal: those of the process are the executor's, and SIGPIPE is an EPIPE.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

class ThreadWorker final : public Worker {
 public:
  ThreadWorker() = default;
  ~ThreadWorker() override {
    if (output_) output_->destroy();
    if (input_) input_->duplex()->destroy();
    if (!thread_.joinable()) return;
    body_->stop.ask();
    body_->io.stop();
    bool over = false;
    {
      std::unique_lock lock(body_->mutex);
      body_->executor = nullptr;
      over = body_->ended.wait_for(lock, join_patience, [this] { return body_->over; });
    }
    if (over)
      thread_.join();
    else
      thread_.detach();
  }

  Result<void> connect_stream(boost::asio::io_context& executor, std::unique_ptr<StreamModule> module,
                              const std::shared_ptr<WorkerInput>& inherited) {
    body_->stream = std::move(module);
    const auto input = std::make_shared<QueueInput>();
    if (inherited) {
      const auto before = std::dynamic_pointer_cast<QueueInput>(inherited);
      if (!before) return other_kind();
      input->writer = before->writer;
      input->reader = before->reader->successor(body_->io);
    } else {
      std::tie(input->writer, input->reader) =
          WorkerPipeAdapter::make_one_way(executor, body_->io, queue_high_water);
    }
    body_->stream_in = input->reader;
    input_ = input;
    std::tie(body_->stream_out, output_) =
        WorkerPipeAdapter::make_one_way(body_->io, executor, queue_high_water);
    return {};
  }

  Result<void> connect_file(boost::asio::io_context& executor, std::unique_ptr<FileModule> module,
                            const std::shared_ptr<WorkerInput>& inherited) {
    body_->file = std::move(module);
    const auto input = std::make_shared<PipeInput>();
    if (inherited) {
      const auto before = std::dynamic_pointer_cast<PipeInput>(inherited);
      if (!before) return other_kind();
      *input = *before;
    } else {
      auto ends = make_pipe_ends(api::NodeIo::pipes, Direction::to_node);
      if (!ends) return std::move(ends).error();
      prepare_pipe(ends->theirs.get());
      auto writer = UnixPipeAdapter::make(executor, UniqueFd(), std::move(ends->ours));
      if (!writer) return std::move(writer).error();
      input->writer = *writer;
      if (body_->file->reads()) input->reader = std::make_shared<UniqueFd>(std::move(ends->theirs));
    }
    body_->file_in = input->reader;
    input_ = input;
    auto ends = make_pipe_ends(api::NodeIo::pipes, Direction::from_node);
    if (!ends) return std::move(ends).error();
    prepare_pipe(ends->theirs.get());
    body_->file_out = std::move(ends->theirs);
    auto reader = UnixPipeAdapter::make(executor, std::move(ends->ours), UniqueFd());
    if (!reader) return std::move(reader).error();
    output_ = *reader;
    return {};
  }

  Result<void> launch(boost::asio::io_context& executor, const std::string& name) {
    auto stop = Stop::make();
    if (!stop) return std::move(stop).error();
    body_->stop = *std::move(stop);
    body_->executor = &executor;
    body_->tell_opened = [self = std::weak_ptr<ThreadWorker*>(self_)] {
      if (const auto there = self.lock()) (*there)->say_opened();
    };
    body_->tell = [self = std::weak_ptr<ThreadWorker*>(self_)] {
      if (const auto there = self.lock()) (*there)->on_over();
    };
    const SignalsBlocked blocked;
    try {
      thread_ = std::thread([body = body_, name = name.substr(0, thread_name_bytes)] {
        ::pthread_setname_np(::pthread_self(), name.c_str());
        body->run();
      });
    } catch (const std::system_error& error) {
      return system_error("cannot start a worker's thread", error.code().value(), Code::limit_exceeded);
    }
    return {};
  }

  /// Was not started: what it inherited stays the predecessor's.
  void leave_inherited() {
    if (body_->stream_in) body_->stream_in->leave();
    input_.reset();
  }

  [[nodiscard]] std::shared_ptr<Duplex> input() override { return input_ ? input_->duplex() : nullptr; }
  [[nodiscard]] std::shared_ptr<Duplex> output() override { return output_; }

  void end() override {
    output_->destroy();
    body_->stop.ask();
  }

  [[nodiscard]] std::string figures() const override {
    return body_->stream ? body_->stream->figures() : body_->file->figures();
  }
  [[nodiscard]] std::uint64_t unread() const override { return input_ ? input_->unread() : 0; }
  std::string take_unread() override { return over_ && input_ ? input_->take_unread() : std::string(); }
  std::shared_ptr<WorkerInput> take_input() override {
    return over_ && body_->failed ? std::exchange(input_, nullptr) : nullptr;
  }

 private:
  static Error other_kind() {
    return {Code::internal, "cannot give a worker the input of another kind of module; it was not started"};
  }

  void say_opened() {
    // What is called may destroy this.
    const auto call = on_opened;
    if (call) call();
  }

  void on_over() {
    over_ = true;
    // In order: whoever still writes hears that nobody reads. After a failure that is the successor's affair.
    if (const auto pipe = std::dynamic_pointer_cast<PipeInput>(input_);
        pipe && !body_->failed && !body_->stop.asked()) {
      pipe->reader.reset();
      body_->file_in.reset();
    }
    // What is called may destroy this.
    const auto call = on_ended;
    const auto body = body_;
    if (call) call(body->failed ? &*body->failed : nullptr);
  }

  std::shared_ptr<Body> body_ = std::make_shared<Body>();
  std::shared_ptr<WorkerInput> input_;
  std::shared_ptr<Duplex> output_;
  std::shared_ptr<ThreadWorker*> self_ = std::make_shared<ThreadWorker*>(this);
  std::thread thread_;
  bool over_ = false;
};

Error unknown_module(std::string_view module, const std::string& path) {
  constexpr std::string_view params = ".params";
  const std::string at =
      path.ends_with(params) ? path.substr(0, path.size() - params.size()) + ".module" : path;
  return Error(Code::invalid_params, at + ": there is no module \"" + reflect::quotable(module) + "\"")
      .with("path", at);
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::start(boost::asio::io_context& executor, std::string_view module,
                                              const reflect::Any& params, const std::string& cwd,
                                              const std::string& path, WorkerStart how) {
  const ModuleRow* const row = find_module_row(module);
  if (!row) return unknown_module(module, path);
  const ModuleStart start{cwd, path, how.continues};
  auto worker = std::make_unique<ThreadWorker>();
  Result<void> started;
  if (row->stream) {
    auto made = row->stream(params, start);
    if (!made) return std::move(made).error();
    started = worker->connect_stream(executor, *std::move(made), how.input);
  } else {
    auto made = row->file(params, start);
    if (!made) return std::move(made).error();
    started = worker->connect_file(executor, *std::move(made), how.input);
  }
  if (started) started = worker->launch(executor, how.name.empty() ? std::string(module) : how.name);
  if (!started) {
    if (how.input) worker->leave_inherited();
    return std::move(started).error();
  }
  return std::unique_ptr<Worker>(std::move(worker));
}

}  // namespace kairo::executor
