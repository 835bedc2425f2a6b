// kairoctl attach: follow a session's output until it ends.
#include <charconv>
#include <memory>
#include <unistd.h>

#include "context.hpp"
#include "follow.hpp"
#include "option_set.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  std::string id;
  std::string from = "start";
  std::string stream;
  bool lossless = false;
  bool line = false;
  bool json = false;
};

/// Where to begin, and in which streams: an offset is a place in one stream, stdout where none is named.
void choose_start(api::AttachParams& params, const Options& options) {
  params.streams = streams_of(options.stream);
  if (options.from == "start" || options.from == "end") {
    params.from = options.from == "start" ? api::From::start : api::From::end;
    return;
  }
  std::uint64_t offset = 0;
  const char* last = options.from.data() + options.from.size();
  const auto [end, error] = std::from_chars(options.from.data(), last, offset);
  if (error != std::errc{} || end != last)
    throw UsageError{"--from: \"" + options.from + "\" is none of start, end, or an offset in bytes"};
  params.streams->resize(1);
  api::FromOffsets from;
  (params.streams->front() == api::StreamName::standard_output ? from.standard_output : from.standard_error) =
      offset;
  params.from = from;
}

}  // namespace

Action declare_attach(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.argument("ID", options->id, "Session");
  set.value("--from", options->from, "PLACE", "start (default), end, or an offset in bytes");
  set.choice("--stream", options->stream, "STREAM", {"stdout", "stderr"}, "Only stdout or only stderr");
  set.flag("--lossless", options->lossless, "Miss nothing: hold the program back if need be");
  set.flag("--line", options->line, "Take whole lines");
  set.flag("--json", options->json, "Print every chunk as a JSON document on a line");
  return [options](Context& context) {
    api::AttachParams params;
    params.id = options->id;
    choose_start(params, *options);
    if (options->lossless) params.flow = api::Flow::lossless;
    if (options->line) params.mode = api::Mode::line;
    if (!options->json) params.encoding = api::Encoding::binary;
    auto client = context.connect();
    if (!client) return report(client.error());
    return follow(*client, params, [&](const api::ChunkView& chunk, std::string_view payload) {
      if (options->json)
        print_json_line(payload);
      else
        write_chunk(chunk);
    });
  };
}

}  // namespace kairo::ctl
