#include "audit/verify.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "audit/files.hpp"
#include "base/limits.hpp"

namespace kairo::audit {
namespace {

constexpr std::size_t block_bytes = 1u << 20;
/// Listings, while a daemon removes files that are about to be read.
constexpr int attempts = 5;

std::string number(std::uint64_t value) {
  return std::to_string(value);
}

/// Goes through the lines of all files, in order.
class Walk {
 public:
  Walk(Verdict& out, const std::optional<Head>& head) : out_(out), head_(head) {}

  /// False where the first broken record was found.
  bool begin_file(std::uint64_t first) {
    file_ = file_name(first);
    line_ = 0;
    ++out_.files;
    if (out_.records == 0 || first == out_.last.seq + 1) return true;
    line_ = 1;
    return missing(first);
  }

  bool take(std::string_view text) {
    ++line_;
    auto line = read_line(text);
    if (!line)
      return broken(out_.records > 0 ? out_.last.seq + 1 : 0, "this is no record: " + line.error().message);
    if (!is_sound(text, *line))
      return broken(line->seq, "its bytes do not give its hash: it was changed after it was written");
    if (out_.records == 0) {
      if (file_name(line->seq) != file_)
        return broken(line->seq,
                      "the file's name says that it begins with another record: records were left out");
      if (line->seq == 1 && line->prev != text_of(no_hash))
        return broken(1, "it is the first of all and names a hash before it");
      out_.first_seq = line->seq;
    } else {
      if (line->seq != out_.last.seq + 1) return missing(line->seq);
      if (line->prev != text_of(out_.last.hash))
        return broken(line->seq,
                      "it does not carry the hash of the record before it: one of both was exchanged");
    }
    if (head_ && line->seq == head_->seq && line->hash != text_of(head_->hash))
      return broken(line->seq, "the event store knows it under another hash: it was exchanged");
    ++out_.records;
    out_.last.seq = line->seq;
    std::copy(line->hash.begin(), line->hash.end(), out_.last.hash.begin());
    if (const auto claimed = claimed_first(text)) claimed_ = *claimed;
    return true;
  }

  bool take_rest(std::size_t bytes, bool last_file) {
    if (bytes == 0) return true;
    if (last_file) {
      out_.torn_bytes = bytes;
      return true;
    }
    ++line_;
    return broken(out_.last.seq + 1, "the file ends in the middle of a record");
  }

  bool finish() {
    line_ = 0;
    if (claimed_ && out_.records > 0 && out_.first_seq > *claimed_) {
      file_ = file_name(out_.first_seq);
      return broken(*claimed_, "records " + number(*claimed_) + " to " + number(out_.first_seq - 1) +
                                   " are missing: files were removed, and not by the daemon");
    }
    if (head_ && out_.last.seq < head_->seq)
      return broken(out_.last.seq + 1, "records " + number(out_.last.seq + 1) + " to " + number(head_->seq) +
                                           " are missing: the event store knows of them");
    return true;
  }

 private:
  bool broken(std::uint64_t seq, std::string problem) {
    out_.whole = false;
    out_.file = file_;
    out_.line = line_;
    out_.seq = seq;
    out_.problem = std::move(problem);
    return false;
  }
  bool missing(std::uint64_t seq) {
    if (seq > out_.last.seq + 1)
      return broken(out_.last.seq + 1, "records " + number(out_.last.seq + 1) + " to " + number(seq - 1) +
                                           " are missing before this one");
    return broken(seq, "its number does not follow " + number(out_.last.seq));
  }

  Verdict& out_;
  const std::optional<Head>& head_;
  std::string file_;
  std::uint64_t line_ = 0;
  std::optional<std::uint64_t> claimed_;
};

/// False where the first broken record was found.
Result<bool> walk_file(int file, Walk& walk, bool last_file) {
  std::string buffer;
  for (;;) {
    const std::size_t have = buffer.size();
    buffer.resize(have + block_bytes);
    const ssize_t got = ::read(file, buffer.data() + have, block_bytes);
    if (got < 0) return system_error("cannot read the audit", errno);
    buffer.resize(have + static_cast<std::size_t>(got));
    if (got == 0) return walk.take_rest(buffer.size(), last_file);
    std::size_t at = 0;
    for (std::size_t end; (end = buffer.find('\n', std::max(at, have))) != std::string::npos; at = end + 1)
      if (!walk.take(std::string_view(buffer).substr(at, end - at))) return false;
    buffer.erase(0, at);
    // No record is that long: it need not be held as a whole.
    if (buffer.size() > block_bytes) return walk.take(buffer);
  }
}

}  // namespace

Result<Verdict> verify(const std::string& state_dir, const std::optional<Head>& head) {
  for (int attempt = 1;; ++attempt) {
    Verdict out;
    out.against_head = head.has_value();
    Walk walk(out, head);
    auto folder = open_folder(state_dir);
    std::vector<std::uint64_t> files;
    if (folder) {
      auto listed = list_files(folder->get());
      if (!listed) return std::move(listed).error();
      files = std::move(*listed);
    } else if (::access((state_dir + "/" + folder_name).c_str(), F_OK) == 0) {
      return std::move(folder).error();
    }
    if (files.empty() && !head) return Error(Code::not_found, state_dir + " has no audit");
    bool good = true, removed = false;
    for (std::size_t i = 0; i < files.size() && good && !removed; ++i) {
      const UniqueFd file(
          ::openat(folder->get(), file_name(files[i]).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      removed = !file && errno == ENOENT && attempt < attempts;
      if (removed) break;
      if (!file) return system_error("cannot open the audit's " + file_name(files[i]), errno);
      good = walk.begin_file(files[i]);
      if (!good) break;
      auto walked = walk_file(file.get(), walk, i + 1 == files.size());
      if (!walked) return std::move(walked).error();
      good = *walked;
    }
    if (removed) continue;
    if (good) walk.finish();
    return out;
  }
}

}  // namespace kairo::audit
