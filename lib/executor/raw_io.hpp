// Reading and writing descriptors that do not block, sockets and pipes alike.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kairo::executor {

/// What a system call moved, and why not more.
struct Moved {
  std::size_t bytes = 0;
  int error = 0;  ///< EAGAIN: nothing for now. 0 with no bytes, of a read: the end.
};

/// One read() of at most `size` bytes.
Moved read_some(int fd, char* to, std::size_t size);
/// One write, without SIGPIPE where `fd` is a socket. A writer to pipes ignores that signal.
Moved write_some(int fd, std::string_view bytes);
/// One splice() that waits for nothing. One of the two is a pipe.
Moved splice_some(int from, int to, std::size_t size);

/// Whether nobody takes what is written any more.
bool is_refusal(int error);

}  // namespace kairo::executor
