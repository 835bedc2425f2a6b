// file-source: gives a file's bytes, as often as wanted. It reads as far ahead as its pipe holds. Any file
// will do that can be opened for reading: a named pipe is waited for, a device may have no end.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/modules/file_output.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

constexpr std::size_t copy_bytes = 256 * 1024;

class FileSource final : public FileModule {
 public:
  FileSource(std::string path, std::uint64_t offset, std::uint64_t times)
      : path_(std::move(path)), offset_(offset), times_(times) {}

  [[nodiscard]] bool reads() const override { return false; }

  Result<void> run(const FileEnds& ends) override {
    const UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file) return cannot("open", errno);
    struct stat what {};
    if (::fstat(file.get(), &what) == 0 && S_ISDIR(what.st_mode)) return cannot("read", EISDIR);
    ends.opened();
    for (std::uint64_t time = 0; time < times_; ++time) {
      if ((offset_ > 0 || time > 0) && ::lseek(file.get(), static_cast<off_t>(offset_), SEEK_SET) < 0)
        return cannot("read from byte " + std::to_string(offset_) + " of", errno);
      // Nobody has opened a named pipe yet: that is no end.
      if (!ends.stop->wait(file.get(), POLLIN, ends.out)) return {};
      bool ended = false;
      while (!ended) {
        auto given = give_some(file.get(), ends);
        if (!given) return std::move(given).error();
        if (*given == Given::nobody) return {};
        ended = *given == Given::end;
      }
    }
    return {};
  }

 private:
  enum class Given { some, end, nobody };

  Result<Given> give_some(int file, const FileEnds& ends) {
    if (copies_) return copy_some(file, ends);
    const ssize_t moved =
        ::splice(file, nullptr, ends.out, nullptr, splice_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) return Given::some;
    if (moved == 0) return Given::end;
    if (errno == EINTR) return Given::some;
    if (errno == EPIPE) return Given::nobody;
    if (errno == EINVAL) {
      copies_ = true;
      return Given::some;
    }
    if (errno != EAGAIN) return cannot("read", errno);
    return wait(ends.out, POLLOUT, ends) && wait(file, POLLIN, ends) ? Given::some : Given::nobody;
  }

  Result<Given> copy_some(int file, const FileEnds& ends) {
    buffer_.resize(copy_bytes);
    const ssize_t got = ::read(file, buffer_.data(), buffer_.size());
    if (got == 0) return Given::end;
    if (got < 0 && errno == EINTR) return Given::some;
    if (got < 0 && errno == EAGAIN) return wait(file, POLLIN, ends) ? Given::some : Given::nobody;
    if (got < 0) return cannot("read", errno);
    for (std::string_view rest(buffer_.data(), static_cast<std::size_t>(got)); !rest.empty();) {
      const ssize_t put = ::write(ends.out, rest.data(), rest.size());
      if (put > 0)
        rest.remove_prefix(static_cast<std::size_t>(put));
      else if (put < 0 && errno != EAGAIN && errno != EINTR)
        return Given::nobody;
      else if (!wait(ends.out, POLLOUT, ends))
        return Given::nobody;
    }
    return Given::some;
  }

  static bool wait(int fd, short events, const FileEnds& ends) {
    return ends.stop->wait(fd, events, ends.out);
  }

  [[nodiscard]] Error cannot(const std::string& what, int error) const {
    return system_error("cannot " + what + " \"" + path_ + "\"", error);
  }

  std::string path_;
  std::uint64_t offset_;
  std::uint64_t times_;
  bool copies_ = false;  ///< The file gives no splice.
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<FileModule>> make_file_source(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::FileSourceParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  if (wanted->path.empty()) return refused_param(start, "path", "must not be empty");
  const std::uint64_t offset = wanted->offset.value_or(0), times = wanted->repeat.value_or(1);
  if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()))
    return refused_param(start, "offset",
                         "must be at most " + std::to_string(std::numeric_limits<off_t>::max()));
  if (times == 0) return refused_param(start, "repeat", "must be at least 1");
  return std::unique_ptr<FileModule>(new FileSource(module_path(start, wanted->path), offset, times));
}

}  // namespace kairo::executor
