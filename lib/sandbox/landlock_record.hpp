// What the host's audit says of Landlock (records 1423 and 1424; security/landlock/audit.c): the text of one
// record, taken apart.
//
//   audit(1795291458.628:180): domain=1a1703fab blockers=fs.write_file,fs.read_file path="/etc/x" dev="vda"
//   ino=7 audit(1795291458.628:187): domain=1a1703fab blockers=net.bind_tcp saddr=::1 src=8098
//   audit(1795291458.628:180): domain=1a1703fab status=allocated mode=enforcing pid=29724 uid=0 exe="..."
//   comm="..."
//
// What programs choose (paths, names) is in quotes, or in hexadecimal digits where it holds a quote, a blank
// or anything that is not printable: so none of it can end its value. The first value of a name counts, and
// those that decide stand before everything that a program chooses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kairo::sandbox {

inline constexpr unsigned landlock_access_record = 1423;
inline constexpr unsigned landlock_domain_record = 1424;
/// Longer records are not looked at; the system's own are bounded near it.
inline constexpr std::size_t landlock_record_bytes_max = 16u << 10;

/// An access that was denied.
struct LandlockAccess {
  std::uint64_t domain = 0;
  std::vector<std::string> blockers;  ///< "fs.read_file", "net.connect_tcp", "scope.signal", ...
  std::optional<std::string> path;    ///< The directory where a name was to be made or removed.
  std::optional<std::uint16_t> port;
};
/// Nothing where the text is no such record.
std::optional<LandlockAccess> read_landlock_access(std::string_view text);

/// A domain told for the first time, after its first denial, or its end. The process that made it is told as
/// it was then, which may be long ago.
struct LandlockDomain {
  std::uint64_t domain = 0;
  bool ended = false;
  std::int32_t pid = 0;     ///< Of the process that made it; 0 at its end.
  std::uint32_t uid = 0;    ///< Its user.
  std::string exe;          ///< Its program; empty where the record does not tell it.
  std::uint64_t at_us = 0;  ///< When the record was written, Unix time; 0: it does not tell.
};
std::optional<LandlockDomain> read_landlock_domain(std::string_view text);

/// The path of a program as /proc/PID/exe and the records name it, whether or not the file was removed since.
std::string_view program_of(std::string_view exe);

/// Of struct audit_status what is asked for here.
struct AuditStatus {
  bool enabled = false;
  std::uint32_t lost = 0;     ///< Records, since the machine's start.
  std::uint32_t backlog = 0;  ///< Records that are written and yet to be sent.
};
std::optional<AuditStatus> read_audit_status(std::string_view bytes);

/// The access in the words of process.explain.
struct AccessAsked {
  std::string what;    ///< read, write, connect, bind; else the blocker's name.
  std::string target;  ///< A path or tcp:PORT; empty: none.
};
AccessAsked asked(const LandlockAccess& access);

}  // namespace kairo::sandbox
