#include "executor/modules/file_output.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace kairo::executor {
namespace {

constexpr std::size_t copy_bytes = 64 * 1024;
/// How often a named pipe without a reader is tried again: the kernel tells nobody who waits to write.
constexpr std::chrono::milliseconds reader_patience{20};

}  // namespace

Result<FileOutput> FileOutput::open(const std::string& path, Keep keep, const FileEnds& ends) {
  FileOutput made;
  bool told = false;
  made.path_ = path;
  const int flags =
      O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (keep == Keep::nothing ? O_TRUNC : 0);
  for (;;) {
    made.fd_.reset(::open(path.c_str(), flags, 0666));
    if (made.fd_) break;
    if (errno == EINTR) continue;
    if (errno != ENXIO) return system_error("cannot open \"" + path + "\" for writing", errno);
    struct stat what {};
    if (::stat(path.c_str(), &what) != 0 || !S_ISFIFO(what.st_mode))
      return system_error("cannot open \"" + path + "\" for writing", ENXIO);
    if (!std::exchange(told, true)) ends.opened();
    if (!ends.stop->sleep(reader_patience)) return made;
  }
  if (!told) ends.opened();
  made.seek_end_ = keep == Keep::present;
  return made;
}

FileOutput::Written FileOutput::take(int pipe, std::size_t most, const Stop& stop) {
  // As late as this: another may have written to it until now. Not O_APPEND, which takes no splice.
  if (std::exchange(seek_end_, false) && ::lseek(fd_.get(), 0, SEEK_END) < 0 && errno != ESPIPE)
    return {0, cannot("seek", errno), false};
  while (!copies_) {
    const ssize_t moved =
        ::splice(pipe, nullptr, fd_.get(), nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) {
      written_ += static_cast<std::uint64_t>(moved);
      return {static_cast<std::size_t>(moved), std::nullopt, false};
    }
    if (moved == 0) return {};
    if (errno == EINTR) continue;
    if (errno == EINVAL) {
      copies_ = true;
    } else if (errno != EAGAIN) {
      return {0, cannot("write", errno), false};
    } else if (!stop.wait(fd_.get(), POLLOUT)) {
      return {0, std::nullopt, true};
    }
  }
  return copy(pipe, most, stop);
}

FileOutput::Written FileOutput::copy(int pipe, std::size_t most, const Stop& stop) {
  if (!peek_) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {0, cannot("make a pipe to", errno), false};
    peek_.reset(ends[0]);
    peek_in_.reset(ends[1]);
    buffer_.resize(copy_bytes);
  }
  const ssize_t doubled = ::tee(pipe, peek_in_.get(), std::min(most, copy_bytes), SPLICE_F_NONBLOCK);
  if (doubled < 0 && errno != EAGAIN && errno != EINTR)
    return {0, cannot("look at what is to be written to", errno), false};
  if (doubled <= 0) return {};
  const ssize_t got = ::read(peek_.get(), buffer_.data(), copy_bytes);
  if (got != doubled) return {0, cannot("look at what is to be written to", got < 0 ? errno : EIO), false};
  const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
  Written out;
  while (out.bytes < bytes.size() && !out.error && !out.stopped) {
    const ssize_t put = ::write(fd_.get(), bytes.data() + out.bytes, bytes.size() - out.bytes);
    if (put > 0)
      out.bytes += static_cast<std::size_t>(put);
    else if (put < 0 && errno == EAGAIN)
      out.stopped = !stop.wait(fd_.get(), POLLOUT);
    else if (put == 0 || errno != EINTR)
      out.error = cannot("write", put < 0 ? errno : EIO);
  }
  written_ += out.bytes;
  for (std::size_t left = out.bytes; left > 0;) {
    const ssize_t dropped = ::read(pipe, buffer_.data(), left);
    if (dropped <= 0 && errno != EINTR) return {out.bytes, cannot("take what was written to", errno), false};
    left -= static_cast<std::size_t>(std::max<ssize_t>(dropped, 0));
  }
  return out;
}

Result<void> FileOutput::sync() {
  // What has no disk behind it cannot be brought there.
  if (::fsync(fd_.get()) != 0 && errno != EINVAL && errno != EROFS) return cannot("sync", errno);
  return {};
}

Result<void> FileOutput::close() {
  if (::close(fd_.release()) != 0 && errno != EINTR) return cannot("close", errno);
  return {};
}

Error FileOutput::cannot(std::string_view what, int error) const {
  Error out = system_error("cannot " + std::string(what) + " \"" + path_ + "\"", error);
  out.message += "; " + std::to_string(written_) + " bytes were written";
  return out;
}

Result<CopyPipe> CopyPipe::make(const std::string& module) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
    return system_error(module + ": cannot make a pipe", errno, Code::limit_exceeded);
  CopyPipe made{UniqueFd(ends[0]), UniqueFd(ends[1])};
  prepare_pipe(made.out.get());
  return made;
}

void prepare_pipe(int fd) {
  (void)::fcntl(fd, F_SETPIPE_SZ, static_cast<int>(splice_bytes));
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) (void)::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

}  // namespace kairo::executor
