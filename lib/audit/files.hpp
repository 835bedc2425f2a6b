// The folder STATE_DIR/audit (mode 0700) and its files, NNNNNNNNNNNNNNNNNNNN.jsonl (mode 0600), each named by
// the number of its first record, so that the names' order is the records'. The first record of every file is
// the event `kairo.audit.opened`, whose `firstSeq` says with which record the oldest file began that was kept
// then: what is missing from there on was not removed by the daemon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace kairo::audit {

inline constexpr const char* folder_name = "audit";

std::string file_name(std::uint64_t first);
/// The number in a file's name; nothing for another file's.
std::optional<std::uint64_t> first_of(std::string_view name);

/// The numbers of all files, in order. An error where the folder cannot be read.
Result<std::vector<std::uint64_t>> list_files(int folder);

/// Opens the folder of a state directory for reading.
Result<UniqueFd> open_folder(const std::string& state_dir);

/// The first line of a file, without its newline; empty where there is no whole one.
std::string first_line(int file);

/// What an `opened` line says of the oldest file; nothing for another line.
std::optional<std::uint64_t> claimed_first(std::string_view line);

}  // namespace kairo::audit
