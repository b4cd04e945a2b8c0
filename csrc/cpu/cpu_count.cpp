// Affinity and cgroups. The files are described in proc(5), cgroups(7), and Linux's
// Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
#include "cpu_count.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace fnnfast::cpu {
namespace {

int affinity_count() noexcept {
#if defined(__linux__)
  // The kernel rejects (EINVAL) a mask shorter than its own, so the size is doubled until it fits.
  for (int processors = 1024; processors <= 1 << 20; processors *= 2) {
    cpu_set_t* const mask = CPU_ALLOC(processors);
    if (mask == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(processors);
    const int count = sched_getaffinity(0, bytes, mask) == 0 ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (count > 0) return count;
  }
#endif
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

bool contains_item(const std::string& list, const std::string& item) {
  return ("," + list + ",").find("," + item + ",") != std::string::npos;
}

// Processors that one group's quota is worth; infinite without a limit.
double quota_of(const std::string& directory, bool version_2) {
  double quota = -1;
  double period = 0;
  if (version_2) {
    std::ifstream(directory + "/cpu.max") >> quota >>
        period;  // "max 100000" fails to read as a number, which leaves no quota
  } else {
    std::ifstream(directory + "/cpu.cfs_quota_us") >> quota;  // -1: none
    std::ifstream(directory + "/cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

// The path of our group in a hierarchy, from the lines "id:controllers:path" of /proc/self/cgroup. Version 2 has no
// controllers there.
std::string group_path(const std::string& root, bool version_2) {
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? line.compare(0, 3, "0::") == 0 : contains_item(controllers, "cpu")) return line.substr(second + 1);
  }
  return "";
}

// The smallest quota from our group up to the mount point. A mount may show only a part of the hierarchy, below
// mount_root, as in a container.
double least_quota(const std::string& root, const std::string& mount_root, const std::string& mount_point,
                   bool version_2) {
  std::string path = group_path(root, version_2);
  if (mount_root != "/") {
    const bool shown = (path + "/").compare(0, mount_root.size() + 1, mount_root + "/") == 0;
    path = shown ? path.substr(mount_root.size()) : "";
  }
  if (path.find("/..") != std::string::npos) path.clear();  // outside our cgroup namespace
  double least = INFINITY;
  for (;;) {
    least = std::min(least, quota_of(root + mount_point + path, version_2));
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

}  // namespace

int cgroup_processor_limit(const std::string& root) {
  double least = INFINITY;
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // 36 35 98:0 /root /mount/point options [optional fields] - type source super-options
    std::istringstream fields(line);
    std::string skipped, mount_root, mount_point, type, options;
    fields >> skipped >> skipped >> skipped >> mount_root >> mount_point;
    while (fields >> skipped && skipped != "-") {
    }
    fields >> type >> skipped >> options;
    const bool version_2 = type == "cgroup2";
    if (version_2 || (type == "cgroup" && contains_item(options, "cpu"))) {
      least = std::min(least, least_quota(root, mount_root, mount_point, version_2));
    }
  }
  return least < INT_MAX ? std::max(static_cast<int>(std::ceil(least)), 1) : INT_MAX;
}

int available_processors() noexcept {
  const int count = affinity_count();
  try {
    return std::min(count, cgroup_processor_limit());
  } catch (...) {  // out of memory while reading files
    return count;
  }
}

}  // namespace fnnfast::cpu
