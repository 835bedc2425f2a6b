// audit.query (SPEC 8.4).
#pragma once

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "reflect/fields.hpp"

namespace kairo::api {

using reflect::field;

struct AuditQueryParams {
  std::optional<std::string> after;
  std::optional<std::uint32_t> last;
  std::optional<std::string> from_time;
  std::optional<std::string> to_time;
  std::optional<std::string> principal;
  std::optional<std::string> method;
  std::optional<std::uint32_t> limit;
  std::optional<std::uint32_t> wait_ms;
  static constexpr auto fields() {
    using S = AuditQueryParams;
    return std::tuple(
        field("after", &S::after, "Continue after this `next` of the page before"),
        field("last", &S::last, "Only the newest so many, 1 to 1000; not with `after`"),
        field("fromTime", &S::from_time, "ISO 8601: only what happened then or later"),
        field("toTime", &S::to_time, "ISO 8601: only what happened then or earlier"),
        field("principal", &S::principal, "Only records of this principal and of names below it"),
        field("method", &S::method,
              "Only records of this method or event; a * at the end stands for any rest"),
        field("limit", &S::limit, "Records in one page, 1 to 1000 (1000)"),
        field("waitMs", &S::wait_ms,
              "Wait so long for a record where there is none, at most 60000; records of audit.query alone do "
              "not end it, they come with the next other one"));
  }
};

struct AuditQueryResult {
  std::vector<std::string> records;
  std::string next;
  bool more = false;
  static constexpr auto fields() {
    using S = AuditQueryResult;
    return std::tuple(
        field("records", &S::records, "Lines as they stand in the audit's files, without their newlines"),
        field("next", &S::next, "Pass as `after` for what follows"),
        field("more", &S::more, "There may be more already; the page may be empty all the same"));
  }
};

}  // namespace kairo::api
