// Types of numbers, and choosing one at run time: by its name in Python, or by what an array holds.
//
// The types of an extension are one list: cpu::Dtypes (csrc/cpu/dtypes.hpp), cuda::Dtypes (csrc/cuda/dtypes.hpp).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "type_list.hpp"

namespace fnnfast {

// The name in Python.
template <class T>
inline constexpr const char* kDtypeName = nullptr;
template <>
inline constexpr const char* kDtypeName<float> = "float32";
template <>
inline constexpr const char* kDtypeName<double> = "float64";

// "float32, float64"
template <class First, class... Rest>
std::string dtype_names(TypeList<First, Rest...>) {
  std::string names = kDtypeName<First>;
  ((names += std::string(", ") + kDtypeName<Rest>), ...);
  return names;
}

// f(T()) for the first type of the list for which is_it(T()) is true; throws error() if there is none.
template <class First, class... Rest, class IsIt, class F, class Error>
auto visit_first(TypeList<First, Rest...>, IsIt is_it, F&& f, Error error) {
  if (is_it(First())) return f(First());
  if constexpr (sizeof...(Rest) > 0)
    return visit_first(TypeList<Rest...>(), is_it, std::forward<F>(f), error);
  else
    throw error();
}

// f(T()) for the type of that name; std::invalid_argument for any other. argument: what the name was passed as.
template <class List, class F>
auto visit_dtype(List list, std::string_view name, const std::string& argument, F&& f) {
  return visit_first(
      list, [&]<class T>(T) { return name == kDtypeName<T>; }, std::forward<F>(f),
      [&] {
        return std::invalid_argument(argument + " must be one of " + dtype_names(list) + ", got '" + std::string(name) +
                                     "'");
      });
}

// std::variant<Of<T>...> for the types of a list.
template <class List, template <class> class Of>
struct VariantOver;
template <class... T, template <class> class Of>
struct VariantOver<TypeList<T...>, Of> {
  using type = std::variant<Of<T>...>;
};
template <class List, template <class> class Of>
using variant_over = typename VariantOver<List, Of>::type;

}  // namespace fnnfast
