// A list of types.
#pragma once

namespace fnnfast {

template <class... T>
struct TypeList {
  static constexpr int kSize = sizeof...(T);
};

}  // namespace fnnfast
