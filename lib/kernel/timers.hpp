// Many deadlines over one Asio timer. An idle session costs nothing here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.hpp"

namespace kairo::kernel {

class Timers {
 public:
  using Id = std::uint64_t;  ///< 0 is none.

  explicit Timers(boost::asio::io_context& io) : timer_(io) {}

  Id at(SteadyTime when, std::function<void()> what);
  Id after(std::chrono::milliseconds delay, std::function<void()> what) {
    return at(SteadyClock::now() + delay, std::move(what));
  }
  /// Does nothing for 0 and for one that has fired. Sets `id` to 0.
  void cancel(Id& id);
  void stop();

 private:
  void arm();
  void fire();

  boost::asio::steady_timer timer_;
  std::map<std::pair<SteadyTime, Id>, std::function<void()>> queue_;
  std::map<Id, SteadyTime> by_id_;
  Id next_ = 1;
  SteadyTime armed_for_ = SteadyTime::max();
  bool stopped_ = false;
};

}  // namespace kairo::kernel
