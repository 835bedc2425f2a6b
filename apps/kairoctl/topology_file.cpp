#include "topology_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "context.hpp"

namespace kairo::ctl {
namespace {

/// At most one byte more than a topology may have: what is longer is refused anyway.
Result<std::string> contents(int fd, const std::string& name) {
  std::string text;
  char piece[16384];
  while (text.size() <= topology::file_bytes) {
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("cannot read " + name, errno);
    if (got == 0) break;
    text.append(piece, static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

Result<topology::TopologyFile> read_topology(const std::string& path, const std::string& name) {
  const bool standard_input = path == "-";
  const std::string shown = standard_input ? "stdin" : path;
  UniqueFd fd;
  if (!standard_input) {
    fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
      return system_error("cannot open " + shown, errno, errno == ENOENT ? Code::not_found : Code::internal);
  }
  auto text = contents(standard_input ? STDIN_FILENO : fd.get(), shown);
  if (!text) return std::move(text).error();
  return topology::TopologyFile::read(*text, shown, name.empty() ? std::nullopt : std::optional(name));
}

std::string json_value(const std::string& option, const std::string& text) {
  auto written = topology::read_json(text, option);
  if (!written) throw UsageError{written.error().message};
  auto values = topology::with_types(**written, reflect::type_info<reflect::Any>(), option);
  if (!values) throw UsageError{values.error().message};
  return std::move(values->msgpack);
}

}  // namespace kairo::ctl
