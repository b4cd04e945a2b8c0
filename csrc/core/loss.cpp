#include "loss.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace fnnfast {

namespace {

constexpr double kLogTwoPi = 1.8378770664093454835606594728112;

}  // namespace

template <class T>
double Loss<T>::constant(ptrdiff_t outputs) const {
  if (kind == LossKind::kGaussianLearned) return 0.5 * kLogTwoPi * static_cast<double>(targets(outputs));
  double sum = 0.0;
  for (const T beta : precision) sum += 0.5 * (kLogTwoPi - std::log(static_cast<double>(beta)));
  return sum;
}

template <class T>
double Loss<T>::mean(ptrdiff_t rows, const double* row_loss, double weight, ptrdiff_t outputs, double share) const {
  double sum = 0.0;
  for (ptrdiff_t r = 0; r < rows; ++r) sum += row_loss[r];
  return weight > 0.0 ? sum / terms(weight, outputs) + constant(outputs) * share : 0.0;
}

template <class T>
void Loss<T>::check(ptrdiff_t outputs) const {
  if (outputs % info().outputs_each != 0)
    throw std::invalid_argument(std::string(info().name) + " expects an even number of outputs, got " +
                                std::to_string(outputs));
  const ptrdiff_t expected = info().takes_precision ? outputs : 0;
  if (static_cast<ptrdiff_t>(precision.size()) != expected)
    throw std::invalid_argument(std::string(info().name) + " expects " + std::to_string(expected) +
                                " precisions, got " + std::to_string(precision.size()));
}

template struct Loss<float>;
template struct Loss<double>;

}  // namespace fnnfast
