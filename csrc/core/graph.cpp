#include "graph.hpp"

#include <stdexcept>
#include <string>

namespace fnnfast {

namespace {

constexpr double kMostWeights = 1e12;  // of a layer: more fits no memory, and every size below stays far from overflow

ptrdiff_t positive(ptrdiff_t n, const char* what) {
  if (n < 1) throw std::invalid_argument(std::string(what) + " must be at least 1, got " + std::to_string(n));
  return n;
}

bool is_layer(const LayerSpec& spec) {
  return spec.kind == LayerSpec::Kind::kDense || spec.kind == LayerSpec::Kind::kMaxout;
}

class Builder {
 public:
  Builder(ptrdiff_t inputs, const std::vector<LayerSpec>& specs) : specs_(specs) {
    graph_.inputs = positive(inputs, "inputs");
    for (std::size_t i = 0; i < specs.size(); ++i)
      if (specs[i].kind == LayerSpec::Kind::kResidual)
        i = add_residual(i);
      else
        add(i, latest());
    if (graph_.layers.empty()) throw std::invalid_argument("a network needs a dense or maxout layer");
    assign_slots();
  }

  Graph take() { return std::move(graph_); }

 private:
  ptrdiff_t latest() const { return static_cast<ptrdiff_t>(graph_.layers.size()) - 1; }

  // The spec of that index, a layer upon the outputs of `from` or a perturbation of the latest outputs.
  void add(std::size_t index, ptrdiff_t from) {
    const LayerSpec& spec = specs_[index];
    if (is_layer(spec)) {
      add_layer(spec, from);
      graph_.layer_of_spec.push_back(latest());
      return;
    }
    const bool noise = spec.kind == LayerSpec::Kind::kNoise;
    if (!(spec.rate >= 0.0 && (noise || spec.rate < 1.0)))
      throw std::invalid_argument(
          (noise ? "a standard deviation is at least 0, got " : "a dropout rate lies in [0, 1), got ") +
          std::to_string(spec.rate));
    graph_.layer_of_spec.push_back(kNoLayer);
    if (spec.rate > 0.0)
      (graph_.layers.empty() ? graph_.input_perturbations : graph_.layers.back().perturbations)
          .push_back({noise, spec.rate, static_cast<std::uint32_t>(index)});
  }

  // The residual block that begins with the spec of that index; the index of its last spec. Its input, by way of a
  // projection where there is one, is added by its last layer.
  std::size_t add_residual(std::size_t index) {
    const LayerSpec& block = specs_[index];
    const ptrdiff_t input = latest();
    const std::size_t end = index + static_cast<std::size_t>(block.count) + 1;
    graph_.layer_of_spec.push_back(block.units > 0 ? input + 1 : kNoLayer);
    if (block.units > 0) add_layer(block, input);
    const ptrdiff_t skip = latest();
    if (block.units > 0) graph_.layers.back().projection = true;
    for (std::size_t i = index + 1; i < end && i < specs_.size(); ++i) {
      if (specs_[i].kind == LayerSpec::Kind::kResidual)
        throw std::invalid_argument("a residual block does not hold another one");
      if (!is_layer(specs_[i]) && latest() == skip)
        throw std::invalid_argument("a residual block begins with a dense or maxout layer");
      add(i, latest() == skip ? input : latest());
    }
    if (end > specs_.size() || latest() == skip || !graph_.layers.back().perturbations.empty() ||
        graph_.layers.back().info().rowwise)
      throw std::invalid_argument("a residual block ends with a dense or maxout layer that works element by element");
    LayerNode& last = graph_.layers.back();
    const ptrdiff_t width = graph_.width_of(skip);
    if (width != last.units)
      throw std::invalid_argument("a residual block from " + std::to_string(width) + " to " +
                                  std::to_string(last.units) + " units needs a projection");
    last.add = skip;
    return end - 1;
  }

  void add_layer(const LayerSpec& spec, ptrdiff_t from) {
    LayerNode layer;
    layer.from = from;
    layer.inputs = graph_.width_of(from);
    layer.units = positive(spec.units, "units");
    layer.pieces = positive(spec.pieces, "pieces");
    if (static_cast<double>(layer.inputs + 1) * static_cast<double>(spec.units) * static_cast<double>(spec.pieces) >
        kMostWeights)
      throw std::invalid_argument("a layer of " + std::to_string(layer.inputs) + " x " + std::to_string(spec.units) +
                                  " x " + std::to_string(spec.pieces) + " weights is too large");
    layer.maxout = spec.kind == LayerSpec::Kind::kMaxout;
    layer.activation = spec.activation;
    layer.parameter = spec.parameter;
    graph_.layers.push_back(std::move(layer));
  }

  // Outputs live until the last layer that reads them has run: a chain needs two slots in turn, a residual block up to
  // two more.
  void assign_slots() {
    auto& layers = graph_.layers;
    std::vector<ptrdiff_t> last_reader(layers.size(), kNoLayer), occupant;
    for (std::size_t i = 0; i < layers.size(); ++i)
      for (const ptrdiff_t read : {layers[i].from, layers[i].add})
        if (read >= 0) last_reader[static_cast<std::size_t>(read)] = static_cast<ptrdiff_t>(i);
    for (std::size_t i = 0; i + 1 < layers.size(); ++i) {
      std::size_t slot = 0;
      while (slot < occupant.size() &&
             last_reader[static_cast<std::size_t>(occupant[slot])] >= static_cast<ptrdiff_t>(i))
        ++slot;
      if (slot == occupant.size()) occupant.push_back(0);
      occupant[slot] = static_cast<ptrdiff_t>(i);
      layers[i].slot = static_cast<ptrdiff_t>(slot);
    }
    graph_.slots = static_cast<ptrdiff_t>(occupant.size());
  }

  const std::vector<LayerSpec>& specs_;
  Graph graph_;
};

}  // namespace

ptrdiff_t Graph::find(ptrdiff_t spec) const {
  if (spec < 0 || spec >= static_cast<ptrdiff_t>(layer_of_spec.size()))
    throw std::out_of_range("the network has " + std::to_string(layer_of_spec.size()) + " layers, got index " +
                            std::to_string(spec));
  return layer_of_spec[static_cast<std::size_t>(spec)];
}

Graph make_graph(ptrdiff_t inputs, const std::vector<LayerSpec>& specs) { return Builder(inputs, specs).take(); }

void check_trainable(const Graph& graph) {
  if (!graph.layers.back().perturbations.empty())
    throw std::invalid_argument(
        "a network that is trained ends with a dense or maxout layer, not with dropout or noise");
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    const LayerNode& layer = graph.layers[i];
    if (!layer.info().differentiable)
      throw std::invalid_argument(std::string(layer.info().name) + " is not differentiable");
    if (layer.info().rowwise && i + 1 < graph.layers.size()) throw std::invalid_argument("softmax is an output layer");
    if (layer.pieces > kMaxPiecesSaved)
      throw std::invalid_argument("maxout trains with at most 256 pieces, got " + std::to_string(layer.pieces));
  }
}

}  // namespace fnnfast
