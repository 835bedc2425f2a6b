// A duplex between two threads of one process, the same contract as UnixPipeAdapter (duplex.hpp). It is made
// in pairs; each side belongs to the thread of its io_context, and the two share a channel:
//
//   one thread                      channel (a mutex)                another thread
//   write() ───▶ queue of strings, bounded by the writer ───▶ on_data
//   accepted ◀── number of strings that the reader has taken
//
// Bytes are moved: a string that is written is the very one that the other side's handler is given. A write
// is accepted when the other side takes it in order to hand it to on_data; a paused side takes nothing.
// Neither side waits for the other: each wakes the other's loop with one posted call, and none while the last
// has not run. No handler is called while the mutex is held.
//
// One way. Of a pair of make_one_way() only the first side writes and only the second reads, as with a pipe.
//
// Successors. What the reader has taken and could not use it may give back(); a reader may leave() without
// the other side hearing of it, and successor() then makes the one that reads on, in the io_context of
// another thread: first what was given back, then what waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "executor/duplex.hpp"

namespace kairo::executor {

class WorkerPipeAdapter : public Duplex, public std::enable_shared_from_this<WorkerPipeAdapter> {
 public:
  using Pair = std::pair<std::shared_ptr<WorkerPipeAdapter>, std::shared_ptr<WorkerPipeAdapter>>;

  /// The sides for the thread of `first` and of `second`.
  static Pair make(boost::asio::io_context& first, boost::asio::io_context& second,
                   std::size_t high_water = default_high_water);
  static Pair make_one_way(boost::asio::io_context& writer, boost::asio::io_context& reader,
                           std::size_t high_water = default_high_water);

  /// A side that goes without destroy() takes the pipe with it.
  ~WorkerPipeAdapter() override;
  WorkerPipeAdapter(const WorkerPipeAdapter&) = delete;
  WorkerPipeAdapter& operator=(const WorkerPipeAdapter&) = delete;

  void start(DuplexHandler& handler) override;
  Result<bool> write(std::string bytes, Accepted accepted = {}) override;
  void end(Accepted accepted = {}) override;
  void pause() override;
  void resume() override;
  void destroy(std::optional<Error> why = {}) override;
  [[nodiscard]] std::size_t unaccepted() const override { return unaccepted_; }
  [[nodiscard]] std::size_t high_water() const override { return high_water_; }
  std::string own(std::string_view bytes) override;

  /// What on_data was given last and this side could not use: it comes before all that waits.
  void give_back(std::string bytes);
  /// This side goes, and the pipe stays. Nothing is called any more, and the io_context is not used.
  void leave();
  /// The side that reads on after leave(); called by whichever thread knows that the one that left is over.
  std::shared_ptr<WorkerPipeAdapter> successor(boost::asio::io_context& io);

  /// Bytes that were written to this side and not used by it: they wait, or were given back. From any thread.
  [[nodiscard]] std::size_t unread() const;
  /// All of them; the other side's writes count as accepted. After leave(), from any thread.
  std::string take_unread();

 private:
  struct Channel;
  struct Pending {
    std::size_t bytes;
    Accepted accepted;
  };

  WorkerPipeAdapter(std::shared_ptr<Channel> channel, int seat, boost::asio::io_context& io,
                    std::size_t high_water);
  static Pair make(boost::asio::io_context& first, boost::asio::io_context& second, std::size_t high_water,
                   bool one_way);
  void sit();
  void wake_self();
  void run();
  /// Tells the writes that the other side has taken, or that it no longer will.
  void settle();
  void deliver();
  void close_when_over();
  [[nodiscard]] bool is_over() const { return closed_ || destroyed_; }

  std::shared_ptr<Channel> channel_;
  int seat_;
  boost::asio::io_context& io_;
  std::size_t high_water_;
  DuplexHandler* handler_ = nullptr;
  std::string current_;  ///< What on_data is being given.
  std::deque<Pending> pending_;
  std::uint64_t told_ = 0;  ///< Writes of which the taking was told.
  std::size_t unaccepted_ = 0;
  std::vector<Accepted> at_end_;
  std::optional<Error> why_;
  bool paused_ = true;
  bool full_ = false;       ///< A write was answered with "full".
  bool ended_ = false;      ///< end() was called.
  bool end_told_ = false;   ///< ... and is visible to the other side.
  bool end_heard_ = false;  ///< on_end was called.
  bool refused_ = false;    ///< The other side was destroyed: nothing more can be written.
  bool destroyed_ = false;
  bool closed_ = false;
};

}  // namespace kairo::executor
