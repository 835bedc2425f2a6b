// file-sink: writes its input to a file and gives nothing. What could not be written stays unread.
//
// A splice to a file holds its pipe's lock until the file has taken all, however slow the disk is, and
// whoever writes to that pipe waits meanwhile: the executor, with all that it does. So what came is doubled
// into a pipe of the module's own (references, no bytes), written from there, and then taken from the input.
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "executor/modules/file_output.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

/// One write to the file. The rest of the input's pipe can be filled meanwhile.
constexpr std::size_t sink_bytes = splice_bytes / 4;

class FileSink final : public FileModule {
 public:
  FileSink(std::string path, FileOutput::Keep keep, bool sync)
      : path_(std::move(path)), keep_(keep), sync_(sync) {}

  Result<void> run(const FileEnds& ends) override {
    auto file = FileOutput::open(path_, keep_, ends);
    if (!file) return std::move(file).error();
    if (!*file) return {};
    const auto copy = CopyPipe::make("file-sink");
    if (!copy) return copy.error();
    const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (!nowhere) return system_error("file-sink: cannot open /dev/null", errno, Code::limit_exceeded);
    for (;;) {
      if (!ends.stop->wait(ends.in, POLLIN, ends.out)) return {};
      const ssize_t doubled = ::tee(ends.in, copy->in.get(), sink_bytes, SPLICE_F_NONBLOCK);
      if (doubled == 0) break;  // readable without a byte: the end
      if (doubled < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (doubled < 0) return system_error("file-sink: cannot double what came", errno);
      for (auto left = static_cast<std::size_t>(doubled); left > 0;) {
        FileOutput::Written written = file->take(copy->out.get(), left, *ends.stop);
        if (!drop(ends.in, nowhere.get(), written.bytes))
          return system_error("file-sink: cannot take what was written", errno);
        if (written.error) return *std::move(written.error);
        if (written.stopped) return {};
        left -= written.bytes;
      }
    }
    if (sync_) {
      auto synced = file->sync();
      if (!synced) return synced;
    }
    return file->close();
  }

 private:
  static bool drop(int pipe, int nowhere, std::size_t bytes) {
    while (bytes > 0) {
      const ssize_t moved = ::splice(pipe, nullptr, nowhere, nullptr, bytes, SPLICE_F_MOVE);
      if (moved > 0)
        bytes -= static_cast<std::size_t>(moved);
      else if (moved == 0 || errno != EINTR)
        return false;
    }
    return true;
  }

  std::string path_;
  FileOutput::Keep keep_;
  bool sync_;
};

}  // namespace

Result<std::unique_ptr<FileModule>> make_file_sink(const reflect::Any& params, const ModuleStart& start) {
  auto wanted = module_params<topology::FileSinkParams>(params, start);
  if (!wanted) return std::move(wanted).error();
  if (wanted->path.empty()) return refused_param(start, "path", "must not be empty");
  const bool keep = wanted->append || start.continues;
  return std::unique_ptr<FileModule>(
      new FileSink(module_path(start, wanted->path),
                   keep ? FileOutput::Keep::present : FileOutput::Keep::nothing, wanted->sync));
}

}  // namespace kairo::executor
