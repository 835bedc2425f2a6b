// What a seccomp program says.
#pragma once

#include <cstdint>
#include <cstring>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string>

#include <doctest/doctest.h>

namespace kairo::sandbox::test {

/// Runs a classic BPF program of the kind that seccomp takes, as the kernel would: loads, jumps, masks,
/// returns.
inline std::uint32_t verdict(const std::string& program, const seccomp_data& data) {
  const auto* code = reinterpret_cast<const sock_filter*>(program.data());
  const std::size_t size = program.size() / sizeof(sock_filter);
  std::uint32_t a = 0;
  for (std::size_t at = 0; at < size; ++at) {
    const sock_filter& each = code[at];
    switch (each.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        REQUIRE(each.k + 4 <= sizeof data);
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + each.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K: a &= each.k; break;
      case BPF_JMP | BPF_JA: at += each.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: at += a == each.k ? each.jt : each.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: at += a > each.k ? each.jt : each.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: at += a >= each.k ? each.jt : each.jf; break;
      case BPF_JMP | BPF_JSET | BPF_K: at += (a & each.k) != 0 ? each.jt : each.jf; break;
      case BPF_RET | BPF_K: return each.k;
      default: FAIL("an instruction of code " << each.code); return 0;
    }
  }
  FAIL("the program has no end");
  return 0;
}

}  // namespace kairo::sandbox::test
