#include "base/ids.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sys/random.h>

namespace kairo {
namespace {
constexpr bool is_alnum(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
}  // namespace

bool is_valid_session_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= session_id_bytes && is_alnum(id[0]) &&
         std::all_of(id.begin(), id.end(),
                     [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

std::string random_id(std::size_t length) {
  // 32 symbols, so that five bits of a random byte choose one without bias.
  constexpr std::string_view alphabet = "abcdefghjkmnpqrstuvwxyz012345678";
  static_assert(alphabet.size() == 32);
  std::string out(length, '\0');
  std::size_t have = 0;
  while (have < length) {
    const ssize_t got = getrandom(out.data() + have, length - have, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      std::abort();  // no entropy: an id that could repeat must not be handed out
    }
    have += static_cast<std::size_t>(got);
  }
  for (char& c : out) c = alphabet[static_cast<unsigned char>(c) & 31u];
  return out;
}

}  // namespace kairo
