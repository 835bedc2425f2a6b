// rate-limit: gives what it takes no faster than its bucket fills. It takes nothing new while a piece has not
// passed whole: so the source waits, and no more than that piece is held.
#include <algorithm>

#include <boost/asio/steady_timer.hpp>

#include "executor/modules/stage.hpp"
#include "executor/modules/table.hpp"
#include "executor/modules/token_bucket.hpp"

namespace kairo::executor {
namespace {

/// Pieces of a slow stream are no smaller than what flows in so much time, or the whole burst.
constexpr std::uint64_t pieces_per_second = 50;

class RateLimit final : public Stage {
 public:
  RateLimit(std::uint64_t rate, std::uint64_t burst)
      : piece_(std::clamp<std::uint64_t>(rate / pieces_per_second, 1, burst)),
        bucket_(rate, burst, SteadyClock::now()) {}

 private:
  void begin(boost::asio::io_context& io) override { timer_.emplace(io); }

  void take(std::string bytes) override {
    held_ = std::move(bytes);
    passed_ = 0;
    keep_out();
    pass();
  }

  void pass() {
    const std::uint64_t available = bucket_.available(SteadyClock::now());
    const std::size_t left = held_.size() - passed_;
    const std::size_t wanted = std::min<std::uint64_t>(left, piece_);
    if (available < wanted) return wait(wanted);
    const std::size_t now = std::min<std::uint64_t>(left, available);
    bucket_.spend(now);
    if (now == held_.size()) {
      give(std::exchange(held_, {}));
    } else {
      give(held_.substr(passed_, now));
      passed_ += now;
      if (passed_ < held_.size()) return wait(std::min<std::uint64_t>(held_.size() - passed_, piece_));
      held_.clear();
    }
    passed_ = 0;
    let_in();
  }

  void wait(std::uint64_t bytes) {
    timer_->expires_at(bucket_.when(bytes));
    timer_->async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      // Not into an output that is full: that would not stop at the mark.
      if (output_is_full()) {
        waiting_for_output_ = true;
        return;
      }
      pass();
    });
  }

  void output_drained() override {
    if (std::exchange(waiting_for_output_, false)) pass();
  }

  std::string held() override { return held_.substr(std::exchange(passed_, 0)); }

  std::uint64_t piece_;
  TokenBucket bucket_;
  std::optional<boost::asio::steady_timer> timer_;
  std::string held_;
  std::size_t passed_ = 0;
  bool waiting_for_output_ = false;
};

}  // namespace

Result<std::unique_ptr<StreamModule>> make_rate_limit(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::RateLimitParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  const std::uint64_t rate = wanted->bytes_per_second;
  if (rate == 0) return refused_param(start, "bytesPerSecond", "must be at least 1");
  const std::uint64_t burst = wanted->burst_bytes.value_or(std::max<std::uint64_t>(rate / 10, 1));
  if (burst == 0) return refused_param(start, "burstBytes", "must be at least 1");
  return std::unique_ptr<StreamModule>(new RateLimit(rate, burst));
}

}  // namespace kairo::executor
