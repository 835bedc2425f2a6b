// The way of stdin bytes into the ring that the keeper feeds the process from (SPEC 4.5). Bytes that stand in
// the ring are accepted: no crash of kairod loses them. Writes for which there is no room wait here, in
// order. The layout of the ring: keeper/table.hpp. No sockets: orders to the keeper are given by the caller.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "keeper/table.hpp"

namespace kairo::session {

class StdinQueue {
 public:
  struct Written {
    std::uint64_t written = 0;  ///< Bytes that were not skipped.
    std::uint64_t offset = 0;   ///< Position after the write.
  };
  using Done = std::function<void(Result<Written>)>;

  explicit StdinQueue(keeper::StdinSlot& slot) : slot_(slot) {}
  ~StdinQueue();
  StdinQueue(const StdinQueue&) = delete;
  StdinQueue& operator=(const StdinQueue&) = delete;

  /// Makes the ring; to be called before the first write. The descriptor is for the keeper.
  Result<int> make_ring();
  /// Maps a ring of the time before.
  Result<void> adopt_ring(UniqueFd ring);
  [[nodiscard]] bool has_ring() const { return ring_ != nullptr; }
  /// The ring cannot be passed on: the next write makes another. Only before ring_kept().
  void drop_ring();
  /// The keeper has the ring, or will have it whatever becomes of this process. Nothing is accepted before.
  void ring_kept();

  /// How many writes, and bytes in them, may wait for room from now on.
  void set_bounds(std::size_t writes, std::size_t bytes) {
    most_writes_ = writes;
    most_bytes_ = bytes;
  }

  /// Accepts what fits and keeps the rest waiting; `done` is called once all is accepted, or with the error
  /// that ended it: E_STDIN_CLOSED (details.written: bytes accepted), E_INVALID_PARAMS for a gap,
  /// E_LIMIT_EXCEEDED.
  void write(std::string data, std::optional<std::uint64_t> offset, Done done);

  /// End of file after all that was written. False when it was asked for before.
  bool close();
  [[nodiscard]] bool closing() const { return closing_; }

  /// Moves waiting writes on; to be called when the keeper made room or closed the pipe.
  void progress();

  /// Ends the waiting writes with E_STDIN_CLOSED.
  void end();

  /// Whether new bytes or a close want the keeper's attention (the keeper said it is idle). Takes the mark.
  bool take_doorbell();
  /// Whether writes wait for room.
  [[nodiscard]] bool waiting() const { return !waiting_.empty(); }

 private:
  struct Waiting {
    std::string data;
    std::size_t taken = 0;      ///< Bytes of `data` skipped or accepted.
    std::uint64_t written = 0;  ///< Of those, accepted.
    std::optional<std::uint64_t> offset;
    Done done;
  };

  /// True when the write is finished, one way or the other.
  bool advance(Waiting& write);

  keeper::StdinSlot& slot_;
  UniqueFd file_;
  char* ring_ = nullptr;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::size_t most_writes_ = limits::stdin_waiting_writes;
  std::size_t most_bytes_ = limits::stdin_waiting_bytes;
  bool ring_kept_ = false;
  bool closing_ = false;
  bool ended_ = false;
  bool doorbell_ = false;
};

}  // namespace kairo::session
