// kairoctl events: what has happened, and with -f what happens from then on. The daemon's numbers make it
// exact: a new connection resumes behind the last number that was seen, and what the daemon left out for a
// reader that was too slow is fetched from its store in its place.
#include <algorithm>
#include <memory>
#include <unistd.h>

#include "context.hpp"
#include "option_set.hpp"
#include "units.hpp"

namespace kairo::ctl {
namespace {

struct Options {
  bool follow = false;
  std::vector<std::string> topics;
  std::string since;
  std::string correlation;
  std::optional<std::uint64_t> count;
};

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The daemon's rule: `*` stands for one segment, `>` for the rest.
bool matches(std::string_view pattern, std::string_view type) {
  for (;;) {
    if (pattern == ">") return !type.empty();
    const std::size_t dot = pattern.find('.'), end = type.find('.');
    const std::string_view wanted = pattern.substr(0, dot);
    if (wanted != "*" && wanted != type.substr(0, end)) return false;
    if (dot == std::string_view::npos || end == std::string_view::npos) return dot == end;
    pattern.remove_prefix(dot + 1);
    type.remove_prefix(end + 1);
  }
}

/// {"missed": {...}} on stderr: events that the daemon's store does not hold (any more).
void tell_missed(std::uint64_t from, std::uint64_t to) {
  static_cast<void>(write_all(
      STDERR_FILENO, "{\"missed\":{\"fromSeq\":" + std::to_string(from) + ",\"toSeq\":" + std::to_string(to) +
                         ",\"reason\":\"the daemon no longer has these events\"}}\n"));
}

struct LaggedData {
  std::uint64_t from_seq = 0;
  std::uint64_t to_seq = 0;
  static constexpr auto fields() {
    return std::tuple(reflect::field("fromSeq", &LaggedData::from_seq, ""),
                      reflect::field("toSeq", &LaggedData::to_seq, ""));
  }
};

class Events {
 public:
  Events(client::LastingClient& client, const Options& options) : client_(client), options_(options) {}

  int go() {
    auto done = options_.follow ? follow() : print_stored();
    return done ? exit_code::success : report(done.error());
  }

 private:
  /// The one topic that the daemon is asked for; of several it gives all, and they are sorted out here.
  [[nodiscard]] std::string topic() const { return options_.topics.size() == 1 ? options_.topics[0] : ">"; }
  [[nodiscard]] bool finished() const { return options_.count && printed_ >= *options_.count; }
  [[nodiscard]] api::EventQueryParams query() const {
    api::EventQueryParams params;
    params.topic = topic();
    params.since_seq = last_;
    if (!options_.correlation.empty()) params.correlation_id = options_.correlation;
    return params;
  }

  void print(const api::Event& event, std::string_view payload) {
    if (event.seq && *event.seq <= last_) return;  // had before the connection was lost
    if (event.seq) last_ = *event.seq;
    if (finished()) return;
    if (!options_.correlation.empty() && event.correlation_id != options_.correlation) return;
    if (!options_.topics.empty() &&
        std::none_of(options_.topics.begin(), options_.topics.end(),
                     [&](const std::string& each) { return matches(each, event.type); }))
      return;
    print_json_line(payload);
    ++printed_;
  }

  /// What is stored behind the last number, up to `to`; without it up to the newest. What is gone of a
  /// stretch that begins with a number is told.
  Result<void> print_pages(std::optional<std::uint64_t> to, std::optional<std::string> from_time = {}) {
    for (;;) {
      api::EventQueryParams params = query();
      params.from_time = from_time;
      auto page = client_.call<api::EventQueryResult>("event.query", params);
      if (!page) return std::move(page).error();
      if (!to) to = page->newest_seq;  // what comes meanwhile is no longer asked for
      if (last_ > 0 && page->oldest_seq > last_ + 1 && *to > last_) {
        const std::uint64_t gone = std::min(page->oldest_seq - 1, *to);
        tell_missed(last_ + 1, gone);
        last_ = gone;
      }
      for (const api::Event& each : page->events) {
        if (each.seq.value_or(0) > *to) return {};
        print(each, reflect::to_msgpack(each));
      }
      if (finished() || !page->next || *page->next >= *to) return {};
      last_ = *page->next;
    }
  }

  Result<void> print_stored() {
    if (is_number(options_.since)) last_ = std::stoull(options_.since);
    std::optional<std::string> from_time;
    if (!options_.since.empty() && !is_number(options_.since))
      from_time = parse_time("--since", options_.since);
    return print_pages({}, from_time);
  }

  /// The number behind which to begin; nothing: from now on.
  Result<std::optional<std::uint64_t>> begin() {
    std::optional<std::uint64_t> since;
    if (is_number(options_.since)) since = std::stoull(options_.since);
    if (options_.since.empty() || since) return since;
    api::EventQueryParams params;
    params.from_time = parse_time("--since", options_.since);
    params.limit = 1;
    auto first = client_.call<api::EventQueryResult>("event.query", params);
    if (!first) return std::move(first).error();
    since = first->events.empty() ? first->newest_seq : first->events[0].seq.value_or(1) - 1;
    return since;
  }

  Result<void> subscribe(std::optional<std::uint64_t> since) {
    auto answer =
        client_.call<api::EventSubscribeResult>("event.subscribe", api::EventSubscribeParams{topic(), since});
    if (!answer) return std::move(answer).error();
    last_ = since.value_or(answer->seq);
    connection_ = client_.reconnects();
    return {};
  }

  Result<void> follow() {
    auto since = begin();
    if (!since) return std::move(since).error();
    auto done = subscribe(*since);
    while (done && !finished()) {
      if (client_.reconnects() != connection_) {
        done = subscribe(last_);
        continue;
      }
      auto push = client_.poll_push({});
      if (!push && client::is_unreachable(push.error())) {
        done = subscribe(last_);
        continue;
      }
      if (!push) return std::move(push).error();
      if ((*push)->type != wire::FrameType::event) continue;
      auto event = client::Client::decoded<api::Event>((*push)->payload);
      if (!event) return std::move(event).error();
      if (event->type == "kairo.event.lagged" && !event->seq)
        done = catch_up(*event);
      else
        print(*event, (*push)->payload);
    }
    return done;
  }

  Result<void> catch_up(const api::Event& lagged) {
    auto data = client::Client::decoded<LaggedData>(lagged.data.msgpack);
    if (!data) return std::move(data).error();
    if (data->to_seq <= last_) return {};
    if (!lagged.subscription_id) {
      auto printed = print_pages(data->to_seq);
      last_ = std::max(last_, data->to_seq);
      return printed;
    }
    // Of a replay: the store does not have them.
    tell_missed(data->from_seq, data->to_seq);
    last_ = data->to_seq;
    return {};
  }

  client::LastingClient& client_;
  const Options& options_;
  std::uint64_t last_ = 0;  ///< Number of the last event that was seen.
  std::uint64_t printed_ = 0;
  unsigned connection_ = 0;  ///< The one that the subscription was made over.
};

}  // namespace

Action declare_events(OptionSet& set) {
  auto options = std::make_shared<Options>();
  set.flag("-f,--follow", options->follow, "Go on with what happens from now on; without --since only that");
  set.value("--since", options->since, "SEQ|TIME",
            "Only what follows that number, or happened since then: ISO 8601, @SECONDS, or 10m for ago");
  set.list("--topic", options->topics, "PATTERN", "Only these: * stands for one segment, > for the rest");
  set.value("--correlation", options->correlation, "ID", "Only what carries this correlation id");
  set.number("-n,--count", options->count, "EVENTS", "Leave after so many");
  return [options](Context& context) {
    if (!options->since.empty() && !is_number(options->since)) parse_time("--since", options->since);
    auto client = context.connect();
    if (!client) return report(client.error());
    return Events(*client, *options).go();
  };
}

}  // namespace kairo::ctl
