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
  if (params.wait_ms) query.filter.hidden_method = "audit.query";
  query.filter.principal = std::move(params.principal);
  query.filter.method = std::move(params.method);
  // Whoever may stop the daemon as its own user may read its files as well.
  const access::Principal& who = client.principal();
  if (who.uid() != ::geteuid() || !Kernel::may_rule(who)) query.filter.viewer = kernel.viewer(who);
  return query;
}

}  // namespace

void audit_query(Kernel& kernel, Call& call, api::AuditQueryParams params,
                 Reply<api::AuditQueryResult> reply) {
  auto query = read_query(kernel, *call.client, params);
  if (!query) return reply(query.error());
  query->abandoned = [reply] { return reply.abandoned(); };
  // Weak: a query that waits is dropped with its client.
  call.client->query_events(
      [&kernel, query = std::move(*query), reply, client = std::weak_ptr(call.client)]() mutable {
        kernel.audit().query(std::move(query), [reply, client](Result<audit::Page> page) {
          if (page) {
            api::AuditQueryResult result;
            result.records = std::move(page->lines);
            result.next = page->next.text();
            result.more = page->more;
            reply(result);
          } else {
            reply(page.error());
          }
          if (const auto asker = client.lock()) asker->queried();
        });
      });
}

}  // namespace kairo::kernel
