#include "kernel/admission.hpp"

#include "kernel/kernel.hpp"

namespace kairo::kernel {

Result<Granted> grant(const Kernel& kernel, const access::Principal& principal,
                      const std::vector<access::Policy::Binding>& rules, const Wanted& wanted) {
  Granted out;
  auto limits = access::Policy::check_limits(rules, principal, wanted.limits.value_or(api::ResourceLimits{}));
  if (!limits) return std::move(limits).error();
  static_cast<void>(kernel);
  if (*limits != api::ResourceLimits{}) out.limits = std::move(*limits);
  out.permissions = wanted.permissions;
  return out;
}

}  // namespace kairo::kernel
