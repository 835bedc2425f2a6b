// What one sendmsg takes: frame heads and small chunks that were written into an arena, and pieces of a
// mapped ring that are only referred to. The arena never moves; it belongs to the kernel's thread and is used
// for every connection in turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/uio.h>
#include <vector>

#include "base/result.hpp"

namespace kairo::stream {

class Batch {
 public:
  /// `arena_bytes`: the most that may be copied into one batch (what is only referred to comes on top).
  /// Page-aligned: copies into an address that is not run at half the speed on some machines.
  explicit Batch(std::size_t arena_bytes);

  void clear();
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return bytes_ == 0; }
  /// Bytes that may still be written into the arena.
  [[nodiscard]] std::size_t room() const { return capacity_ - used_; }
  [[nodiscard]] const std::vector<iovec>& pieces() const { return pieces_; }

  /// Where the next `size` <= room() bytes will stand; wrote() makes them part of the batch.
  char* reserve(std::size_t size);
  void wrote(std::size_t size);
  /// Copies.
  void append(const char* data, std::size_t size);
  /// Refers to bytes that stay valid until the batch is sent.
  void refer(const char* data, std::size_t size);

  /// Appends all but the first `sent` bytes to `out`: what a short sendmsg left over. Referred pieces are
  /// read by a system call, so that a log that was truncated from outside gives E_INTERNAL and not SIGBUS.
  Result<void> copy_rest(std::size_t sent, std::string& out) const;

  /// Changes with every clear(): a Feed tells by it whether bytes that it referred to are still in use.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }

 private:
  void push(char* data, std::size_t size);

  struct Free {
    void operator()(char* p) const;
  };
  std::unique_ptr<char[], Free> arena_;
  std::size_t capacity_;
  std::size_t used_ = 0;
  std::size_t bytes_ = 0;
  std::vector<iovec> pieces_;
  std::uint64_t generation_ = 1;
};

}  // namespace kairo::stream
