// The number of processors that this process may use.
#pragma once

#include <string>

namespace fnnfast::cpu {

// The processors of the affinity mask, at most the CPU quota of the cgroup rounded up, at least 1.
int available_processors() noexcept;

// The smallest ceil(quota / period) of this process's cgroup, version 1 or 2, and the groups above it; INT_MAX if there
// is no limit, and on systems without cgroups. root is put before the paths of all files read, for tests.
int cgroup_processor_limit(const std::string& root = "");

}  // namespace fnnfast::cpu
