// kairo-keeper-host SOFT HARD IDLE_SECONDS [OWN_LIMIT]: runs the keeper on descriptors 3 and 4, as Link
// starts it. OWN_LIMIT: descriptors that the keeper itself may have.
#include <cstdlib>
#include <sys/resource.h>

#include "keeper/keeper.hpp"

int main(int argc, char** argv) {
  if (kairo::keeper::is_succession()) return kairo::keeper::resume_keeper();
  if (argc < 4) return 64;
  kairo::keeper::KeeperOptions options;
  options.listener = kairo::UniqueFd(3);
  options.state_dir = kairo::UniqueFd(4);
  options.child_files_soft = std::strtoull(argv[1], nullptr, 10);
  options.child_files_hard = std::strtoull(argv[2], nullptr, 10);
  options.idle_exit_seconds = static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10));
  if (argc > 4) options.own_files_max = std::strtoull(argv[4], nullptr, 10);
  return kairo::keeper::run_keeper(std::move(options));
}
