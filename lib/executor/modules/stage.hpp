// The base of the modules that compute: takes what comes, gives what it makes of it, and obeys both sides'
// back-pressure. A derived class says what becomes of each piece.
//
//   input ──▶ take() ──▶ give() ──▶ output        full output: the input is paused until it has drained
//
// The end: input_over() ──▶ finish(). A failure: fail(), after which the output ends with all that was given
// and the input is left, with what was not used, to a successor.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "executor/module.hpp"

namespace kairo::executor {

class Stage : public StreamModule {
 public:
  Stage();
  ~Stage() override;
  void start(boost::asio::io_context& io, std::shared_ptr<WorkerPipeAdapter> in,
             std::shared_ptr<WorkerPipeAdapter> out, Done done) final;

 protected:
  /// One piece of the input, never empty. Gives at most once.
  virtual void take(std::string bytes) = 0;
  /// The input has ended.
  virtual void input_over() { finish(); }
  /// Bytes that were taken and not used yet; they are no longer this module's.
  virtual std::string held() { return {}; }
  /// The output, which was full, has room again.
  virtual void output_drained() {}
  /// Before the first piece.
  virtual void begin(boost::asio::io_context&) {}

  void give(std::string bytes);
  /// Nothing more is given.
  void finish();
  /// `unused` is what was taken last and not used.
  void fail(Error why, std::string unused);
  [[nodiscard]] bool output_is_full() const { return full_; }
  /// Stops the input until let_in(), beside the output's own back-pressure.
  void keep_out();
  void let_in();

 private:
  class In;
  class Out;
  void follow();
  void over(const Error* why);

  std::shared_ptr<WorkerPipeAdapter> in_;
  std::shared_ptr<WorkerPipeAdapter> out_;
  std::unique_ptr<In> in_handler_;
  std::unique_ptr<Out> out_handler_;
  Done done_;
  std::optional<Error> failed_;
  bool full_ = false;
  bool kept_out_ = false;
  bool finished_ = false;
};

}  // namespace kairo::executor
