#include "stream/batch.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/uio.h>
#include <unistd.h>

namespace kairo::stream {
namespace {
constexpr std::size_t page = 4096;
}

void Batch::Free::operator()(char* p) const {
  std::free(p);
}

Batch::Batch(std::size_t arena_bytes) : capacity_((arena_bytes + page - 1) / page * page) {
  arena_.reset(static_cast<char*>(std::aligned_alloc(page, capacity_)));
  if (!arena_) throw std::bad_alloc();
  pieces_.reserve(64);
}

void Batch::clear() {
  pieces_.clear();
  used_ = 0;
  bytes_ = 0;
  ++generation_;
}

char* Batch::reserve(std::size_t) {
  return arena_.get() + used_;
}

void Batch::wrote(std::size_t size) {
  push(arena_.get() + used_, size);
  used_ += size;
}

void Batch::append(const char* data, std::size_t size) {
  std::memcpy(reserve(size), data, size);
  wrote(size);
}

void Batch::refer(const char* data, std::size_t size) {
  push(const_cast<char*>(data), size);
}

void Batch::push(char* data, std::size_t size) {
  if (size == 0) return;
  bytes_ += size;
  if (!pieces_.empty()) {
    iovec& last = pieces_.back();
    if (static_cast<char*>(last.iov_base) + last.iov_len == data) {
      last.iov_len += size;
      return;
    }
  }
  pieces_.push_back({data, size});
}

Result<void> Batch::copy_rest(std::size_t sent, std::string& out) const {
  for (const iovec& piece : pieces_) {
    if (sent >= piece.iov_len) {
      sent -= piece.iov_len;
      continue;
    }
    char* from = static_cast<char*>(piece.iov_base) + sent;
    std::size_t left = piece.iov_len - sent;
    sent = 0;
    if (from >= arena_.get() && from < arena_.get() + capacity_) {
      out.append(from, left);
      continue;
    }
    while (left > 0) {
      const std::size_t start = out.size();
      out.resize(start + left);
      iovec to{out.data() + start, left};
      iovec what{from, left};
      const ssize_t n = ::process_vm_readv(::getpid(), &to, 1, &what, 1, 0);
      if (n <= 0) {
        out.resize(start);
        return system_error("cannot copy output that waits for its reader from the mapped log",
                            n < 0 ? errno : EFAULT);
      }
      out.resize(start + static_cast<std::size_t>(n));
      from += n;
      left -= static_cast<std::size_t>(n);
    }
  }
  return {};
}

}  // namespace kairo::stream
