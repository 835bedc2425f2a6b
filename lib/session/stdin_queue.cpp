#include "session/stdin_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <vector>

namespace kairo::session {

StdinQueue::~StdinQueue() {
  if (ring_) ::munmap(ring_, limits::stdin_bytes);
}

Result<int> StdinQueue::make_ring() {
  UniqueFd file(::memfd_create("kairo-stdin", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return system_error("cannot make a stdin buffer", errno, Code::limit_exceeded);
  if (::ftruncate(file.get(), static_cast<off_t>(limits::stdin_bytes)) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return system_error("cannot size a stdin buffer", errno, Code::limit_exceeded);
  auto mapped = adopt_ring(std::move(file));
  if (!mapped) return std::move(mapped).error();
  return file_.get();
}

Result<void> StdinQueue::adopt_ring(UniqueFd ring) {
  void* base = ::mmap(nullptr, limits::stdin_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.get(), 0);
  if (base == MAP_FAILED) return system_error("cannot map a stdin buffer", errno, Code::limit_exceeded);
  ring_ = static_cast<char*>(base);
  file_ = std::move(ring);
  return {};
}

void StdinQueue::drop_ring() {
  if (ring_) ::munmap(ring_, limits::stdin_bytes);
  ring_ = nullptr;
  file_.reset();
}

void StdinQueue::ring_kept() {
  ring_kept_ = true;
  progress();
}

void StdinQueue::write(std::string data, std::optional<std::uint64_t> offset, Done done) {
  if (waiting_.size() >= most_writes_ || waiting_bytes_ + data.size() > most_bytes_) {
    done(Error(Code::limit_exceeded,
               "cannot write to stdin: " + std::to_string(waiting_.size()) +
                   " writes wait for the process to read; none of this one was accepted"));
    return;
  }
  waiting_bytes_ += data.size();
  waiting_.push_back({std::move(data), 0, 0, offset, std::move(done)});
  if (waiting_.size() == 1) progress();
}

bool StdinQueue::advance(Waiting& write) {
  const auto answer_closed = [&] {
    write.done(Error(Code::stdin_closed, "stdin is closed; of this write " + std::to_string(write.written) +
                                             " bytes were accepted")
                   .with("written", static_cast<std::int64_t>(write.written)));
  };
  if (ended_ || slot_.state.load(std::memory_order_acquire) != 0 ||
      slot_.close.load(std::memory_order_relaxed) != 0) {
    answer_closed();
    return true;
  }
  std::uint64_t tail = slot_.tail.load(std::memory_order_relaxed);
  if (write.offset) {
    if (*write.offset > tail) {
      write.done(Error(Code::invalid_params, "params.offset " + std::to_string(*write.offset) +
                                                 " leaves a gap: stdin stands at " + std::to_string(tail))
                     .with("path", std::string("params.offset"))
                     .with("offset", static_cast<std::int64_t>(tail)));
      return true;
    }
    write.taken = static_cast<std::size_t>(std::min<std::uint64_t>(tail - *write.offset, write.data.size()));
    write.offset.reset();
  }
  if (!ring_kept_ && write.taken < write.data.size()) return false;
  const std::uint64_t head = slot_.head.load(std::memory_order_acquire);
  while (write.taken < write.data.size() && tail - head < limits::stdin_bytes) {
    const std::size_t at = static_cast<std::size_t>(tail % limits::stdin_bytes);
    const std::size_t piece = std::min({write.data.size() - write.taken, limits::stdin_bytes - at,
                                        static_cast<std::size_t>(limits::stdin_bytes - (tail - head))});
    std::memcpy(ring_ + at, write.data.data() + write.taken, piece);
    tail += piece;
    write.taken += piece;
    write.written += piece;
    doorbell_ = true;
  }
  slot_.tail.store(tail, std::memory_order_seq_cst);
  if (write.taken < write.data.size()) return false;
  write.done(Written{write.written, tail});
  return true;
}

void StdinQueue::progress() {
  while (!waiting_.empty()) {
    if (!advance(waiting_.front())) {
      // Ask to be told about room, then look once more: the keeper may have made some in between.
      const std::uint64_t seen = slot_.head.load(std::memory_order_acquire);
      slot_.wake.store(1, std::memory_order_seq_cst);
      if (slot_.head.load(std::memory_order_seq_cst) == seen &&
          slot_.state.load(std::memory_order_seq_cst) == 0)
        return;
      continue;
    }
    waiting_bytes_ -= waiting_.front().data.size();
    waiting_.pop_front();
  }
  if (closing_ && slot_.close.load(std::memory_order_relaxed) == 0) {
    slot_.close.store(keeper::stdin_close, std::memory_order_seq_cst);
    doorbell_ = true;
  }
}

bool StdinQueue::close() {
  if (closing_ || slot_.close.load(std::memory_order_relaxed) != 0) return false;
  closing_ = true;
  if (waiting_.empty()) progress();
  return true;
}

void StdinQueue::end() {
  ended_ = true;
  while (!waiting_.empty()) {
    advance(waiting_.front());
    waiting_.pop_front();
  }
  waiting_bytes_ = 0;
}

bool StdinQueue::take_doorbell() {
  if (!doorbell_) return false;
  doorbell_ = false;
  return slot_.idle.exchange(0, std::memory_order_seq_cst) != 0;
}

}  // namespace kairo::session
