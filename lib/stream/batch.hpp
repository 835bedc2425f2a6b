// What one sendmsg takes: frame heads and small chunks that were written into an arena, and pieces of a mapped ring
// that are only referred to. The arena never moves; it belongs to the kernel's thread and is used for every
// connection in turn.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace kairo::stream {

class Batch {
 public:
  /// `arena_bytes`: also the most that one batch may hold. Page-aligned: copies into an address that is not run at
  /// half the speed on some machines.
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

 private:
  struct Free {
    void operator()(char* p) const;
  };
  std::unique_ptr<char[], Free> arena_;
  std::size_t capacity_;
  std::size_t used_ = 0;
  std::size_t bytes_ = 0;
  std::vector<iovec> pieces_;
};

}  // namespace kairo::stream
