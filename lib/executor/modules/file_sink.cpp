// file-sink: writes its input to a file and gives nothing. What could not be written stays unread.
#include <cerrno>
#include <poll.h>

#include "executor/modules/file_output.hpp"
#include "executor/modules/table.hpp"

namespace kairo::executor {
namespace {

class FileSink final : public FileModule {
 public:
  FileSink(std::string path, FileOutput::Keep keep, bool sync)
      : path_(std::move(path)), keep_(keep), sync_(sync) {}

  Result<void> run(const FileEnds& ends) override {
    auto file = FileOutput::open(path_, keep_, *ends.stop);
    if (!file) return std::move(file).error();
    if (!*file) return {};
    for (;;) {
      // Also a pipe with bytes in it makes splice() wait for the file alone.
      if (!ends.stop->wait(ends.in, POLLIN, ends.out)) return {};
      FileOutput::Written written = file->take(ends.in, splice_bytes, *ends.stop);
      if (written.error) return *std::move(written.error);
      if (written.stopped) return {};
      if (written.bytes == 0) break;  // readable without a byte: the end
    }
    if (sync_) {
      auto synced = file->sync();
      if (!synced) return synced;
    }
    return file->close();
  }

 private:
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
