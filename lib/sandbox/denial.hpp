// What a filter has refused and a declaration could have allowed, for those who ask why a program failed.
//
// The filter hands such a call to its listener (filter.hpp, enter.hpp). The keeper holds that: it turns the
// call into a Denial, answers with the error that the filter alone would have given, and counts. kairod names
// the denial for people. Nothing is ever allowed this way: a call goes on only where the filter lets it.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>

#include "api/confinement.hpp"
#include "reflect/fields.hpp"
#include "sandbox/landlock_record.hpp"

namespace kairo::sandbox {

/// Different denials that are listed for one session; what comes after is counted together.
inline constexpr std::size_t denials_max = 64;

/// A refused call, reduced to what tells one from another: numbers of this machine's architecture.
struct Denial {
  std::uint32_t call = 0;
  std::uint32_t family = 0;    ///< Of socket and socketpair.
  std::uint32_t type = 0;      ///< The same, without flags; of ioctl the request's low 16 bits.
  std::uint32_t protocol = 0;  ///< Of socket and socketpair.
  auto operator<=>(const Denial&) const = default;
  static constexpr auto fields() {
    using S = Denial;
    using reflect::defaulted;
    return std::tuple(reflect::field("call", &S::call, ""), defaulted("family", &S::family, ""),
                      defaulted("type", &S::type, ""), defaulted("protocol", &S::protocol, ""));
  }
};

/// Of a call that was handed over. `arguments`: its six words; the system looks at the low half of an int.
Denial denial_of(int call, const std::uint64_t* arguments);

/// The errno that the filter gives this call.
int refusal_of(const Denial& denial);

struct NamedDenial {
  std::string what;   ///< "UDP socket (IPv4)", "chmod"
  std::string would;  ///< The options of kairoctl that would allow it; empty: none does.
  std::string note;   ///< What else there is to say; empty: nothing.
};
/// `permissions` and `cwd`: the session's, which refused it.
NamedDenial named(const Denial& denial, const api::Permissions& permissions, const std::string& cwd);
/// The same of what Landlock denied (landlock_record.hpp).
NamedDenial named(const AccessAsked& access, const api::Permissions& permissions, const std::string& cwd);

/// Whether a filter can have a listener here (Linux 5.0), whose messages this program understands.
bool host_tells();

}  // namespace kairo::sandbox
