// Texts of the host's audit, as far as programs choose what stands in them.
#include "sandbox/landlock_record.hpp"

#include <cstdint>
#include <string>

#include "fuzz/check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kairo;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto access = sandbox::read_landlock_access(text)) {
    KAIRO_FUZZ_CHECK(!access->blockers.empty() && access->blockers.size() <= 32);
    sandbox::asked(*access);
  }
  if (const auto domain = sandbox::read_landlock_domain(text))
    KAIRO_FUZZ_CHECK(domain->ended == (domain->pid == 0) && domain->pid >= 0);

  // A name that the system writes in its digits comes back as it is, and nothing of it is taken for more.
  constexpr char digits[] = "0123456789ABCDEF";
  std::string name;
  std::string written = "audit(1.2:3): domain=7 blockers=fs.read_file path=";
  for (const char c : text.substr(0, 4096)) {
    if (c == '\0') continue;
    name += c;
    written += digits[static_cast<unsigned char>(c) >> 4];
    written += digits[static_cast<unsigned char>(c) & 15];
  }
  written += " dev=\"vda\" ino=1";
  if (name.empty()) return 0;
  const auto read = sandbox::read_landlock_access(written);
  KAIRO_FUZZ_CHECK(read && read->domain == 7 && read->path == name && !read->port);
  return 0;
}
