#include "keeper/table.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace kairo::keeper {
namespace {

constexpr char table_magic[8] = {'K', 'A', 'I', 'R', 'O', 'T', 'B', 'L'};
constexpr std::size_t header_bytes = 4096;
constexpr std::size_t table_bytes = header_bytes + std::size_t{limits::live_sessions} * sizeof(SessionSlot);
static_assert(sizeof(TableHeader) <= header_bytes);

void read_boot_id(char (&out)[40]) {
  const UniqueFd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  std::memset(out, 0, sizeof out);
  if (file && ::read(file.get(), out, 36) != 36) std::memset(out, 0, sizeof out);
}

Result<char*> map(int file) {
  void* base = ::mmap(nullptr, table_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (base == MAP_FAILED) return system_error("cannot map the session table", errno);
  return static_cast<char*>(base);
}

}  // namespace

Result<Table> Table::create(int state_dir) {
  // Under a name of its own first: a table that an older process still maps must not change under it.
  UniqueFd file(::openat(state_dir, "table.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return system_error("cannot make the session table \"table\" in the state directory", errno);
  // Blocks are reserved now, because a store into a hole on a full disk would be a SIGBUS.
  if (::fallocate(file.get(), 0, 0, table_bytes) != 0) {
    if (errno != EOPNOTSUPP && errno != ENOSYS)
      return system_error("cannot reserve space for the session table", errno);
    if (::ftruncate(file.get(), table_bytes) != 0)
      return system_error("cannot size the session table", errno);
  }
  TableHeader header{};
  std::memcpy(header.magic, table_magic, sizeof table_magic);
  header.version = table_version;
  header.slots = limits::live_sessions;
  read_boot_id(header.boot_id);
  if (::pwrite(file.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header))
    return system_error("cannot write the session table's header", errno);
  if (::renameat(state_dir, "table.new", state_dir, "table") != 0)
    return system_error("cannot put the session table in its place", errno);
  auto base = map(file.get());
  if (!base) return std::move(base).error();
  return Table(std::move(file), *base);
}

Result<Table> Table::open(UniqueFd file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return system_error("cannot look at the session table", errno);
  TableHeader header{};
  if (status.st_size != static_cast<off_t>(table_bytes) ||
      ::pread(file.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      std::memcmp(header.magic, table_magic, sizeof table_magic) != 0)
    return Error(Code::internal, "cannot use the keeper's session table: it is no such table");
  if (header.version != table_version || header.slots != limits::live_sessions)
    return Error(Code::unsupported,
                 "cannot use the keeper's session table: it is of version " + std::to_string(header.version) +
                     " with " + std::to_string(header.slots) + " slots, this program knows version " +
                     std::to_string(table_version) + " with " + std::to_string(limits::live_sessions));
  auto base = map(file.get());
  if (!base) return std::move(base).error();
  return Table(std::move(file), *base);
}

Table::Table(Table&& other) noexcept
    : file_(std::move(other.file_)), base_(std::exchange(other.base_, nullptr)) {}

Table& Table::operator=(Table&& other) noexcept {
  if (this != &other) {
    if (base_) ::munmap(base_, table_bytes);
    file_ = std::move(other.file_);
    base_ = std::exchange(other.base_, nullptr);
  }
  return *this;
}

Table::~Table() {
  if (base_) ::munmap(base_, table_bytes);
}

SessionSlot& Table::slot(std::uint32_t index) const {
  return *reinterpret_cast<SessionSlot*>(base_ + header_bytes + std::size_t{index} * sizeof(SessionSlot));
}

}  // namespace kairo::keeper
