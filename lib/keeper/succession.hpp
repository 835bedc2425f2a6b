// How the keeper executes another program in its own place, with all its sessions (MessageType::upgrade).
//
// The process stays the children's parent and subreaper: nothing that waits for a program, reads its pipes or
// holds its exit status notices. Every descriptor keeps its number. What the next program must know travels
// in a memfd, the letter, whose number is in KAIRO_KEEPER_LETTER: a sequence of MsgPack maps, each behind its
// length (u32, little-endian): one KeeperLetter, then as many SessionLetters and DenialLetters as it says.
// Offsets, pins and
// flags are in the table, which goes on as it is.
//
// The order comes from a kairod of the program that is to be executed, which has opened the table and knows
// the letter's version: so the next program can read both. A child that ends meanwhile stays a zombie of this
// process, and its pidfd readable; pipes fill and wait.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "keeper/protocol.hpp"
#include "reflect/fields.hpp"

namespace kairo::keeper {

/// Newest letter that is written. A program reads those of its own version and of the one before. Version 2
/// brought the listeners: a program that knows nothing of them would hold them and never answer.
inline constexpr std::uint32_t letter_version = 2;
inline constexpr std::uint32_t oldest_letter_version = 1;
inline constexpr const char* letter_variable = "KAIRO_KEEPER_LETTER";

using reflect::defaulted;
using reflect::field;

/// A descriptor that goes over under its number; -1: none.
using Descriptor = std::int32_t;

/// Times are those of CLOCK_MONOTONIC, which goes on.
struct TimerLetter {
  std::int64_t at_ns = 0;
  bool last_gasp = false;  ///< Else the grace.
  static constexpr auto fields() {
    return std::tuple(field("atNs", &TimerLetter::at_ns, ""), field("lastGasp", &TimerLetter::last_gasp, ""));
  }
};

struct OutputLetter {
  Descriptor pipe = -1;
  Descriptor file = -1;  ///< The ring.
  std::uint64_t retain = 0;
  std::uint32_t size_step = 0;
  reflect::Bytes carry;  ///< Read from the pipe and not yet in the log.
  static constexpr auto fields() {
    using S = OutputLetter;
    return std::tuple(field("pipe", &S::pipe, ""), defaulted("file", &S::file, ""),
                      field("retain", &S::retain, ""), field("sizeStep", &S::size_step, ""),
                      defaulted("carry", &S::carry, ""));
  }
};

struct SessionLetter {
  std::uint64_t key = 0;
  std::uint64_t started_us = 0;
  std::uint64_t started_boot_us = 0;
  std::uint64_t exited_us = 0;
  std::uint64_t exited_boot_us = 0;
  std::uint32_t slot = 0;
  std::int32_t pid = 0;
  std::int32_t wait_status = 0;
  std::uint32_t grace_ms = 0;
  std::uint32_t stdin_piece = 0;
  std::uint32_t group = 0;
  bool detach = false;
  bool limited = false;
  bool killed = false;
  bool reaped = false;
  bool due = false;
  Descriptor process = -1;
  Descriptor input = -1;
  Descriptor ring = -1;
  std::vector<OutputLetter> output;  ///< stdout, stderr
  std::vector<TimerLetter> timers;
  reflect::Bytes mark;
  reflect::Bytes record;
  reflect::Bytes note;
  std::map<std::string, std::string> degraded;
  std::optional<LimitReport> report;
  static constexpr auto fields() {
    using S = SessionLetter;
    return std::tuple(
        field("key", &S::key, ""), field("startedUs", &S::started_us, ""),
        defaulted("startedBootUs", &S::started_boot_us, ""), field("exitedUs", &S::exited_us, ""),
        defaulted("exitedBootUs", &S::exited_boot_us, ""), field("slot", &S::slot, ""),
        field("pid", &S::pid, ""), field("waitStatus", &S::wait_status, ""),
        field("graceMs", &S::grace_ms, ""), field("stdinPiece", &S::stdin_piece, ""),
        field("detach", &S::detach, ""), field("reaped", &S::reaped, ""), field("due", &S::due, ""),
        field("process", &S::process, ""), field("input", &S::input, ""), field("ring", &S::ring, ""),
        field("output", &S::output, ""), field("timers", &S::timers, ""), field("mark", &S::mark, ""),
        field("record", &S::record, ""), field("note", &S::note, ""), defaulted("group", &S::group, ""),
        defaulted("limited", &S::limited, ""), defaulted("killed", &S::killed, ""),
        defaulted("degraded", &S::degraded, ""), field("report", &S::report, ""));
  }
};

/// What is still to be done to a session's descendants, see Descendants.
struct WatchLetter {
  std::int32_t pid = 0;
  bool group_left = false;
  bool killed = false;
  std::int64_t deadline_ns = 0;
  reflect::Bytes mark;
  std::uint64_t key = 0;            ///< Of the control group, if there is one.
  std::uint32_t control_group = 0;  ///< cgroup::Group::in
  bool told = false;
  static constexpr auto fields() {
    using S = WatchLetter;
    return std::tuple(field("pid", &S::pid, ""), field("groupLeft", &S::group_left, ""),
                      field("killed", &S::killed, ""), field("deadlineNs", &S::deadline_ns, ""),
                      field("mark", &S::mark, ""), defaulted("key", &S::key, ""),
                      defaulted("controlGroup", &S::control_group, ""), defaulted("told", &S::told, ""));
  }
};

/// What a session was denied, and its filter's listener (denials.hpp).
struct DenialLetter {
  std::uint64_t key = 0;
  Descriptor listener = -1;
  bool released = false;
  DenialReport report;
  static constexpr auto fields() {
    using S = DenialLetter;
    return std::tuple(field("key", &S::key, ""), field("listener", &S::listener, ""),
                      defaulted("released", &S::released, ""), field("report", &S::report, ""));
  }
};

struct KeeperLetter {
  std::uint32_t version = letter_version;
  std::int32_t pid = 0;
  std::string keeper_id;
  std::uint64_t epoch = 0;
  bool terminated = false;
  std::uint64_t child_files_soft = 0;
  std::uint64_t child_files_hard = 0;
  std::uint64_t own_files_max = 0;
  std::uint32_t idle_exit_seconds = 0;
  Descriptor listener = -1;
  Descriptor state_dir = -1;
  Descriptor logs_dir = -1;
  Descriptor table = -1;
  std::uint64_t sessions = 0;
  std::uint64_t denials = 0;  ///< Letters of denials behind those of the sessions.
  std::vector<WatchLetter> watches;
  std::optional<cgroup::Layout> groups;  ///< None: the program before made none.
  static constexpr auto fields() {
    using S = KeeperLetter;
    return std::tuple(
        field("version", &S::version, ""), field("pid", &S::pid, ""), field("keeperId", &S::keeper_id, ""),
        field("epoch", &S::epoch, ""), field("terminated", &S::terminated, ""),
        field("childFilesSoft", &S::child_files_soft, ""), field("childFilesHard", &S::child_files_hard, ""),
        field("ownFilesMax", &S::own_files_max, ""), field("idleExitSeconds", &S::idle_exit_seconds, ""),
        field("listener", &S::listener, ""), field("stateDir", &S::state_dir, ""),
        defaulted("logsDir", &S::logs_dir, ""), field("table", &S::table, ""),
        field("sessions", &S::sessions, ""), defaulted("denials", &S::denials, ""),
        field("watches", &S::watches, ""), field("groups", &S::groups, ""));
  }
};

struct Letters {
  KeeperLetter keeper;
  std::vector<SessionLetter> sessions;
  std::vector<DenialLetter> denials;
};

/// Every descriptor that the letters name.
std::vector<int> descriptors_of(const Letters& letters);

/// Writes them to a memfd.
Result<UniqueFd> write_letters(const Letters& letters);
/// Reads what write_letters() wrote; E_UNSUPPORTED for another version, E_INTERNAL for what is no letter.
Result<Letters> read_letters(int memory);

/// The letter of the program before in this process, if there was one; takes the variable out of the
/// environment.
UniqueFd take_letter();

/// Executes `program` with this process's own arguments. Returns only when that failed; nothing has changed
/// then.
Error execute(int program, const Letters& letters);

}  // namespace kairo::keeper
