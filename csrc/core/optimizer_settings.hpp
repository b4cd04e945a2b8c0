// The settings of an optimizer, and the coefficients of one step.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "optimizers.hpp"

namespace fnnfast {

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0.0;
  bool nesterov = false;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  bool eps_hat = false;       // eps is added to the root of the uncorrected moment (Kingma & Ba, section 2)
  double l2 = 0.0;            // coupled, weights only
  double weight_decay = 0.0;  // decoupled, weights only
  double clip_norm = 0.0;     // the gradient is scaled down to this norm; 0: no clipping
};

// For the step after `steps` steps. weights: else biases and learned parameters. scale: the factor of the gradient.
template <class T>
FNNFAST_HOST_DEVICE UpdateStep<T> update_step(const OptimizerSettings& settings, std::int64_t steps,
                                              double learning_rate, bool weights, double scale) {
  const double t = static_cast<double>(steps + 1);
  UpdateStep<T> u{};
  double rate = learning_rate;
  if (settings.kind == OptimizerKind::kAdam) {
    rate /= 1.0 - pow(settings.beta1, t);
    u.second_scale = static_cast<T>(1.0 / sqrt(1.0 - pow(settings.beta2, t)));
  }
  u.learning_rate = static_cast<T>(rate);
  u.decay = static_cast<T>(weights ? 1.0 - learning_rate * settings.weight_decay : 1.0);
  u.scale = static_cast<T>(scale);
  u.l2 = static_cast<T>(weights ? settings.l2 : 0.0);
  u.momentum = static_cast<T>(settings.momentum);
  u.nesterov = static_cast<T>(settings.nesterov ? 1.0 : 0.0);
  u.beta1 = static_cast<T>(settings.beta1);
  u.beta2 = static_cast<T>(settings.beta2);
  u.one_minus_beta1 = static_cast<T>(1.0 - settings.beta1);
  u.one_minus_beta2 = static_cast<T>(1.0 - settings.beta2);
  u.eps = static_cast<T>(settings.eps_hat ? settings.eps * static_cast<double>(u.second_scale) : settings.eps);
  u.least_state = std::numeric_limits<T>::min();
  u.least_gradient = static_cast<T>(sqrt(static_cast<double>(u.least_state) / (1.0 - settings.beta2)));
  return u;
}

}  // namespace fnnfast
