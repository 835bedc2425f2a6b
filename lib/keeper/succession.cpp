#include "keeper/succession.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/launcher.hpp"
#include "reflect/decode.hpp"
#include "reflect/encode.hpp"
#include "wire/payload.hpp"

namespace kairo::keeper {
namespace {

constexpr std::size_t length_bytes = 4;

template <class T>
void append(std::string& out, const T& value) {
  const std::string bytes = reflect::to_msgpack(value);
  for (unsigned i = 0; i < length_bytes; ++i) out += static_cast<char>(bytes.size() >> (8 * i));
  out += bytes;
}

/// The next map of `from`, which moves on.
template <class T>
Result<T> take(std::string_view& from) {
  const Error bad(Code::internal, "the letter of the keeper's former program cannot be read");
  if (from.size() < length_bytes) return bad;
  std::size_t length = 0;
  for (unsigned i = 0; i < length_bytes; ++i)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  from.remove_prefix(length_bytes);
  if (length > from.size()) return bad;
  wire::PayloadDecoder decoder;
  auto object = decoder.decode(from.substr(0, length));
  from.remove_prefix(length);
  if (!object) return std::move(object).error();
  return reflect::from_object<T>(*object, "letter", reflect::Unknown::ignore);
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(file, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

/// This process's argv, as it was given.
std::vector<std::string> own_arguments() {
  std::string bytes;
  const UniqueFd file(::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  char piece[4096];
  for (ssize_t got; file && (got = ::read(file.get(), piece, sizeof piece)) > 0;)
    bytes.append(piece, static_cast<std::size_t>(got));
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\0', at), bytes.size());
    out.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace

std::vector<int> descriptors_of(const Letters& letters) {
  std::vector<int> out{letters.keeper.listener, letters.keeper.state_dir, letters.keeper.logs_dir,
                       letters.keeper.table};
  for (const SessionLetter& each : letters.sessions) {
    out.insert(out.end(), {each.process, each.input, each.ring});
    for (const OutputLetter& output : each.output) out.insert(out.end(), {output.pipe, output.file});
  }
  for (const DenialLetter& each : letters.denials) out.push_back(each.listener);
  std::erase(out, -1);
  return out;
}

Result<UniqueFd> write_letters(const Letters& letters) {
  const UniqueFd made(::memfd_create("kairo-keeper-letter", MFD_CLOEXEC));
  UniqueFd memory(made ? ::fcntl(made.get(), F_DUPFD_CLOEXEC, low_descriptors_end) : -1);
  if (!memory) return system_error("cannot make a memfd", errno);
  std::string bytes;
  append(bytes, letters.keeper);
  const auto add = [&](const auto& letter) {
    append(bytes, letter);
    if (bytes.size() < 1u << 20) return true;
    return write_all(memory.get(), std::exchange(bytes, {}));
  };
  bool written = true;
  for (const SessionLetter& each : letters.sessions) written = written && add(each);
  for (const DenialLetter& each : letters.denials) written = written && add(each);
  if (!written || !write_all(memory.get(), bytes)) return system_error("cannot write the letter", errno);
  return memory;
}

Result<Letters> read_letters(int memory) {
  struct stat status {};
  if (::fstat(memory, &status) != 0) return system_error("cannot look at the letter", errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  void* mapped = size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, memory, 0);
  if (mapped == MAP_FAILED) return system_error("cannot map the letter", size == 0 ? EINVAL : errno);
  std::string_view left(static_cast<const char*>(mapped), size);
  const auto read = [&]() -> Result<Letters> {
    Letters out;
    auto keeper = take<KeeperLetter>(left);
    if (!keeper) return std::move(keeper).error();
    out.keeper = std::move(*keeper);
    if (out.keeper.version < oldest_letter_version || out.keeper.version > letter_version)
      return Error(Code::unsupported, "the keeper's former program wrote a letter of version " +
                                          std::to_string(out.keeper.version) + ", this one reads " +
                                          std::to_string(oldest_letter_version) + " to " +
                                          std::to_string(letter_version));
    for (std::uint64_t i = 0; i < out.keeper.sessions; ++i) {
      auto session = take<SessionLetter>(left);
      if (!session) return std::move(session).error();
      out.sessions.push_back(std::move(*session));
    }
    for (std::uint64_t i = 0; i < out.keeper.denials; ++i) {
      auto denials = take<DenialLetter>(left);
      if (!denials) return std::move(denials).error();
      out.denials.push_back(std::move(*denials));
    }
    return out;
  };
  auto out = read();
  ::munmap(mapped, size);
  return out;
}

UniqueFd take_letter() {
  const char* named = std::getenv(letter_variable);
  UniqueFd out(named && *named ? static_cast<int>(std::strtol(named, nullptr, 10)) : -1);
  ::unsetenv(letter_variable);
  return out;
}

Error execute(int program, const Letters& letters) {
  auto memory = write_letters(letters);
  if (!memory) return std::move(memory).error();
  std::vector<std::string> arguments = own_arguments();
  if (arguments.empty()) return Error(Code::internal, "this process's own arguments cannot be read");
  std::vector<char*> argv;
  for (std::string& each : arguments) argv.push_back(each.data());
  argv.push_back(nullptr);
  std::string variable = std::string(letter_variable) + "=" + std::to_string(memory->get());
  std::vector<char*> environment;
  for (char** each = environ; each && *each; ++each) environment.push_back(*each);
  environment.push_back(variable.data());
  environment.push_back(nullptr);

  std::vector<int> descriptors = descriptors_of(letters);
  descriptors.push_back(memory->get());
  for (const int each : descriptors) ::fcntl(each, F_SETFD, 0);
  ::execveat(program, "", argv.data(), environment.data(), AT_EMPTY_PATH);
  const int error_number = errno;
  for (const int each : descriptors) ::fcntl(each, F_SETFD, FD_CLOEXEC);
  return system_error("cannot execute the keeper's next program", error_number);
}

}  // namespace kairo::keeper
