#include "executor/modules/stage.hpp"

namespace kairo::executor {

class Stage::In final : public DuplexHandler {
 public:
  explicit In(Stage& stage) : stage_(stage) {}
  void on_data(std::string_view bytes) override { stage_.take(stage_.in_->own(bytes)); }
  void on_end() override {
    if (!stage_.finished_) stage_.input_over();
  }
  void on_close(const Error*) override {}

 private:
  Stage& stage_;
};

class Stage::Out final : public DuplexHandler {
 public:
  explicit Out(Stage& stage) : stage_(stage) {}
  void on_data(std::string_view) override {}
  void on_end() override {}
  void on_drain() override {
    stage_.full_ = false;
    stage_.output_drained();
    stage_.follow();
  }
  void on_close(const Error* why) override { stage_.over(why); }

 private:
  Stage& stage_;
};

Stage::Stage() = default;
Stage::~Stage() = default;

void Stage::start(boost::asio::io_context& io, std::shared_ptr<WorkerPipeAdapter> in,
                  std::shared_ptr<WorkerPipeAdapter> out, Done done) {
  in_ = std::move(in);
  out_ = std::move(out);
  done_ = std::move(done);
  in_handler_ = std::make_unique<In>(*this);
  out_handler_ = std::make_unique<Out>(*this);
  begin(io);
  out_->start(*out_handler_);
  in_->start(*in_handler_);
  follow();
}

void Stage::follow() {
  if (full_ || kept_out_ || finished_)
    in_->pause();
  else
    in_->resume();
}

void Stage::give(std::string bytes) {
  if (bytes.empty()) return;
  // A refusal is heard by on_close.
  const auto room = out_->write(std::move(bytes));
  full_ = !room || !*room;
  follow();
}

void Stage::finish() {
  if (finished_) return;
  finished_ = true;
  follow();
  out_->end();
}

void Stage::fail(Error why, std::string unused) {
  if (finished_) return;
  failed_ = std::move(why);
  in_->give_back(std::move(unused));
  in_->leave();
  finish();
}

void Stage::keep_out() {
  kept_out_ = true;
  follow();
}

void Stage::let_in() {
  kept_out_ = false;
  follow();
}

void Stage::over(const Error*) {
  finished_ = true;
  in_->give_back(held());
  // Nobody wants what it would make of more input: its writer hears so, unless a successor takes over.
  in_->destroy();
  done_(failed_);
}

}  // namespace kairo::executor
