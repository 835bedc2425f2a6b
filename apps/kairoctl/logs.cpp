// kairoctl logs: what a session has written so far, and with -f what it writes from then on. The log keeps
// each stream for itself; two streams are put in order line by line, by the time index, which is good to 10
// ms.
#include <array>
#include <memory>

#include "base/clock.hpp"
#include "context.hpp"
#include "follow.hpp"
#include "log_lines.hpp"
#include "option_set.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  std::string id;
  bool follow = false;
  bool timestamps = false;
  std::string since;
  std::optional<std::uint64_t> tail;
  std::string stream;
};

void print(const LogLine& line, bool timestamps) {
  write_stream(line.stream, timestamps ? line.time + " " + line.bytes : line.bytes);
}

/// Puts the time at which it came before every line of what is followed.
class LiveStamper {
 public:
  void write(const api::ChunkView& chunk) {
    std::string& partial = partial_[static_cast<std::size_t>(chunk.stream)];
    std::string_view rest = chunk.chunk;
    while (!rest.empty()) {
      const std::size_t newline = rest.find('\n');
      const std::size_t length = newline == std::string_view::npos ? rest.size() : newline + 1;
      if (partial.empty()) partial = to_iso8601(system_now()) + " ";
      partial.append(rest.substr(0, length));
      rest.remove_prefix(length);
      if (newline != std::string_view::npos) write_stream(chunk.stream, std::exchange(partial, {}));
    }
    if (chunk.eof && !partial.empty()) write_stream(chunk.stream, std::exchange(partial, {}));
  }

 private:
  std::array<std::string, 2> partial_;
};

class Logs {
 public:
  Logs(client::LastingClient& client, const Options& options) : client_(client), options_(options) {}

  int go() {
    auto opened = open();
    if (!opened) return report(opened.error());
    if (streams_.empty()) return exit_code::success;
    auto printed = streams_.size() == 1 && !options_.timestamps ? print_raw(streams_[0]) : print_merged();
    if (!printed) return report(printed.error());
    return options_.follow ? follow_on() : exit_code::success;
  }

 private:
  Result<void> open() {
    auto session = client_.call<api::ProcessSession>("process.status", api::IdParams{options_.id});
    if (!session) return std::move(session).error();
    const bool ended = session->status != api::Status::running;
    std::optional<std::string> since;
    if (!options_.since.empty()) {
      since = parse_time("--since", options_.since);
      // Both are ISO 8601 in UTC with microseconds, which sort as text. The index alone could not tell how
      // late the bytes behind its last entry are.
      if (ended && session->exited_at && *session->exited_at < *since) return {};
    }
    for (api::StreamName name : streams_of(options_.stream)) {
      const bool is_stdout = name == api::StreamName::standard_output;
      const api::StreamState& state =
          is_stdout ? session->streams.standard_output : session->streams.standard_error;
      // An ended stream that is empty needs no place in the order; the other one can then go out as it is.
      if (ended && state.bytes == 0 && options_.stream.empty()) continue;
      names_.push_back(name);
      LogStream& stream = streams_.emplace_back(client_, options_.id, name, true);
      stream.begin_at(state.first_offset);
      if (since) stream.begin_since(*since);
      if (!options_.tail) continue;
      auto offset =
          offset_of_last_lines(client_, options_.id, name, state.first_offset, state.bytes, *options_.tail);
      if (!offset) return std::move(offset).error();
      stream.begin_at(*offset);
    }
    return {};
  }

  Result<void> print_raw(LogStream& stream) {
    for (;;) {
      auto bytes = stream.piece();
      if (!bytes) return std::move(bytes).error();
      write_stream(names_[0], *bytes);
      if (bytes->empty() || stream.ended()) return {};
    }
  }

  /// The stream whose next line is the older; nullptr at the end of all.
  Result<LogStream*> next() {
    LogStream* oldest = nullptr;
    const LogLine* oldest_line = nullptr;
    for (LogStream& each : streams_) {
      auto line = each.peek();
      if (!line) return std::move(line).error();
      if (!*line || (oldest_line && oldest_line->time <= (*line)->time)) continue;
      oldest = &each;
      oldest_line = *line;
    }
    return oldest;
  }

  Result<void> print_merged() {
    // With --tail each stream gives so many lines; of all together only the last are wanted.
    std::deque<LogLine> tail;
    for (;;) {
      auto stream = next();
      if (!stream) return std::move(stream).error();
      if (!*stream) break;
      if (options_.tail) {
        tail.push_back((*stream)->take());
        if (tail.size() > *options_.tail) tail.pop_front();
      } else {
        print((*stream)->take(), options_.timestamps);
      }
    }
    for (const LogLine& each : tail) print(each, options_.timestamps);
    return {};
  }

  int follow_on() {
    api::AttachParams params;
    api::FromOffsets from;
    params.id = options_.id;
    params.streams.emplace();
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (streams_[i].ended()) continue;
      params.streams->push_back(names_[i]);
      (names_[i] == api::StreamName::standard_output ? from.standard_output : from.standard_error) =
          streams_[i].offset();
    }
    if (params.streams->empty()) return exit_code::success;
    params.from = from;
    params.encoding = api::Encoding::binary;
    LiveStamper stamper;
    return follow(client_, params, [&](const api::ChunkView& chunk, std::string_view) {
      if (options_.timestamps)
        stamper.write(chunk);
      else
        write_chunk(chunk);
    });
  }

  client::LastingClient& client_;
  const Options& options_;
  std::vector<api::StreamName> names_;
  std::deque<LogStream> streams_;
};

}  // namespace

Action declare_logs(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.argument("ID", options->id, "Session");
  set.flag("-f,--follow", options->follow, "Go on with what is written from now on");
  set.flag("-t,--timestamps", options->timestamps, "Begin every line with the time at which it was written");
  set.value("--since", options->since, "TIME",
            "Only what was written since then: ISO 8601, @SECONDS, or 10m for ago");
  set.number("-n,--tail", options->tail, "LINES", "Only the last so many lines");
  set.choice("--stream", options->stream, "STREAM", {"stdout", "stderr"}, "Only stdout or only stderr");
  return [options](Context& context) {
    if (!options->since.empty()) parse_time("--since", options->since);
    auto client = context.connect();
    if (!client) return report(client.error());
    return Logs(*client, *options).go();
  };
}

}  // namespace kairo::ctl
