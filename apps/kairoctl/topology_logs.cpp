// kairoctl topology logs: the standard error of a topology's nodes, of all their lives, and of its executor,
// line by line in the order in which they were written, as the logs' time indices know it (10 ms). With -f
// goes on with what comes, from nodes that are started later, too, until the executor has ended.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>

#include "api/envelope.hpp"
#include "api/topology.hpp"
#include "context.hpp"
#include "log_lines.hpp"
#include "option_set.hpp"
#include "topology/check.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  std::string topology;
  std::string node;
  bool follow = false;
  std::optional<std::uint64_t> tail;
};

constexpr auto standard_error = api::StreamName::standard_error;

/// A line that is longer goes out in pieces: nobody holds all of what never ends.
constexpr std::size_t longest_line = 64u << 10;

/// The log of one session.
struct Source {
  std::string id;
  std::string node;
  bool running = false;
  std::uint64_t first = 0;
  client::StreamPosition position{};
  std::string partial{};
};

struct EventData {
  std::string process_id;
  static constexpr auto fields() {
    return std::tuple(reflect::defaulted("processId", &EventData::process_id, "Session"));
  }
};

class TopologyLogs {
 public:
  TopologyLogs(client::LastingClient& client, const Options& options) : client_(client), options_(options) {}

  int go() {
    auto done = find();
    if (done && sources_.empty()) done = nothing();
    if (done) done = print_present();
    while (done && options_.follow && !complete()) done = follow();
    return done ? exit_code::success : report(done.error());
  }

 private:
  [[nodiscard]] std::string executor() const { return topology::executor_session(options_.topology); }

  [[nodiscard]] Error nothing() const {
    const std::string what = options_.node.empty() ? "" : "the node \"" + options_.node + "\" of ";
    return Error(Code::not_found,
                 "no session of " + what + "the topology \"" + options_.topology + "\" is known");
  }

  /// Takes in the sessions that are not known yet.
  Result<void> find() {
    api::ListParams params;
    params.label = "kairo.topology=" + options_.topology;
    executor_runs_ = false;
    do {
      auto page = client_.call<api::ListResult>("process.list", params);
      if (!page) return std::move(page).error();
      for (const api::ProcessSession& each : page->sessions) add(each);
      params.after = page->next;
    } while (params.after);
    return {};
  }

  void add(const api::ProcessSession& session) {
    const bool running = session.status == api::Status::running;
    if (session.id == executor()) executor_runs_ = running;
    const auto label = session.labels.find("kairo.node");
    const std::string node = label != session.labels.end() ? label->second : "executor";
    if (!options_.node.empty() && node != options_.node) return;
    if (std::any_of(sources_.begin(), sources_.end(),
                    [&](const Source& each) { return each.id == session.id; }))
      return;
    Source& source = sources_.emplace_back();
    source.id = session.id;
    source.node = node;
    source.running = running;
    source.first = session.streams.standard_error.first_offset;
    source.position.offset = source.first;
    width_ = std::max(width_, node.size());
    several_ |= node != sources_.front().node;
  }

  void print(const Source& source, std::string_view line) const {
    std::string out;
    if (several_) out = source.node + std::string(width_ - source.node.size(), ' ') + " | ";
    out.append(line);
    if (!line.ends_with('\n')) out.push_back('\n');
    write_out(out);
  }

  // --- what there is -----------------------------------------------------------------------------------

  Result<void> print_present() {
    std::deque<LogStream> streams;
    for (Source& each : sources_) {
      LogStream& stream = streams.emplace_back(client_, each.id, standard_error, true);
      stream.begin_at(each.first);
      if (!options_.tail) continue;
      auto session = client_.call<api::ProcessSession>("process.status", api::IdParams{each.id});
      if (!session) return std::move(session).error();
      auto offset = offset_of_last_lines(client_, each.id, standard_error, each.first,
                                         session->streams.standard_error.bytes, *options_.tail);
      if (!offset) return std::move(offset).error();
      stream.begin_at(*offset);
    }
    for (;;) {
      std::size_t oldest = streams.size();
      std::string time;
      for (std::size_t i = 0; i < streams.size(); ++i) {
        auto line = streams[i].peek();
        if (!line) return std::move(line).error();
        if (!*line || (oldest < streams.size() && time <= (*line)->time)) continue;
        oldest = i;
        time = (*line)->time;
      }
      if (oldest == streams.size()) break;
      const LogLine line = streams[oldest].take();
      // What is to be followed may have stopped in the middle of a line.
      if (options_.follow && !streams[oldest].ended() && !line.bytes.ends_with('\n'))
        sources_[oldest].partial = line.bytes;
      else
        print(sources_[oldest], line.bytes);
    }
    for (std::size_t i = 0; i < streams.size(); ++i) {
      sources_[i].position.offset = streams[i].offset();
      sources_[i].position.eof = streams[i].ended();
    }
    return {};
  }

  // --- what comes --------------------------------------------------------------------------------------

  [[nodiscard]] bool complete() const {
    return !executor_runs_ && std::all_of(sources_.begin(), sources_.end(),
                                          [](const Source& each) { return each.position.eof; });
  }

  Result<void> attach(const Source& source) {
    api::AttachParams params;
    params.id = source.id;
    params.streams.emplace({standard_error});
    params.from = api::FromOffsets{std::nullopt, source.position.offset};
    params.encoding = api::Encoding::binary;
    auto attached = client_.call<api::SubscriptionResult>("process.attach", params);
    if (!attached) return std::move(attached).error();
    return {};
  }

  /// Attaches to the sessions from the `from`th on that have more to come.
  Result<void> attach_from(std::size_t from) {
    for (std::size_t i = from; i < sources_.size(); ++i) {
      if (sources_[i].position.eof) continue;
      auto attached = attach(sources_[i]);
      if (!attached) return attached;
    }
    return {};
  }

  /// Over one connection; when it is lost all begins again behind what was had.
  Result<void> follow() {
    for (const char* topic : {"kairo.process.spawned", "kairo.process.exited"}) {
      auto answer =
          client_.call<api::EventSubscribeResult>("event.subscribe", api::EventSubscribeParams{topic, {}});
      if (!answer) return std::move(answer).error();
    }
    auto done = find();
    if (done) done = attach_from(0);
    const unsigned connection = client_.reconnects();
    while (done && !complete() && client_.reconnects() == connection) {
      auto push = client_.poll_push({});
      if (!push && client::is_unreachable(push.error())) return {};
      if (!push) return std::move(push).error();
      done = (*push)->type == wire::FrameType::stream_chunk ? take_chunk((*push)->payload)
                                                            : take_event((*push)->payload);
    }
    return done;
  }

  Result<void> take_chunk(std::string_view payload) {
    auto chunk = api::read_chunk(payload);
    if (!chunk) return std::move(chunk).error();
    const auto source = std::find_if(sources_.begin(), sources_.end(),
                                     [&](const Source& each) { return each.id == chunk->process_id; });
    if (source == sources_.end()) return {};
    source->position.took(*chunk);
    std::string_view rest = chunk->chunk;
    while (!rest.empty()) {
      const std::size_t newline = rest.find('\n');
      const std::size_t length = newline == std::string_view::npos ? rest.size() : newline + 1;
      source->partial.append(rest.substr(0, length));
      rest.remove_prefix(length);
      if (newline != std::string_view::npos || source->partial.size() >= longest_line)
        print(*source, std::exchange(source->partial, {}));
    }
    if (chunk->eof && !source->partial.empty()) print(*source, std::exchange(source->partial, {}));
    return {};
  }

  Result<void> take_event(std::string_view payload) {
    auto event = client::Client::decoded<api::Event>(payload);
    if (!event) return std::move(event).error();
    auto data = client::Client::decoded<EventData>(event->data.msgpack);
    // Events that were left out may have been of ours.
    const bool lagged = event->type == "kairo.event.lagged";
    if (!lagged && (!data || !data->process_id.starts_with(options_.topology + "."))) return {};
    const std::size_t known = sources_.size();
    auto found = find();
    return found ? attach_from(known) : found;
  }

  client::LastingClient& client_;
  const Options& options_;
  std::vector<Source> sources_;
  std::size_t width_ = 0;
  bool several_ = false;
  bool executor_runs_ = false;
};

}  // namespace

Action declare_topology_logs(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.argument("NAME", options->topology, "Topology");
  set.optional_argument("NODE", options->node, "Only this node; executor is the one that moves the data");
  set.flag("-f,--follow", options->follow, "Go on with what is written from now on");
  set.number("-n,--tail", options->tail, "LINES", "Of each life of a node only the last so many lines");
  return [options](Context& context) {
    auto client = context.connect();
    if (!client) return report(client.error());
    return TopologyLogs(*client, *options).go();
  };
}

}  // namespace kairo::ctl
