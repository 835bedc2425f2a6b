// Landlock as this program uses it: its rights and structures under names of our own, because the headers of
// the build host may be older than the kernel that the program meets
// (Documentation/userspace-api/landlock.rst).
#pragma once

#include <cstdint>

#include "base/unique_fd.hpp"

namespace kairo::sandbox::landlock {

// Rights on files, by the bits of the kernel's ABI.
inline constexpr std::uint64_t execute = 1u << 0;
inline constexpr std::uint64_t write_file = 1u << 1;
inline constexpr std::uint64_t read_file = 1u << 2;
inline constexpr std::uint64_t read_dir = 1u << 3;
inline constexpr std::uint64_t truncate = 1u << 14;   ///< ABI 3
inline constexpr std::uint64_t ioctl_dev = 1u << 15;  ///< ABI 5
/// All that ABI 5 and later know: besides the above removing, making of every kind, and renaming (refer).
inline constexpr std::uint64_t all_files = (1u << 16) - 1;
/// What a rule about something other than a directory may name.
inline constexpr std::uint64_t of_files = execute | write_file | read_file | truncate | ioctl_dev;

// Rights on TCP ports (ABI 4).
inline constexpr std::uint64_t bind_tcp = 1u << 0;
inline constexpr std::uint64_t connect_tcp = 1u << 1;

// What may not reach out of the domain (ABI 6).
inline constexpr std::uint64_t scope_abstract_sockets = 1u << 0;
inline constexpr std::uint64_t scope_signals = 1u << 1;

/// The ABI with all of the above (Linux 6.12).
inline constexpr int needed_abi = 6;

/// The ABI of this kernel; 0 where Landlock is not there, is switched off, or is forbidden here.
int abi();

// Each returns what the system call does, -1 with errno.
UniqueFd make_ruleset(std::uint64_t handled_files, std::uint64_t handled_ports, std::uint64_t scoped);
int allow_path(int ruleset, std::uint64_t access, int path);
int allow_port(int ruleset, std::uint64_t access, std::uint16_t port);

}  // namespace kairo::sandbox::landlock
