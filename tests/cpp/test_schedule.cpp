// Programs and schedules, without kernels: random trees of layers run through a plain interpreter, their gradients
// compared with finite differences; liveness, regions and refusals.
//
//   g++ -std=c++20 -fsanitize=address,undefined tests/cpp/test_schedule.cpp csrc/core/{program,lower,schedule}.cpp &&
//   ./a.out
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "inference_run.hpp"
#include "training_run.hpp"
#include "trees.hpp"

using namespace fnnfast;
using namespace fnnfast::test;

namespace {

constexpr int kTrees = 400;

std::vector<Parameters> random_parameters(const Program& program, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, 0.6);
  std::vector<Parameters> all;
  for (const ParameterBlock& block : program.blocks) {
    Parameters p(block);
    for (std::vector<double>* values : {&p.weight, &p.bias, &p.slopes})
      for (double& v : *values) v = normal(generator);
    all.push_back(std::move(p));
  }
  return all;
}

std::vector<double> random_numbers(ptrdiff_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> all(static_cast<std::size_t>(n));
  for (double& v : all) v = normal(generator);
  return all;
}

Specs random_network(RandomTree& random, Shape& input) {
  for (;;) {
    input = random.input();
    Specs specs = random.tree(input);
    try {
      lower(input, false, specs, Purpose::kTraining);
      return specs;
    } catch (const std::invalid_argument&) {
      // Windows that do not fit what is left of the image: another tree.
    }
  }
}

}  // namespace

TEST_CASE("gradients of random trees are those of finite differences") {
  int checked = 0;
  for (unsigned seed = 0; seed < kTrees; ++seed) {
    CAPTURE(seed);
    RandomTree random(seed);
    Shape input;
    const Specs specs = random_network(random, input);
    const bool first = random.coin(0.2);
    const Program program = lower(input, first, specs, Purpose::kTraining);
    std::vector<bool> frozen;
    for (std::size_t b = 0; b < program.blocks.size(); ++b) frozen.push_back(random.coin(0.25));
    const TrainingSchedule schedule = schedule_training(program, frozen, false);
    CAPTURE(describe(program));
    CAPTURE(describe(program, schedule));
    std::vector<Parameters> parameters = random_parameters(program, seed);
    const ptrdiff_t samples = 4;
    const std::vector<double> x = random_numbers(samples * input.size(), seed + 1);
    const std::vector<double> weights = random_numbers(samples * program.output().size(), seed + 2);
    const auto loss_of = [&](unsigned order) {
      TrainingRun run(program, parameters, samples, schedule);
      return run.run(x, weights, order);
    };
    TrainingRun run(program, parameters, samples, schedule);
    const double loss = run.run(x, weights, seed);
    REQUIRE(std::isfinite(loss));
    REQUIRE(loss == doctest::Approx(loss_of(seed + 7)).epsilon(1e-12));  // whichever block of samples runs first
    for (std::size_t b = 0; b < program.blocks.size(); ++b) {
      if (frozen[b]) continue;
      std::vector<double>* const all[] = {&parameters[b].weight, &parameters[b].bias, &parameters[b].slopes};
      const std::vector<double>* const gradients[] = {&run.gradients()[b].weight, &run.gradients()[b].bias,
                                                      &run.gradients()[b].slopes};
      for (int kind = 0; kind < 3; ++kind)
        for (int pick = 0; pick < 2 && !all[kind]->empty(); ++pick) {
          const auto i = static_cast<std::size_t>(random.number(0, static_cast<int>(all[kind]->size()) - 1));
          double& parameter = (*all[kind])[i];
          const double before = parameter;
          const auto difference = [&](double step) {
            parameter = before + step;
            const double above = loss_of(1);
            parameter = before - step;
            const double below = loss_of(1);
            parameter = before;
            return (above - below) / (2 * step);
          };
          const double coarse = difference(2e-5), fine = difference(1e-5);
          const double scale = 1.0 + std::abs(fine) + std::abs(loss) * 1e-3;
          if (std::abs(coarse - fine) > 1e-5 * scale) continue;  // a kink nearby: a maximum, or prelu's
          CAPTURE(b);
          CAPTURE(kind);
          CAPTURE(i);
          CHECK(std::abs((*gradients[kind])[i] - fine) < 2e-5 * scale);
          ++checked;
        }
    }
  }
  CHECK(checked > 5 * kTrees);
}

TEST_CASE("inference answers what training's forward pass does") {
  for (unsigned seed = 0; seed < kTrees; ++seed) {
    CAPTURE(seed);
    RandomTree random(seed);
    Shape input;
    const Specs specs = random_network(random, input);
    Program program;
    try {
      program = lower(input, false, specs, Purpose::kInference);
    } catch (const std::invalid_argument&) {
      continue;
    }
    const ptrdiff_t samples = 3;
    std::vector<Parameters> parameters = random_parameters(program, seed);
    std::vector<std::vector<double>> scale, shift;
    for (const ParameterBlock& block : program.blocks) {
      scale.push_back(random_numbers(block.units, seed + 3));
      shift.push_back(random_numbers(block.units, seed + 4));
    }
    const std::vector<double> x = random_numbers(samples * input.size(), seed + 1);
    InferenceRun run(program, parameters, samples, scale, shift);
    const ForwardSchedule needed = schedule_forward(program), all = schedule_forward(program, Keep::kAll);
    CAPTURE(describe(program));
    CAPTURE(describe(program, needed));
    const std::vector<double> y = run.run(x, needed);
    for (const double v : y) REQUIRE(std::isfinite(v));
    CHECK(y == run.run(x, all));  // memory that is shared is shared rightly
    CHECK(needed.elements <= all.elements);
    for (const ptrdiff_t start : needed.start) CHECK(start % 16 == 0);
  }
}

TEST_CASE("the blocks of parameters are the same for all purposes") {
  for (unsigned seed = 0; seed < kTrees; ++seed) {
    RandomTree random(seed);
    Shape input;
    const Specs specs = random_network(random, input);
    const Program training = lower(input, false, specs, Purpose::kTraining);
    for (const Purpose purpose : {Purpose::kInference, Purpose::kFolded}) {
      const Program other = lower(input, false, specs, purpose);
      REQUIRE(other.blocks.size() == training.blocks.size());
      CHECK(other.block_of_spec == training.block_of_spec);
      for (std::size_t b = 0; b < other.blocks.size(); ++b) {
        CHECK(other.blocks[b].spec == training.blocks[b].spec);
        CHECK(other.blocks[b].inputs == training.blocks[b].inputs);
        CHECK(other.blocks[b].units == training.blocks[b].units);
      }
      CHECK(other.output() == training.output());
      for (const Node& node : other.nodes) CHECK_FALSE((node.is<Perturb>() || node.is<Normalize>()));
    }
  }
}

TEST_CASE("slices of a storage are disjoint and fill it") {
  for (unsigned seed = 0; seed < kTrees; ++seed) {
    CAPTURE(seed);
    RandomTree random(seed);
    Shape input;
    const Specs specs = random_network(random, input);
    const Program program = lower(input, false, specs, Purpose::kTraining);
    std::map<std::int32_t, std::vector<bool>> written;
    for (const Node& node : program.nodes) {
      const Value& value = program.value(node.out);
      std::vector<bool>& channels = written[value.storage];
      channels.resize(static_cast<std::size_t>(program.storages[static_cast<std::size_t>(value.storage)]));
      for (ptrdiff_t c = 0; c < value.shape.c; ++c) {
        REQUIRE(static_cast<std::size_t>(value.channel + c) < channels.size());
        CHECK_FALSE(channels[static_cast<std::size_t>(value.channel + c)]);
        channels[static_cast<std::size_t>(value.channel + c)] = true;
      }
    }
    for (const auto& [storage, channels] : written)
      CHECK(std::all_of(channels.begin(), channels.end(), [](bool c) { return c; }));
  }
}

TEST_CASE("regions") {
  SUBCASE("without batch normalisation there are two") {
    const Program program =
        lower({1, 1, 5}, false, {dense(4, "tanh"), residual({dense(4)}), dense(2)}, Purpose::kTraining);
    const TrainingSchedule schedule = schedule_training(program, {}, true);
    REQUIRE(schedule.regions.size() == 2);
    CHECK(schedule.regions[0].over == Over::kSamples);
    CHECK(schedule.regions[1].over == Over::kParameters);
  }
  SUBCASE("a frozen normalisation cuts nothing") {
    const Program program = lower({1, 1, 5}, false, {dense(4), normalize(), dense(2)}, Purpose::kTraining);
    CHECK(schedule_training(program, {false, true, false}, true).regions.size() == 2);
    CHECK(schedule_training(program, {}, true).regions.size() > 2);
  }
  SUBCASE("no step reads what its own region joins") {
    for (unsigned seed = 0; seed < kTrees; ++seed) {
      RandomTree random(seed);
      Shape input;
      const Specs specs = random_network(random, input);
      const Program program = lower(input, false, specs, Purpose::kTraining);
      const TrainingSchedule schedule = schedule_training(program, {}, false);
      std::map<NodeId, std::size_t> merged, merged_sums;
      std::int32_t expected = 0;
      for (std::size_t r = 0; r < schedule.regions.size(); ++r) {
        const Region& region = schedule.regions[r];
        CHECK(region.first == expected);
        CHECK(region.last > region.first);
        expected = region.last;
        for (std::int32_t s = region.first; s < region.last; ++s) {
          const TrainingStep& step = schedule.steps[static_cast<std::size_t>(s)];
          const bool once = step.task == Task::kMerge || step.task == Task::kMergeSums;
          CHECK((region.over == Over::kOnce) == once);
          CHECK((region.over == Over::kParameters) == (step.task == Task::kWeights));
          if (step.task == Task::kMerge) merged[step.node] = r;
          if (step.task == Task::kMergeSums) merged_sums[step.node] = r;
          if (step.node == kNone || !program.node(step.node).is<Normalize>()) continue;
          if (step.task == Task::kForward) CHECK(merged.at(step.node) < r);
          if (step.task == Task::kInput || step.task == Task::kWeights) CHECK(merged_sums.at(step.node) < r);
        }
      }
      CHECK(expected == static_cast<std::int32_t>(schedule.steps.size()));
    }
  }
}

TEST_CASE("how many buffers inference needs") {
  const auto buffers = [](const Specs& specs, Shape input = {1, 1, 8}) {
    return schedule_forward(lower(input, false, specs, Purpose::kInference)).start.size();
  };
  CHECK(buffers({dense(8)}) == 0);
  CHECK(buffers({dense(8), dense(8)}) == 1);
  CHECK(buffers({dense(8), dense(8), dense(8), dense(8), dense(8)}) == 2);
  CHECK(buffers({dense(8), residual({dense(8), dense(8)}), residual({dense(8), dense(8)}), dense(2)}) == 3);
  const LayerSpec inception = parallel({{convolution(4, square(1))},
                                        {convolution(3, square(1)), convolution(4, square(3, 1))},
                                        {convolution(2, square(1)), convolution(2, square(5, 2))},
                                        {pool(true, square(3, 1)), convolution(2, square(1))}});
  CHECK(buffers({convolution(6, square(3, 1)), inception, inception, dense(2)}, {8, 8, 3}) == 3);
}

TEST_CASE("vectors keep their buffers in training") {
  const Program program =
      lower({1, 1, 8}, false, {dense(8, "swish"), normalize(), dense(8), normalize(), dense(8), dense(3)},
            Purpose::kTraining);
  const TrainingSchedule schedule = schedule_training(program, {}, true);
  std::set<std::int32_t> seen;
  for (const Node& node : program.nodes) CHECK(seen.insert(schedule.value_at(node.out).buffer).second);
}

TEST_CASE("epilogues") {
  const auto text = [](const Specs& specs, Shape input = {1, 1, 4}, Purpose purpose = Purpose::kTraining) {
    return describe(lower(input, false, specs, purpose));
  };
  CHECK(text({dense(3), act("relu")}) == "v1 (3) = product b0 of 4 v0 (4), relu\n");
  CHECK(text({dense(4, "tanh"), residual({dense(4, "relu")})}) ==
        "v1 (4) = product b0 of 4 v0 (4), tanh\nv2 (4) = product b1 of 4 v1 (4), relu + v1 (4)\nv3 (4) = pointwise v2 "
        "(4)\n");
  CHECK(text({residual({dense(4)}, "relu")}) == "v1 (4) = product b0 of 4 v0 (4) + v0 (4), relu\n");
  CHECK(text({residual({dense(4)}), act("relu")}) == "v1 (4) = product b0 of 4 v0 (4) + v0 (4), relu\n");
  CHECK(text({residual({dense(4, "relu")}, "tanh")}) ==
        "v1 (4) = product b0 of 4 v0 (4), relu + v0 (4)\nv2 (4) = pointwise v1 (4), tanh\n");
  CHECK(text({residual({dense(6), dense(6, "relu")}, "identity", 6)}) ==
        "v1 (6) = product b0 of 4 v0 (4)\nv2 (6) = product b1 of 4 v0 (4)\nv3 (6) = product b2 of 6 v2 (6), relu + v1 "
        "(6)\n"
        "v4 (6) = pointwise v3 (6)\n");
  CHECK(text({dense(3), normalize(), act("relu")}, {1, 1, 4}, Purpose::kInference) ==
        "v1 (3) = product b0 of 4 v0 (4), norm b1, relu\n");
  CHECK(text({dense(3, "tanh"), normalize()}, {1, 1, 4}, Purpose::kInference) ==
        "v1 (3) = product b0 of 4 v0 (4), tanh\nv2 (3) = pointwise v1 (3), norm b1\n");
  CHECK(text({dense(3), normalize(), act("relu")}, {1, 1, 4}, Purpose::kFolded) ==
        "v1 (3) = product b0 of 4 v0 (4), relu\n");
  CHECK(text({parallel({{dense(2)}, {dense(3)}, {}}), dense(1)}) ==
        "v1 (2 of s4[0..]) = product b0 of 4 v0 (4)\nv2 (3 of s4[2..]) = product b1 of 4 v0 (4)\n"
        "v3 (4 of s4[5..]) = pointwise v0 (4)\nv5 (1) = product b2 of 9 v4 (9)\n");
  CHECK(text({convolution(2, square(3)), dense(5)}, {5, 5, 1}) ==
        "v1 (3x3x2) = convolution b0 of 9 3x3 v0 (5x5x1)\nv3 (5) = product b1 of 18 v2 (18)\n");
}

TEST_CASE("what makes no network is refused") {
  const auto refusal = [](const Specs& specs, Shape input = {1, 1, 4}) -> std::string {
    try {
      check_trainable(lower(input, false, specs, Purpose::kTraining));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal({dense(3)}) == "");
  CHECK(refusal({}) == "a network needs at least one dense or maxout layer");
  CHECK(refusal({dense(0)}) == "units must be at least 1, got 0");
  CHECK(refusal({maxout(2, 0)}) == "pieces must be at least 1, got 0");
  CHECK(refusal({dense(3), dropout(0.5)}) == "a network with dropout or noise as its last layer cannot be trained");
  CHECK(refusal({dropout(1.0), dense(3)}).find("dropout rate") != std::string::npos);
  CHECK(refusal({noise(-1.0), dense(3)}).find("standard deviation") != std::string::npos);
  CHECK(refusal({dense(3, "softmax"), dense(3)}) == "softmax can be trained in the last layer only");
  CHECK(refusal({dense(3, "sign")}) == "sign is not differentiable");
  CHECK(refusal({maxout(3, 257)}) == "training supports at most 256 pieces of maxout, got 257");
  CHECK(refusal({residual({dense(3)})}) ==
        "the block and the shortcut of a residual block must have the same shape, got 3 and 4 (a projection changes "
        "that of "
        "the shortcut)");
  CHECK(refusal({residual({})}) == "a residual block needs at least one layer");
  CHECK(refusal({parallel({})}).find("at least one") != std::string::npos);
  CHECK(refusal({parallel({{convolution(2, square(3))}, {convolution(2, square(1))}})}, {5, 5, 1}) ==
        "parallel branches end in images of different sizes: (3, 3, 2) and (5, 5, 2)");
  CHECK(refusal({convolution(2, square(7))}, {5, 5, 1}) ==
        "a window of 7 x 7 pixels does not fit an image of 5 x 5 with its padding");
  CHECK(refusal({convolution(4, square(1), "identity", 3)}, {5, 5, 3}) ==
        "groups must divide the channels and the filters, got 3 groups, 3 channels and 4 filters");
  CHECK(refusal({pool(true, square(2, 2)), dense(2)}, {5, 5, 1}).find("padding of a pool") != std::string::npos);
  CHECK(refusal({pool(true, square(17, 8)), dense(2)}, {20, 20, 1}).find("at most 256 pixels") != std::string::npos);
  CHECK(refusal({dense(ptrdiff_t{1} << 50)}).find("too large") != std::string::npos);
  LayerSpec nested = residual({dense(4)});
  for (int depth = 0; depth < 80; ++depth) nested = residual({nested});
  CHECK(refusal({nested}) == "layers may nest at most 64 deep");
}
