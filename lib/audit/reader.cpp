#include "audit/reader.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <sys/stat.h>

#include "audit/files.hpp"
#include "audit/line.hpp"
#include "audit/text.hpp"

namespace kairo::audit {
namespace {

/// What is read at once: not much more than a page, so that a short one costs little.
constexpr std::size_t block_bytes = 256u << 10;
static_assert(block_bytes > limits::audit_line_bytes);

/// The inside of a text as it stands in a line; a value that had to be escaped is compared as it was written.
std::string_view inside(const std::optional<std::string_view>& text) {
  if (!text || text->size() < 2 || text->front() != '"') return {};
  return text->substr(1, text->size() - 2);
}

bool is_below(std::string_view principal, const std::string& of) {
  std::string written;
  append_text(written, of);
  const std::string_view root = std::string_view(written).substr(1, written.size() - 2);
  return principal == root || (principal.size() > root.size() && principal.starts_with(root) &&
                               (principal[root.size()] == '/' || principal[root.size()] == ' '));
}

bool is_named(std::string_view name, std::string_view pattern) {
  return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

/// A file that is read; nothing where rotation has just removed it.
struct Opened {
  UniqueFd file;
  std::uint64_t size = 0;
};
Result<std::optional<Opened>> open_file(int folder, std::uint64_t first) {
  const std::string name = file_name(first);
  UniqueFd file(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return std::optional<Opened>();
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0)
    return system_error("cannot open the audit's " + name, errno);
  return std::optional<Opened>(Opened{std::move(file), static_cast<std::uint64_t>(status.st_size)});
}

/// What the file has from `from` on, at most up to `to`.
Result<std::string> read_block(int file, std::uint64_t from, std::uint64_t to) {
  std::string out(std::min<std::uint64_t>(to - from, block_bytes), '\0');
  const ssize_t got = ::pread(file, out.data(), out.size(), static_cast<off_t>(from));
  if (got < 0) return system_error("cannot read the audit", errno);
  out.resize(static_cast<std::size_t>(got));
  return out;
}

struct Folder {
  UniqueFd fd;
  std::vector<std::uint64_t> files;
};
Result<Folder> open_all(const std::string& state_dir) {
  auto fd = open_folder(state_dir);
  if (!fd) return std::move(fd).error();
  auto files = list_files(fd->get());
  if (!files) return std::move(files).error();
  return Folder{std::move(*fd), std::move(*files)};
}

}  // namespace

bool Filter::admits(std::string_view line) const {
  const auto read = read_line(line);
  if (!read) return false;
  if ((from_time && read->time < *from_time) || (to_time && read->time > *to_time)) return false;
  if (viewer || principal) {
    const std::string_view who = inside(find_member(line, "principal"));
    const auto told = find_member(line, "path");
    const std::string_view path = told ? inside(told) : who;
    if (viewer && !is_below(path, *viewer)) return false;
    if (principal && !is_below(who, *principal) && !is_below(path, *principal)) return false;
  }
  if (!method) return true;
  auto name = find_member(line, "method");
  if (!name) name = find_member(line, "event");
  return is_named(inside(name), *method);
}

std::string Place::text() const {
  return std::to_string(file) + ":" + std::to_string(offset);
}

std::optional<Place> Place::parse(std::string_view text) {
  Place out;
  const char* const end = text.data() + text.size();
  const auto file = std::from_chars(text.data(), end, out.file);
  if (file.ec != std::errc() || file.ptr == end || *file.ptr != ':') return std::nullopt;
  const auto offset = std::from_chars(file.ptr + 1, end, out.offset);
  if (offset.ec != std::errc() || offset.ptr != end) return std::nullopt;
  return out;
}

Result<Page> read_page(const std::string& state_dir, const Filter& filter, Place from, std::size_t limit) {
  auto folder = open_all(state_dir);
  if (!folder) return std::move(folder).error();
  Page page;
  page.next = from;
  std::size_t looked = 0, bytes = 0;
  const std::vector<std::uint64_t>& files = folder->files;
  for (auto each = std::lower_bound(files.begin(), files.end(), from.file); each != files.end(); ++each) {
    auto opened = open_file(folder->fd.get(), *each);
    if (!opened) return std::move(opened).error();
    if (!*opened) continue;
    std::uint64_t at = *each == from.file ? from.offset : 0;
    page.next = {*each, at};
    while (at < (*opened)->size) {
      auto block = read_block((*opened)->file.get(), at, (*opened)->size);
      if (!block) return std::move(block).error();
      std::size_t begin = 0;
      for (std::size_t end; (end = block->find('\n', begin)) != std::string::npos; begin = end + 1) {
        if (page.lines.size() >= limit || bytes >= limits::audit_page_bytes) {
          page.more = true;
          return page;
        }
        const std::string_view line = std::string_view(*block).substr(begin, end - begin);
        page.next.offset = at + end + 1;
        if (!filter.admits(line)) continue;
        bytes += line.size();
        page.lines.emplace_back(line);
      }
      // A line that is being written; or none at all, in a file that somebody has spoilt: then to its end.
      if (begin == 0 && block->size() < block_bytes) break;
      at += begin == 0 ? block->size() : begin;
      page.next.offset = at;
      looked += begin;
      if (looked >= limits::audit_scan_bytes) {
        page.more = true;
        return page;
      }
    }
  }
  return page;
}

Result<Page> read_last(const std::string& state_dir, const Filter& filter, std::size_t count) {
  auto folder = open_all(state_dir);
  if (!folder) return std::move(folder).error();
  Page page;
  std::size_t looked = 0, bytes = 0;
  bool full = count == 0;
  for (auto each = folder->files.rbegin(); each != folder->files.rend(); ++each) {
    auto opened = open_file(folder->fd.get(), *each);
    if (!opened) return std::move(opened).error();
    if (!*opened) continue;
    std::uint64_t end = (*opened)->size;
    // Backwards, block by block; `rest` is the beginning of the block behind, whose line began in this one.
    std::string rest;
    bool first = each == folder->files.rbegin();
    while (end > 0 && !full) {
      const std::uint64_t begin = end > block_bytes ? end - block_bytes : 0;
      auto block = read_block((*opened)->file.get(), begin, end);
      if (!block) return std::move(block).error();
      looked += block->size();
      std::string text = std::move(*block) + rest;
      if (first) {
        // Behind the last newline a line is being written.
        const std::size_t last = text.rfind('\n');
        page.next = {*each, last == std::string::npos ? 0 : begin + last + 1};
        text.resize(last == std::string::npos ? 0 : last + 1);
        first = false;
      }
      while (!text.empty() && !full) {
        text.pop_back();  // its newline
        const std::size_t before = text.rfind('\n');
        if (before == std::string::npos && begin > 0) {
          text += '\n';
          break;
        }
        std::string line = text.substr(before == std::string::npos ? 0 : before + 1);
        text.resize(before == std::string::npos ? 0 : before + 1);
        if (!filter.admits(line)) continue;
        bytes += line.size();
        page.lines.push_back(std::move(line));
        full = page.lines.size() >= count || bytes >= limits::audit_page_bytes;
      }
      rest = std::move(text);
      if (rest.size() > limits::audit_line_bytes) rest.clear();
      end = begin;
      full = full || looked >= limits::audit_scan_bytes;
    }
    if (first && each == folder->files.rbegin()) page.next = {*each, 0};
    if (full) break;
  }
  std::reverse(page.lines.begin(), page.lines.end());
  return page;
}

}  // namespace kairo::audit
