// audit.query.
#include <unistd.h>

#include "kernel/handlers.hpp"

namespace kairo::kernel {
namespace {

Error bad(const std::string& path, const std::string& problem) {
  return Error(Code::invalid_params, path + " " + problem).with("path", path);
}

/// A time as lines have it, so that texts compare.
Result<std::optional<std::string>> read_time(const std::optional<std::string>& text, const char* path) {
  SystemTime time;
  if (!text) return std::optional<std::string>();
  if (!from_iso8601(*text, time)) return bad(path, "must be a time in ISO 8601");
  return std::optional(to_iso8601(time));
}

Result<Audit::Query> read_query(Kernel& kernel, const Client& client, api::AuditQueryParams& params) {
  Audit::Query query;
  auto from = read_time(params.from_time, "params.fromTime");
  if (!from) return std::move(from).error();
  auto to = read_time(params.to_time, "params.toTime");
  if (!to) return std::move(to).error();
  query.filter.from_time = std::move(*from);
  query.filter.to_time = std::move(*to);
  for (const auto& [number, path] :
       {std::pair(params.last, "params.last"), std::pair(params.limit, "params.limit")})
    if (number && (*number == 0 || *number > limits::audit_page))
      return bad(path, "must be 1 to " + std::to_string(limits::audit_page));
  if (params.after) {
    const auto place = audit::Place::parse(*params.after);
    if (!place) return bad("params.after", "must be the `next` of an earlier page");
    if (params.last) return bad("params.last", "goes with no `after`");
    query.from = *place;
  }
  const auto longest = static_cast<std::uint64_t>(limits::audit_longest_wait.count());
  if (params.wait_ms.value_or(0) > longest)
    return bad("params.waitMs", "must be at most " + std::to_string(longest));
  for (const auto& [name, path] :
       {std::pair(&params.principal, "params.principal"), std::pair(&params.method, "params.method")})
    if (*name && (*name)->size() > limits::tag_bytes)
      return bad(path, "is longer than " + std::to_string(limits::tag_bytes) + " bytes");
  query.last = params.last;
  query.limit = params.limit.value_or(limits::audit_page);
  query.until = SteadyClock::now() + std::chrono::milliseconds(params.wait_ms.value_or(0));
  query.filter.principal = std::move(params.principal);
  query.filter.method = std::move(params.method);
  // Whoever may stop the daemon as its own user may read its files as well.
  const access::Principal& who = client.principal();
  if (who.uid() != ::geteuid() || !Kernel::may_rule(who)) query.filter.viewer = kernel.viewer(who);
  return query;
}

/// One request from its first look to its answer. It has the connection's turn (Client::query_events) while
/// it looks, and not while it waits.
struct Asking {
  Kernel& kernel;
  Audit::Query query;
  Reply<api::AuditQueryResult> reply;
  std::weak_ptr<Client> client;  ///< Weak: a query that waits is dropped with its client.
  bool waiting = false;          ///< Counts among those of its client that wait.
};

void answer(const Asking& asking, Result<audit::Page> page) {
  if (!page) return asking.reply(page.error());
  api::AuditQueryResult result;
  result.records = std::move(page->lines);
  result.next = page->next.text();
  result.more = page->more;
  asking.reply(result);
}

void take_turn(const std::shared_ptr<Asking>& asking);

/// Answers, or goes on waiting.
void looked(const std::shared_ptr<Asking>& asking, Client& client, Audit::Look look) {
  Audit::Query& query = asking->query;
  if (!look.page || look.news || SteadyClock::now() >= query.until) {
    if (asking->waiting) client.end_waiting_query();
    return answer(*asking, std::move(look.page));
  }
  if (!asking->waiting && !client.begin_waiting_query())
    return asking->reply(Error(Code::limit_exceeded, "more than " + std::to_string(waiting_queries) +
                                                         " queries of this connection wait already"));
  asking->waiting = true;
  // From the same place where something was found: it comes with the first page that tells news.
  if (look.page->lines.empty()) query.from = look.page->next;
  query.last.reset();
  asking->kernel.audit().await_news(query, look.mark, [asking] { take_turn(asking); });
}

void take_turn(const std::shared_ptr<Asking>& asking) {
  const auto client = asking->client.lock();
  if (!client) return;
  client->query_events([asking] {
    asking->kernel.audit().look(asking->query, [asking](Audit::Look look) {
      const auto asker = asking->client.lock();
      if (!asker) return;
      looked(asking, *asker, std::move(look));
      asker->queried();
    });
  });
}

}  // namespace

void audit_query(Kernel& kernel, Call& call, api::AuditQueryParams params,
                 Reply<api::AuditQueryResult> reply) {
  auto query = read_query(kernel, *call.client, params);
  if (!query) return reply(query.error());
  query->abandoned = [reply] { return reply.abandoned(); };
  take_turn(std::make_shared<Asking>(Asking{kernel, std::move(*query), reply, call.client}));
}

}  // namespace kairo::kernel
