// How many processors this process may use.
#pragma once

#include <string>

namespace fnnfast::cpu {

// The processors of the affinity mask, but no more than the CPU quota of the cgroup rounded up. At least 1.
int available_processors() noexcept;

// ceil(quota / period) of this process's cgroup, version 1 or 2, or of a group above it that allows less; INT_MAX where
// there is no limit, and on systems without cgroups. root is put before the paths of all files read, for tests.
int cgroup_processor_limit(const std::string& root = "");

}  // namespace fnnfast::cpu
