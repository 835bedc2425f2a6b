// tee: gives what it takes and writes a copy of it to a file. Of each piece the file gets its copy first and
// then exactly as much goes on, so that after a failure (a full disk) both have got the same bytes and the
// others are unread. The bytes themselves stay in the kernel: tee(2) doubles them into a pipe of this
// module's own.
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "executor/modules/file_output.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

class Tee final : public FileModule {
 public:
  Tee(std::string path, FileOutput::Keep keep) : path_(std::move(path)), keep_(keep) {}

  Result<void> run(const FileEnds& ends) override {
    auto file = FileOutput::open(path_, keep_, ends);
    if (!file) return std::move(file).error();
    if (!*file) return {};
    const auto copy = CopyPipe::make("tee");
    if (!copy) return copy.error();
    for (;;) {
      if (!ends.stop->wait(ends.in, POLLIN, ends.out)) return {};
      const ssize_t doubled = ::tee(ends.in, copy->in.get(), splice_bytes, SPLICE_F_NONBLOCK);
      if (doubled == 0) break;  // readable without a byte: the end
      if (doubled < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (doubled < 0) return system_error("tee: cannot double what came", errno);
      for (auto left = static_cast<std::size_t>(doubled); left > 0;) {
        FileOutput::Written written = file->take(copy->out.get(), left, *ends.stop);
        if (!pass_on(ends, written.bytes) || written.stopped) return {};
        if (written.error) return *std::move(written.error);
        left -= written.bytes;
      }
    }
    return file->close();
  }

 private:
  /// False when asked to stop, or when nobody takes them.
  static bool pass_on(const FileEnds& ends, std::size_t bytes) {
    while (bytes > 0) {
      const ssize_t moved =
          ::splice(ends.in, nullptr, ends.out, nullptr, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (moved > 0)
        bytes -= static_cast<std::size_t>(moved);
      else if (moved == 0 || (errno != EAGAIN && errno != EINTR) ||
               !ends.stop->wait(ends.out, POLLOUT, ends.out))
        return false;
    }
    return true;
  }

  std::string path_;
  FileOutput::Keep keep_;
};

}  // namespace

Result<std::unique_ptr<FileModule>> make_tee(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::TeeParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  if (wanted->path.empty()) return refused_param(start, "path", "must not be empty");
  const bool keep = wanted->append || start.continues;
  return std::unique_ptr<FileModule>(new Tee(module_path(start, wanted->path),
                                             keep ? FileOutput::Keep::present : FileOutput::Keep::nothing));
}

}  // namespace kairo::executor
