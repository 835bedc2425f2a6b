#include "log_lines.hpp"

#include <algorithm>

#include "follow.hpp"

namespace kairo::ctl {
namespace {

constexpr std::uint64_t piece_bytes = 1u << 20;
constexpr std::uint64_t backward_bytes = 256u << 10;

std::string bytes_of(api::ReadResult& result) {
  if (auto* bytes = std::get_if<reflect::Bytes>(&result.chunk)) return std::move(bytes->data);
  return std::get<std::string>(std::move(result.chunk));
}

}  // namespace

Result<std::string> LogStream::piece() {
  if (eof_) return std::string();
  api::ReadParams params;
  params.id = id_;
  params.stream = stream_;
  params.offset = offset_;
  params.max_bytes = piece_bytes;
  params.encoding = api::Encoding::binary;
  if (timestamps_) params.timestamps = true;
  params.since = std::exchange(since_, std::nullopt);
  auto result = client_.call<api::ReadResult>("process.read", params);
  if (!result) return std::move(result).error();
  if (result->dropped && *result->dropped > 0 && offset_ > 0)
    tell_dropped(stream_, result->offset, *result->dropped);
  if (result->times) marks_.insert(marks_.end(), result->times->begin(), result->times->end());
  offset_ = result->next_offset;
  eof_ = result->eof;
  return bytes_of(*result);
}

std::string LogStream::time_at(std::uint64_t offset) {
  while (!marks_.empty() && marks_.front().offset <= offset) {
    last_time_ = std::move(marks_.front().time);
    marks_.pop_front();
  }
  return last_time_;
}

void LogStream::split(std::string_view bytes, bool last) {
  std::uint64_t position = offset_ - bytes.size();
  while (!bytes.empty()) {
    if (partial_.empty()) partial_offset_ = position;
    const std::size_t newline = bytes.find('\n');
    const std::size_t length = newline == std::string_view::npos ? bytes.size() : newline + 1;
    partial_.append(bytes.substr(0, length));
    position += length;
    bytes.remove_prefix(length);
    if (newline != std::string_view::npos)
      lines_.push_back({stream_, time_at(partial_offset_), std::exchange(partial_, {})});
  }
  if (last && !partial_.empty())
    lines_.push_back({stream_, time_at(partial_offset_), std::exchange(partial_, {})});
}

Result<const LogLine*> LogStream::peek() {
  while (lines_.empty() && !at_end_) {
    auto bytes = piece();
    if (!bytes) return std::move(bytes).error();
    at_end_ = eof_ || bytes->empty();
    split(*bytes, at_end_);
  }
  return lines_.empty() ? nullptr : &lines_.front();
}

LogLine LogStream::take() {
  LogLine line = std::move(lines_.front());
  lines_.pop_front();
  return line;
}

Result<std::uint64_t> offset_of_last_lines(client::LastingClient& client, const std::string& id,
                                           api::StreamName stream, std::uint64_t first, std::uint64_t bytes,
                                           std::uint64_t count) {
  if (count == 0) return bytes;
  std::uint64_t end = bytes, newlines = 0;
  while (end > first) {
    const std::uint64_t begin = end - first > backward_bytes ? end - backward_bytes : first;
    api::ReadParams params;
    params.id = id;
    params.stream = stream;
    params.offset = begin;
    params.max_bytes = end - begin;
    params.encoding = api::Encoding::binary;
    auto result = client.call<api::ReadResult>("process.read", params);
    if (!result) return std::move(result).error();
    const std::string block = bytes_of(*result);
    if (result->offset != begin || block.empty()) return result->offset;  // the log moved on meanwhile
    for (std::size_t i = std::min<std::size_t>(block.size(), end - begin); i-- > 0;) {
      // The newline at the very end closes the last line; each further one begins a line behind it.
      if (block[i] != '\n' || begin + i + 1 == bytes) continue;
      if (++newlines == count) return begin + i + 1;
    }
    end = begin;
  }
  return first;
}

}  // namespace kairo::ctl
