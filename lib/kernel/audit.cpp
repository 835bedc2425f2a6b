#include "kernel/audit.hpp"

#include <algorithm>
#include <cmath>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <msgpack.hpp>

#include "audit/line.hpp"
#include "kernel/kernel.hpp"
#include "wire/payload.hpp"

namespace kairo::kernel {
namespace {

/// What a power loss may take of the audit. (A kill takes nothing.)
constexpr std::chrono::seconds sync_interval{1};
/// The audit has recovered when it has refused nothing for so long.
constexpr std::chrono::seconds calm{10};
/// Records of one turn that are written before it ends.
constexpr std::size_t early_bytes = 256u << 10;
/// How often a query that waits looks whether the audit has grown.
constexpr std::chrono::milliseconds look_interval{100};

/// Served under "required" whatever becomes of the audit: those who look for what is wrong.
constexpr std::string_view always_served[] = {"kernel.ping", "kernel.info", "kernel.metrics",
                                              "kernel.introspect", "audit.query"};

/// Whether a kernel's event is of the life of something; the others come with every chunk and every sample.
bool is_of_a_life(std::string_view type) {
  return type.starts_with("kairo.") && type != "kairo.process.output.throttled" &&
         !type.starts_with("kairo.system.") && !type.starts_with("kairo.device.");
}

/// The name, and where it does not say the whole line of those above, the path (access::Principal).
void append_principal(std::string& out, const std::string& path) {
  const std::string name = access::name_of_path(path);
  audit::append_member(out, "principal", name);
  if (name != path) audit::append_member(out, "path", path);
}

void append_json(std::string& out, const msgpack::object& value, const audit::Redactor& redactor);

void append_map(std::string& out, const msgpack::object_map& map, const audit::Redactor& redactor) {
  out += '{';
  for (std::uint32_t i = 0; i < map.size; ++i) {
    const auto& [key, value] = map.ptr[i];
    const std::string_view name =
        key.type == msgpack::type::STR ? std::string_view(key.via.str.ptr, key.via.str.size) : "?";
    if (i > 0) out += ',';
    audit::append_text(out, name);
    out += ':';
    if (value.type != msgpack::type::ARRAY || name != "argv") {
      append_json(out, value, redactor);
      continue;
    }
    std::vector<std::string> words;
    for (const msgpack::object& each : value.via.array)
      if (each.type == msgpack::type::STR) words.emplace_back(each.via.str.ptr, each.via.str.size);
    const std::vector<std::string> safe = redactor.argv(words);
    for (std::size_t at = 0; at < safe.size(); ++at) {
      out += at == 0 ? '[' : ',';
      audit::append_text(out, safe[at]);
    }
    out += safe.empty() ? "[]" : "]";
  }
  out += '}';
}

/// As far as it may grow; what is larger is cut by the caller.
void append_json(std::string& out, const msgpack::object& value, const audit::Redactor& redactor) {
  switch (value.type) {
    case msgpack::type::BOOLEAN: out += value.via.boolean ? "true" : "false"; return;
    case msgpack::type::POSITIVE_INTEGER: audit::append_number(out, value.via.u64); return;
    case msgpack::type::NEGATIVE_INTEGER: out += std::to_string(value.via.i64); return;
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64:
      out += std::isfinite(value.via.f64) ? std::to_string(value.via.f64) : "null";
      return;
    case msgpack::type::STR: return audit::append_text(out, {value.via.str.ptr, value.via.str.size});
    case msgpack::type::MAP: return append_map(out, value.via.map, redactor);
    case msgpack::type::ARRAY:
      out += '[';
      for (std::uint32_t i = 0; i < value.via.array.size; ++i) {
        if (i > 0) out += ',';
        append_json(out, value.via.array.ptr[i], redactor);
      }
      out += ']';
      return;
    default: out += "null"; return;
  }
}

audit::Trail::Bounds bounds_of(const Settings& settings) {
  return {settings.audit_bytes, settings.audit_files, std::chrono::hours(settings.audit_hours)};
}

/// What looks at the audit, and so makes records of its own.
constexpr std::string_view looking_method = "audit.query", looking_member = "\"audit.query\"";

/// See Audit::Look.
bool tells_news(const Audit::Query& query, const audit::Page& page) {
  if (query.last) return !page.lines.empty();
  if (page.more || page.lines.size() >= query.limit) return true;
  return std::any_of(page.lines.begin(), page.lines.end(), [](const std::string& line) {
    return audit::find_member(line, "method") != looking_member;
  });
}

}  // namespace

Audit::Audit(Kernel& kernel) : kernel_(kernel), redactor_(kernel.settings().audit_redact) {}

Audit::~Audit() = default;

void Audit::open(std::optional<audit::Head> known) {
  on_ = kernel_.settings().audit != AuditMode::off;
  if (on_) trail_.emplace(kernel_.options().state_dir, bounds_of(kernel_.settings()), known);
}

void Audit::configure() {
  redactor_ = audit::Redactor(kernel_.settings().audit_redact);
  const bool wanted = kernel_.settings().audit != AuditMode::off;
  if (trail_) trail_->set_bounds(bounds_of(kernel_.settings()));
  // One that is not wanted any more stays: what waits in it is written, and its numbers go on.
  on_ = wanted;
  if (on_ && !trail_)
    trail_.emplace(kernel_.options().state_dir, bounds_of(kernel_.settings()), kernel_.known_audit_head());
}

std::optional<Error> Audit::refusal(std::string_view method) {
  if (kernel_.settings().audit != AuditMode::required || !trail_) return std::nullopt;
  auto room = trail_->reserve();
  if (room) return std::nullopt;
  took();
  if (std::find(std::begin(always_served), std::end(always_served), method) != std::end(always_served))
    return std::nullopt;
  return Error(Code::internal,
               "the audit cannot be written, and nothing is served without it (audit is \"required\"): " +
                   room.error().message +
                   "; make room or mend it, and the daemon goes on by itself; nothing was done");
}

// --- records -----------------------------------------------------------------------------------------

std::string Audit::describe(const Client& client) {
  const ipc::Peer& peer = client.connection().peer();
  std::string out;
  append_principal(out, client.principal().path());
  audit::append_member(out, "pid", static_cast<std::uint64_t>(peer.pid));
  audit::append_member(out, "uid", peer.uid);
  audit::append_member(out, "gid", peer.gid);
  return out;
}

bool Audit::begin(SteadyTime now) {
  // The clock may be set; once for all that is written together is often enough.
  if (!trail_->waiting())
    epoch_ = system_now() - std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  if (trail_->begin(epoch_ + std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch())))
    return true;
  took();
  return false;
}

void Audit::end() {
  trail_->end();
  if (trail_->line().size() > early_bytes) write_waiting();
}

void Audit::request(std::string_view who, const AuditedRequest& request, std::string_view outcome) {
  const SteadyTime now = SteadyClock::now();
  if (!begin(now)) return;
  if (request.method != looking_method) ++news_;
  std::string& line = trail_->line();
  if (request.method.empty())
    audit::append_member(line, "method", request.unknown);
  else
    line.append(",\"method\":\"").append(request.method).append(1, '"');
  line += who;
  if (!request.target.empty()) line.append(",\"target\":").append(request.target);
  line.append(request.members).append(",\"outcome\":\"").append(outcome).append(1, '"');
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - request.asked);
  audit::append_member(line, "durationUs",
                       static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 0)));
  end();
}

void Audit::fact(const event::Fact& fact) {
  if (!on_ || !is_of_a_life(fact.event.type) || !begin(SteadyClock::now())) return;
  ++news_;
  std::string& line = trail_->line();
  audit::append_member(line, "event", fact.event.type);
  if (!fact.owner.empty()) append_principal(line, fact.owner);
  if (!fact.process_id.empty()) audit::append_member(line, "target", fact.process_id);
  if (fact.event.correlation_id) audit::append_member(line, "correlationId", *fact.event.correlation_id);
  wire::PayloadDecoder decoder;
  if (const auto data = decoder.decode(fact.event.data.msgpack, wire::Shape::any)) {
    const std::size_t before = line.size();
    line += ",\"data\":";
    append_json(line, *data, redactor_);
    if (line.size() - before > limits::audit_list_bytes) {
      line.resize(before);
      audit::append_member(line, "dataBytes", fact.event.data.msgpack.size());
    }
  }
  end();
  write_soon();
}

// --- writing -----------------------------------------------------------------------------------------

void Audit::write_soon() {
  if (!trail_ || !trail_->waiting() || std::exchange(write_due_, true)) return;
  boost::asio::post(kernel_.io(), [this] {
    write_due_ = false;
    write();
  });
}

void Audit::write_waiting() {
  static_cast<void>(trail_->write());
  took();
  sync_soon();
}

/// Looks how the trail fares.
void Audit::took() {
  for (const std::string& each : trail_->take_findings()) degraded(each);
  const SteadyTime now = SteadyClock::now();
  if (const auto& failure = trail_->failure()) {
    failed_at_ = now;
    if (!std::exchange(told_, true)) degraded("requests are not audited: " + failure->message);
    sync_soon();
  } else if (told_ && now - failed_at_ > calm) {
    told_ = false;
    kernel_.log("requests are audited again");
  }
}

void Audit::degraded(const std::string& message) {
  // Later: this may be in the middle of sending.
  boost::asio::post(kernel_.io(), [this, message] { kernel_.degraded("audit", message); });
}

void Audit::sync_soon() {
  if (std::exchange(sync_due_, true)) return;
  kernel_.timers().after(sync_interval, [this] {
    sync_due_ = false;
    if (auto there = trail_->look(); !there) degraded(there.error().message);
    if (trail_->failure() || trail_->waiting()) static_cast<void>(trail_->ready());
    took();
    if (told_) sync_soon();
    sync();
  });
}

void Audit::sync() {
  auto files = std::make_shared<std::vector<UniqueFd>>(trail_->take_unsynced());
  auto doomed = trail_->take_doomed();
  if (files->empty() && doomed.empty()) return;
  auto folder = std::make_shared<UniqueFd>(trail_->folder());
  boost::asio::post(kernel_.disk(),
                    [this, files, folder, doomed = std::move(doomed), head = trail_->written()] {
                      int failed = 0;
                      for (const UniqueFd& each : *files)
                        if (::fdatasync(each.get()) != 0 && errno != EINVAL) failed = errno;
                      for (const std::string& each : doomed) ::unlinkat(folder->get(), each.c_str(), 0);
                      boost::asio::post(kernel_.io(), [this, failed, head] { synced(failed, head); });
                    });
}

void Audit::synced(int failed, const audit::Head& head) {
  if (failed != 0) {
    if (!std::exchange(unsynced_, true))
      degraded("a power loss may take records of the audit: " +
               system_error("cannot sync it", failed).message);
    return;
  }
  if (std::exchange(unsynced_, false)) kernel_.log("the audit is safe from a power loss again");
  kernel_.archive().keep_audit_head({head.seq, std::string(audit::text_of(head.hash))});
}

void Audit::close() {
  readers_.reset();  // what is being read is waited for, the rest dropped
  if (!trail_) return;
  static_cast<void>(trail_->write());
  const audit::Head& head = trail_->written();
  if (head.seq > 0) kernel_.archive().keep_audit_head({head.seq, std::string(audit::text_of(head.hash))});
}

// --- looking -----------------------------------------------------------------------------------------

void Audit::look(Query query, std::function<void(Look)> done) {
  write();
  if (!readers_) readers_.emplace(1);
  boost::asio::post(
      *readers_, [this, query = std::move(query), done = std::move(done), mark = mark()]() mutable {
        const std::string& state_dir = kernel_.options().state_dir;
        auto page = query.last ? audit::read_last(state_dir, query.filter, *query.last)
                               : audit::read_page(state_dir, query.filter, query.from, query.limit);
        const bool news = !page || tells_news(query, *page);
        auto look = std::make_shared<Look>(Look{std::move(page), news, mark});
        boost::asio::post(kernel_.io(), [done = std::move(done), look] { done(std::move(*look)); });
      });
}

void Audit::await_news(Query query, Mark before, std::function<void()> again) {
  if (query.abandoned()) return;
  kernel_.timers().after(
      look_interval, [this, query = std::move(query), before, again = std::move(again)]() mutable {
        const Mark now = mark();
        if ((now.written != before.written && now.news != before.news) || SteadyClock::now() >= query.until)
          return again();
        await_news(std::move(query), before, std::move(again));
      });
}

}  // namespace kairo::kernel
